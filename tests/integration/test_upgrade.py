"""A hub of before goes on after its schema was brought to the newest revision; back it goes while nothing is sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from archived import archive, deidentified, slice_of
from fresh_databases import dropped, empty
from raw_scu import RawScu, an_instance, receiving, rows
from sqlalchemy import text
from third_parties import reached

from imaging_hub import database as databases
from imaging_hub.cli.serve import prepare
from imaging_hub.database import HUB_SCHEMA, Database, DatabaseRole
from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import level2
from imaging_hub.review import differences
from imaging_hub.review.differences import AttributeDifference
from imaging_hub.settings import Settings
from imaging_hub.trust import vault_relocation
from imaging_hub.trust.vault import Vault

TOKEN, SID = "h1e01-" + "0" * 32, "a" * 32


def taken_back(database: Database, revision: str) -> None:
    config = databases.alembic_config(HUB_SCHEMA)
    with database.engine(DatabaseRole.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.downgrade(config, revision)


@pytest.fixture
def of_before(settings: Settings, database: Database, server: Database) -> Iterator[tuple[Settings, Database]]:
    """A hub of the first revision, whose vault and its key are among its own, and room for the third party's."""
    taken_back(database, "0001")
    former = Keyring.create(settings.keys / "trust.json", ("level2",))
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(
            text(
                "INSERT INTO identifying.sender (calling_ae_title, address, hospital, finess, profile)"
                " VALUES ('HOSPITAL', '127.0.0.1', 'chu-test', '750000001', 'basic')"
            )
        )
        owner.execute(
            text("INSERT INTO trust.epoch (epoch, fingerprint) VALUES (1, :known)"),
            {"known": former.fingerprint("level2")},
        )
        owner.execute(
            text("INSERT INTO trust.person (token, kind, epoch, sid) VALUES (:token, 'INS', 1, :sid)"),
            {"token": level2(former.key("level2"), TOKEN), "sid": SID},
        )
    own = empty(server)
    url = own.owner_url.render_as_string(hide_password=False)
    with_its_own = {"trust_url": None, "trust_database_url": url, "trust_database_role_password": "unused"}
    yield Settings(**{**settings.model_dump(), **with_its_own}), own
    dropped(own, server)


def test_a_hub_of_the_first_revision_is_brought_to_the_newest(
    of_before: tuple[Settings, Database], database: Database
) -> None:
    settings, own = of_before
    assert databases.count_missing_revisions(database) == len(list(HUB_SCHEMA.revisions.glob("0*.py"))) - 1
    prepare(settings).dispose()
    assert databases.count_missing_revisions(database) == 0
    with reached(Vault(own, settings.trust_keys)) as third_party:
        assert third_party.subject(TOKEN, "INS") == SID
    assert not (settings.keys / "trust.json").exists()
    with receiving(settings, database) as gateway:
        assert RawScu(gateway.port).store(an_instance()) == 0
    assert [row.state for row in rows(database)] == ["RECEIVED"]
    with pytest.raises(RuntimeError, match="sealed"):
        taken_back(database, "0001")
    assert databases.count_missing_revisions(database) == 0


def test_what_was_done_to_instances_is_told_the_same_after_an_upgrade(database: Database) -> None:
    archive(database, [deidentified(slice_of("2.25.1", "2.25.2", n, z=float(n))) for n in range(1, 4)])

    def told() -> Sequence[AttributeDifference]:
        with database.begin(DatabaseRole.WEB) as connection:
            return differences.list_differences(connection, "2.25.2", None)

    before = told()
    taken_back(database, "0012")
    databases.migrate(database)
    assert told() == before
    assert {one.instances for one in before} == {3}


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["copied", "moved", "renaming"])
def test_a_vault_that_moves_arrives_wherever_it_is_broken_off(
    of_before: tuple[Settings, Database], database: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    settings, own = of_before

    def killed(*_: object, **__: object) -> None:
        raise Killed

    real: Any = getattr(vault_relocation, "_move_rows" if step == "moved" else "text")

    def after_it(*arguments: Any) -> None:
        real(*arguments)
        raise Killed

    if step == "copied":  # and not deleted in the hub's
        monkeypatch.setattr(vault_relocation, "text", lambda one: killed() if "DELETE" in one else real(one))
    elif step == "moved":
        monkeypatch.setattr(vault_relocation, "_move_rows", after_it)
    else:
        monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(Killed):
        prepare(settings)
    monkeypatch.undo()
    prepare(settings).dispose()
    with reached(Vault(own, settings.trust_keys)) as third_party:
        assert third_party.subject(TOKEN, "INS") == SID
    with own.begin(DatabaseRole.OWNER) as connection:
        assert connection.execute(text("SELECT count(*) FROM trust.person")).scalar_one() == 1


def test_a_vault_that_would_be_left_behind_stops_the_upgrade(
    of_before: tuple[Settings, Database], database: Database
) -> None:
    settings, _ = of_before
    with pytest.raises(KeyringError) as refused:
        prepare(settings.model_copy(update={"trust_url": "http://127.0.0.1:1"}))
    assert refused.value.code == "vault-here"
    with database.begin(DatabaseRole.OWNER) as owner:
        assert owner.execute(text("SELECT sid FROM trust.person")).scalar_one() == SID
