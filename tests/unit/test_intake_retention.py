"""Originals leave the spool when their time is over, and the journal says so."""

from __future__ import annotations

import pytest
from originals import spool_of
from sqlalchemy import text

from imaging_hub.audit import trail
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError
from imaging_hub.gateway import senders
from imaging_hub.intake import journal, retention
from imaging_hub.intake.journal import Arrival, InstanceState
from imaging_hub.intake.recovery import recover
from imaging_hub.intake.retention import KeepOriginals, RetentionPolicy
from imaging_hub.intake.spool import Spool
from imaging_hub.intake.study_keys import OriginalOwner
from imaging_hub.settings import Settings


def _archived(database: Database, spool: Spool, number: int) -> int:
    spooled = spool.store([b"\0" * 128, b"DICM", bytes([number]) * 100], OriginalOwner("chu-test"))
    with database.begin(DatabaseRole.GATEWAY) as connection:
        recorded = journal.record(
            connection,
            Arrival("chu", "750000001", f"1.2.{number}", "1.2.3", "1.2.840.10008.1.2.1", "1.2", "1.3", "IPP", "CT",
                    spooled.digest, spooled.size),
            "p",
        )  # fmt: skip
    with database.begin(DatabaseRole.WORKER) as connection:
        journal.settle_deidentified(
            connection, [journal.DeidentifiedEntry(recorded.id, f"2.25.{number}", "2.25.9", "d")]
        )
        journal.settle_archived(connection, [recorded.id])
        connection.execute(
            text("UPDATE identifying.instance SET settled_at = now() - interval '31 days' WHERE id = :id"),
            {"id": recorded.id},
        )
    return recorded.id


def test_only_what_the_caller_lets_go_is_purged(settings: Settings, database: Database) -> None:
    spool = spool_of(settings, database)
    first, second = _archived(database, spool, 1), _archived(database, spool, 2)
    with database.begin(DatabaseRole.WORKER) as connection:
        found = retention.list_expired(connection, days=30)
        assert [original.id for original in found] == [first, second]
        assert retention.list_expired(connection, days=32) == []
        assert retention.purge(connection, spool, found[:1]) == 1
    with database.begin(DatabaseRole.WORKER) as connection:
        assert [original.id for original in retention.list_expired(connection, days=30)] == [second]
        assert trail.verify(connection) == 1
        assert journal.count_by_state(connection) == {(InstanceState.ARCHIVED, None): 2}
    assert not spool.path(found[0].digest).exists()
    assert spool.path(found[1].digest).exists()


def test_a_purged_original_that_is_still_there_goes_at_the_next_start(settings: Settings, database: Database) -> None:
    spool = spool_of(settings, database)
    _archived(database, spool, 1)
    with database.begin(DatabaseRole.WORKER) as connection:
        connection.execute(text("UPDATE identifying.instance SET purged_at = now()"))
    with database.begin(DatabaseRole.GATEWAY) as connection:
        found = recover(connection, spool)
    assert (found.leftovers, found.orphans, found.missing) == (1, 0, [])
    assert list(spool.folder.rglob("*.dcm")) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("never", KeepOriginals.NEVER),
        ("until-released", KeepOriginals.UNTIL_RELEASED),
        ("always", KeepOriginals.ALWAYS),
        ("0", 0),
        ("00030", 30),
        ("99999", 99999),
    ],
)
def test_how_long_originals_stay_is_a_word_or_days(database: Database, written: str, meant: RetentionPolicy) -> None:
    policy = retention.parse_policy(written)
    assert policy == meant
    assert type(policy) is type(meant)
    described = senders.Sender("PACS", "10.0.0.1", "chu", "750000001", "basic", keep_originals=policy)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(connection, described)
        (known,) = senders.list_senders(connection)
    assert known.keep_originals == policy
    assert retention.parse_policy(str(senders.as_text(described)["keep_originals"])) == policy


@pytest.mark.parametrize("written", ["", "forever", "Never", "-1", "100000", "1.5", "٣", " 30"])
def test_what_is_no_such_word_and_no_days_is_refused(written: str) -> None:
    with pytest.raises(HubError) as refused:
        retention.parse_policy(written)
    assert (refused.value.code, bool(refused.value.hint)) == ("keep-originals", True)


@pytest.mark.parametrize(
    ("policies", "ids", "at_once"),
    [
        (["never"], 2, True),
        (["until-released"], 2, False),
        (["7"], 1, False),
        (["60"], 0, False),
        ([None], 1, False),
        (["never", "60"], 0, False),
        (["never", "until-released"], 2, False),
    ],
)
def test_a_sender_says_how_long_its_originals_stay(
    settings: Settings, database: Database, policies: list[str | None], ids: int, at_once: bool
) -> None:
    """One original was archived 31 days ago, one just now; of two senders the one that keeps longest decides."""
    spool = spool_of(settings, database)
    _archived(database, spool, 1)
    fresh = _archived(database, spool, 2)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        for number, policy in enumerate(policies):
            senders.add(
                connection,
                senders.Sender(
                    calling_ae_title=f"PACS{number}",
                    address="10.0.0.1",
                    hospital="chu",
                    finess="750000001",
                    profile="basic",
                    keep_originals=None if policy is None else retention.parse_policy(policy),
                ),
            )
    with database.begin(DatabaseRole.WORKER) as connection:
        connection.execute(text("UPDATE identifying.instance SET settled_at = now() WHERE id = :id"), {"id": fresh})
    with database.begin(DatabaseRole.WORKER) as connection:
        found = retention.list_expired(connection, days=30)
    assert len(found) == ids
    assert {one.at_once for one in found} <= {at_once}
