"""Upgrade of hubs whose own database and key folder held the third party's vault and keys."""

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
_BATCH_ROWS = 1000
_LAST_REVISION_WITH_VAULT = "0010"
"""The last revision of the hub's database that has the vault."""


def move_from_hub(hub: Database, vault: Database, hub_keys: Path, trust_keys: Path) -> None:
    """Move the vault from the hub's database, and the third party's keyrings from the hub's folder.

    Rows are copied before they are deleted, so that an interrupted move continues when it is called again.
    """
    with hub.begin(DatabaseRole.OWNER) as hub_connection:
        holds_vault = hub_connection.execute(text("SELECT to_regclass('trust.person') IS NOT NULL")).scalar_one()
    if holds_vault:
        migrate(hub, until=_LAST_REVISION_WITH_VAULT)
        _move_rows(hub, vault)
    trust_keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _KEYRINGS:
        if (hub_keys / name).exists() and not (trust_keys / name).exists():
            (hub_keys / name).rename(trust_keys / name)


def _move_rows(hub: Database, vault: Database) -> None:
    with hub.begin(DatabaseRole.OWNER) as hub_connection:
        with vault.begin(DatabaseRole.OWNER) as vault_connection:
            for table, columns in _TABLES.items():
                names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
                rows = hub_connection.execute(text(f"SELECT {names} FROM trust.{table}")).mappings()  # noqa: S608 - named above
                for batch in rows.partitions(_BATCH_ROWS):
                    vault_connection.execute(
                        text(f"INSERT INTO trust.{table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING"),  # noqa: S608
                        [dict(row) for row in batch],
                    )
        # The copies are committed: now the rows may be deleted.
        for table in _TABLES:
            hub_connection.execute(text(f"DELETE FROM trust.{table}"))  # noqa: S608
