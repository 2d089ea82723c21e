"""A hub of before kept the third party's vault and keys among its own; they move, once, before anything starts."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole, migrate

_KEYRINGS = ("trust.json", "deliveries.json")
_TABLES = {
    "person": ("token", "kind", "epoch", "sid", "created_at"),
    "id_acc": ("id_acc", "sealed_sid", "delivery", "expires_at", "destroyed_at"),
    "epoch": ("epoch", "fingerprint", "started_at", "state"),
}
_ROWS_AT_ONCE = 1000
_LAST_THERE = "0010"
"""The hub's last revision with the vault in it."""


def take_along(hub: Database, vault: Database, hub_keys: Path, trust_keys: Path) -> None:
    """Move what is left of the vault in the hub's database, and the keyrings.

    Copied first and deleted after: broken off anywhere, calling it again moves the rest, and nothing is lost.
    """
    with hub.begin(DatabaseRole.OWNER) as former:
        there = former.execute(text("SELECT to_regclass('trust.person') IS NOT NULL")).scalar_one()
    if there:
        migrate(hub, until=_LAST_THERE)
        _move(hub, vault)
    trust_keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _KEYRINGS:
        if (hub_keys / name).exists() and not (trust_keys / name).exists():
            (hub_keys / name).rename(trust_keys / name)


def _move(hub: Database, vault: Database) -> None:
    with hub.begin(DatabaseRole.OWNER) as former:
        with vault.begin(DatabaseRole.OWNER) as own:
            for table, columns in _TABLES.items():
                names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
                rows = former.execute(text(f"SELECT {names} FROM trust.{table}")).mappings()  # noqa: S608 - named above
                for some in rows.partitions(_ROWS_AT_ONCE):
                    own.execute(
                        text(f"INSERT INTO trust.{table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING"),  # noqa: S608
                        [dict(row) for row in some],
                    )
        # What came is durable: only now may it go here.
        for table in _TABLES:
            former.execute(text(f"DELETE FROM trust.{table}"))  # noqa: S608
