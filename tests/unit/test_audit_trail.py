"""The trail shows every later change."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction, BrokenChain
from imaging_hub.database import Database, DatabaseRole

_REFUSED = r"permission denied|role .* is not permitted to log in"
"""The third party's role does not log in where the hub alone has its databases."""


@pytest.fixture
def chain(database: Database) -> Database:
    with database.begin(DatabaseRole.WEB) as connection:
        for number in range(6):
            trail.append(
                connection, "someone", AuditAction.COHORT_COUNTED, f"cohort-{number}", {"n": number, "é": [1, 2.5]}
            )
    return database


def test_an_untouched_chain_holds(chain: Database) -> None:
    with chain.begin(DatabaseRole.WEB) as connection:
        assert trail.verify(connection) == 6


@pytest.mark.parametrize("column", ["actor", "action", "object", "previous_hash"])
@pytest.mark.parametrize("sequence", [1, 3, 6])
def test_an_altered_entry_is_located(chain: Database, column: str, sequence: int) -> None:
    with chain.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text(f"UPDATE audit.entry SET {column} = 'x' WHERE sequence = :s"), {"s": sequence})
        assert isinstance(broken := trail.verify(connection), BrokenChain)
        assert broken.sequence == sequence


def test_an_altered_detail_or_moment_is_located(chain: Database) -> None:
    for change in ("detail = '{}'", "at = at + interval '1 microsecond'"):
        with chain.engine(DatabaseRole.OWNER).connect() as connection:
            connection.execute(text(f"UPDATE audit.entry SET {change} WHERE sequence = 4"))
            assert trail.verify(connection) == BrokenChain(4, "altered")
            connection.rollback()


def test_a_deleted_entry_is_located(chain: Database) -> None:
    with chain.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("DELETE FROM audit.entry WHERE sequence = 3"))
        assert trail.verify(connection) == BrokenChain(3, "missing")


def test_swapped_entries_are_located(chain: Database) -> None:
    with chain.begin(DatabaseRole.OWNER) as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute(text("UPDATE audit.entry SET sequence = :n WHERE sequence = :o"), {"n": new, "o": old})
        assert isinstance(broken := trail.verify(connection), BrokenChain)
        assert broken.sequence == 2


def test_no_process_can_change_or_delete_an_entry(chain: Database) -> None:
    for role in DatabaseRole:
        if role is DatabaseRole.OWNER:
            continue
        for verb in ("UPDATE audit.entry SET actor = 'x'", "DELETE FROM audit.entry"):
            with pytest.raises(Exception, match=_REFUSED), chain.begin(role) as connection:
                connection.execute(text(verb))


def test_what_is_rolled_back_leaves_no_entry(chain: Database) -> None:
    with chain.engine(DatabaseRole.WEB).connect() as connection:
        trail.append(connection, "someone", AuditAction.COHORT_FROZEN, "cohort-7")
        connection.rollback()
    with chain.begin(DatabaseRole.WEB) as connection:
        assert trail.verify(connection) == 6
