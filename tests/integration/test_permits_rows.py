"""Accounts, projects and permits in a real database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from imaging_hub.audit import trail
from imaging_hub.database import Database
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.errors import HubError, NotFound
from imaging_hub.http.access_token import token_hash
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole, RequestActor

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_project(database: Database) -> str:
    with database.begin(Login.WORKER) as connection:
        accounts.add(connection, "ada", AccountRole.RESEARCHER, NOW + HOUR, by="op")
        projects.add(
            connection, "p", title="T", purpose="research", public_interest="it helps", legal_basis="MR-004", by="op"
        )
        return projects.grant(
            connection,
            "p",
            valid_from=date(2026, 1, 1),
            valid_until=date(2026, 12, 31),
            holders=["ada"],
            modalities=["CT", "CT"],
            domains=["diagnosis"],
            by="op",
        )


def test_a_token_is_known_only_by_its_hash(database: Database) -> None:
    with database.begin(Login.WORKER) as connection:
        token = accounts.add(connection, "ada", AccountRole.RESEARCHER, NOW + HOUR, by="op")
        stored = connection.execute(text("SELECT row_to_json(a)::text FROM hub.account a")).scalar_one()
        trailed = connection.execute(
            text("SELECT string_agg(row_to_json(e)::text, '') FROM audit.entry e")
        ).scalar_one()
    assert len(token) >= 43
    assert token not in stored + trailed
    with database.begin(Login.WEB) as connection:
        known = accounts.authenticate(connection, token_hash(token), NOW)
        assert known == RequestActor("ada", AccountRole.RESEARCHER)
        assert accounts.authenticate(connection, token_hash(token + "x"), NOW) is None
        late = accounts.authenticate(connection, token_hash(token), NOW + HOUR)
        assert late == RequestActor("ada", AccountRole.RESEARCHER, expired=True)


def test_a_renewed_account_loses_its_old_token_and_keeps_its_role(database: Database) -> None:
    with database.begin(Login.WORKER) as connection:
        old = accounts.add(connection, "ada", AccountRole.RESEARCHER, NOW, by="op")
        new = accounts.add(connection, "ada", AccountRole.RESEARCHER, NOW + HOUR, by="op")
        assert accounts.authenticate(connection, token_hash(old), NOW) is None
        assert accounts.authenticate(connection, token_hash(new), NOW) is not None
        with pytest.raises(HubError, match="another role"):
            accounts.add(connection, "ada", AccountRole.OPERATOR, NOW + HOUR, by="op")


def test_a_hospital_account_names_its_hospital(database: Database) -> None:
    with database.begin(Login.WORKER) as connection:
        with pytest.raises(HubError, match="FINESS"):
            accounts.add(connection, "chu", AccountRole.HOSPITAL, NOW, by="op")
        with pytest.raises(HubError, match="FINESS"):
            accounts.add(connection, "ada", AccountRole.RESEARCHER, NOW, finess="750712184", by="op")
        accounts.add(connection, "chu", AccountRole.HOSPITAL, NOW, finess="750712184", by="op")
        assert [account.finess for account in accounts.list_accounts(connection)] == ["750712184"]


def test_a_permit_is_read_back_as_it_was_granted_and_revoked(database: Database) -> None:
    permit_id = a_project(database)
    with database.begin(Login.WEB) as connection:
        permit = projects.find_permit(connection, permit_id)
        assert permit is not None
        assert (permit.project, permit.revoked, permit.holders) == ("p", False, {"ada"})
        assert (permit.modalities, permit.domains) == ({"CT"}, {"diagnosis"})
        assert projects.list_permits(connection, holder="ada") == [permit]
        assert projects.list_permits(connection, holder="bob") == []
        assert projects.list_permits(connection, project="q") == []
        assert projects.find_permit(connection, None) is None
        assert projects.find_permit(connection, "permit-0") is None
    with database.begin(Login.WORKER) as connection:
        projects.revoke(connection, permit_id, by="op")
        revoked = projects.find_permit(connection, permit_id)
        assert revoked is not None
        assert revoked.revoked
        assert trail.verify(connection) == 4


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"valid_until": date(2025, 1, 1)}, "ends on or after"),
        ({"holders": []}, "names its holders"),
        ({"modalities": []}, "names its holders"),
        ({"domains": ["gossip"]}, "domain"),
        ({"holders": ["nobody"]}, "no such"),
    ],
)
def test_a_permit_that_makes_no_sense_is_refused(database: Database, change: dict[str, object], fault: str) -> None:
    a_project(database)
    values: dict[str, object] = {
        "valid_from": date(2026, 1, 1),
        "valid_until": date(2026, 12, 31),
        "holders": ["ada"],
        "modalities": ["CT"],
        "domains": [],
    }
    with pytest.raises(HubError, match=fault), database.begin(Login.WORKER) as connection:
        projects.grant(connection, "p", **{**values, **change}, by="op")  # type: ignore[arg-type]


def test_what_is_not_there_cannot_be_revoked_or_doubled(database: Database) -> None:
    a_project(database)
    with database.begin(Login.WORKER) as connection:
        with pytest.raises(NotFound):
            projects.revoke(connection, "permit-0", by="op")
        with pytest.raises(NotFound):
            accounts.load_actor(connection, "nobody", NOW)
        with pytest.raises(HubError, match="of that name"):
            projects.add(connection, "p", title="T", purpose="x", public_interest="x", legal_basis="x", by="op")
        with pytest.raises(HubError, match="needs"):
            projects.add(connection, "q", title=" ", purpose="x", public_interest="x", legal_basis="x", by="op")
        assert [project.id for project in projects.list_projects(connection)] == ["p"]
