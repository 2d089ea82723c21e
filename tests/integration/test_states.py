"""A state of the code is one that the database takes, and the other way round."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest
from sqlalchemy import text

from imaging_hub.archive.index import ArchivedStudyState, ReviewState
from imaging_hub.cohorts.release import ReleaseState
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake.completeness import ReceivedStudyState
from imaging_hub.intake.journal import InstanceState
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.trust.vault import EpochState, Vault

HUB: dict[str, type[StrEnum]] = {
    "identifying.study.state": ReceivedStudyState,
    "identifying.instance.state": InstanceState,
    "identifying.sender.keep_originals": KeepOriginals,
    "hub.study.state": ArchivedStudyState,
    "hub.series.review_state": ReviewState,
    "hub.release.state": ReleaseState,
}
NEVER_WRITTEN = {"hub.study.state": {"OPEN"}}
"""What an early version meant to write; to forbid it would lock the table in an upgrade."""


def words_of(database: Database, role: DatabaseRole, column: str) -> set[str]:
    """The words that a column may hold by its check."""
    table, _, name = column.rpartition(".")
    with database.begin(role) as connection:
        checks = connection.execute(
            text(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
                " AND conrelid = CAST(:table AS regclass)"
            ),
            {"table": table},
        ).scalars()
        (check,) = [check for check in checks if re.match(rf"CHECK \(\({name} (= ANY|~)", check)]
    return set(re.findall(r"[A-Za-z_-]{3,}", " ".join(re.findall(r"'([^']+)'", check))))


@pytest.mark.parametrize("column", HUB)
def test_the_hub_knows_the_states_of_its_tables(database: Database, column: str) -> None:
    expected = {state.value for state in HUB[column]}
    assert words_of(database, DatabaseRole.OWNER, column) - NEVER_WRITTEN.get(column, set()) == expected


def test_the_third_party_knows_the_states_of_its_epochs(vault: Vault) -> None:
    assert words_of(vault.database, DatabaseRole.TRUST, "trust.epoch.state") == {state.value for state in EpochState}
