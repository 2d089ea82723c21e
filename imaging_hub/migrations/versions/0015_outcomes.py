"""Instances that are de-identified before they are acknowledged, for senders whose originals are never kept."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"

_SQL = Path(__file__).parent.parent / "sql"
_RECEIVE, _END = "CREATE FUNCTION identifying.receive(", "END $$;"


def upgrade() -> None:
    _execute((_SQL / "outcomes.sql").read_text("utf-8"))


def downgrade() -> None:
    if op.get_bind().exec_driver_sql("SELECT 1 FROM identifying.outcome LIMIT 1").first():
        msg = "instances without an original wait for their study: let the workers finish them first"
        raise RuntimeError(msg)
    before = (_SQL / "intake.sql").read_text("utf-8")
    start = before.index(_RECEIVE)
    _execute("DROP FUNCTION identifying.receive;" + before[start : before.index(_END, start)] + _END)
    op.execute("DROP TABLE identifying.outcome")


def _execute(statements: str) -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)
