"""A hub of before goes on after its schema was brought to the newest revision; back it goes while nothing is sealed."""

from __future__ import annotations

import pytest
from alembic import command
from raw_scu import RawScu, an_instance, receiving, rows
from sqlalchemy import text

from imaging_hub import database as databases
from imaging_hub.cli.serve import prepare
from imaging_hub.database import Database, Role
from imaging_hub.settings import Settings


def test_a_hub_of_the_first_revision_is_brought_to_the_newest(settings: Settings, database: Database) -> None:
    config = databases._migrations()
    with database.engine(Role.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.downgrade(config, "0001")
    assert databases.revisions_missing(database) == 9
    with database.begin(Role.OWNER) as owner:
        owner.execute(
            text(
                "INSERT INTO identifying.sender (calling_ae_title, address, hospital, finess, profile)"
                " VALUES ('HOSPITAL', '127.0.0.1', 'chu-test', '750000001', 'basic')"
            )
        )
    prepare(settings).dispose()
    assert databases.revisions_missing(database) == 0
    with receiving(settings, database) as gateway:
        assert RawScu(gateway.port).store(an_instance()) == 0
    assert [row.state for row in rows(database)] == ["RECEIVED"]
    with (
        pytest.raises(RuntimeError, match="sealed"),
        database.engine(Role.OWNER).begin() as owner,
    ):
        config.attributes["connection"] = owner
        command.downgrade(config, "0001")
    assert databases.revisions_missing(database) == 0
