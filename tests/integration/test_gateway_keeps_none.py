"""Senders whose originals are never kept: de-identified in memory before the answer, checked with the whole study."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from alembic import command
from locks import until_somebody_waits
from raw_scu import Instance, RawScu, Row, an_instance, let_in, receiving, rows
from sqlalchemy import text

from imaging_hub import database as databases
from imaging_hub.cli.serve import prepare
from imaging_hub.cohorts.applied_oppositions import apply
from imaging_hub.database import HUB_SCHEMA, Database, DatabaseRole
from imaging_hub.deidentification.engine.actions import InstanceActions
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.intake import completeness, deidentification_socket, study_keys
from imaging_hub.intake.study_keys import OriginalOwner, open_study_keys
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work.inline_deidentification import InlineDeidentifier, serve
from imaging_hub.work.pipeline import StudyPipeline

HIDES = [(0x00180024, "SH", "KERGADEC PORTAL")]
"""A name in a value that may stay as it is, unless somebody of the study is known to be called so."""
NAMES = [(0x00080090, "PN", "KERGADEC^ANNE")]


@contextmanager
def attended(settings: Settings, database: Database, third_party: ThirdParty) -> Iterator[None]:
    """Inline de-identification until the end of the block."""
    listening = deidentification_socket.listen(settings.handover_socket)
    thread = Thread(target=serve, args=(listening, InlineDeidentifier(settings, database, third_party)))
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def gateway(settings: Settings, database: Database, third_party: ThirdParty) -> Iterator[StorageServer]:
    """A receiver for one sender of whom nothing is kept, and inline de-identification."""
    prepare(settings).dispose()
    let_in(database, keep_originals="never")
    with attended(settings, database, third_party), receiving(settings, database) as server:
        yield server


@pytest.fixture
def pipeline(settings: Settings, database: Database, third_party: ThirdParty) -> StudyPipeline:
    """What a worker of this hub can do."""
    return StudyPipeline(settings, database, third_party)


def _send(gateway: StorageServer, *instances: Instance) -> None:
    association = RawScu(gateway.port)
    assert [association.store(instance) for instance in instances] == [0] * len(instances)
    association.release()


def _process(pipeline: StudyPipeline, database: Database) -> None:
    """Close what is open, whatever its quiet period, and process what waits."""
    with database.begin(DatabaseRole.WORKER) as connection:
        completeness.close_quiet_studies(connection, -1)
        studies = completeness.list_complete_studies(connection)
    for study in studies:
        pipeline.process_study(study)


def _standings(database: Database) -> Counter[tuple[str, str | None, bool]]:
    """How many instances are in each state, for which reason, and with their original kept."""
    return Counter((row.state, row.reason, row.kept) for row in rows(database))


def _objects(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.objects.removeprefix("file://")).rglob("*") if path.is_file()]


def _count(database: Database, table: str) -> int:
    with database.begin(DatabaseRole.OWNER) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _headers(database: Database) -> list[bytes]:
    with database.begin(DatabaseRole.WEB) as connection:
        return [bytes(header) for header in connection.execute(text("SELECT header FROM hub.instance")).scalars()]


def test_an_instance_is_archived_and_its_original_never_touches_the_disk(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    # Where a folder should be there is a file: whoever wanted to write an original could not.
    settings.spool.rmdir()
    settings.spool.touch()
    _send(gateway, an_instance(1), an_instance(2))
    assert _standings(database) == {("RECEIVED", None, False): 2}
    assert len(_objects(settings)) == 2
    assert _count(database, "hub.instance") == 0, "nothing is indexed before the study is complete"
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, False): 2}
    assert _count(database, "hub.instance") == 2
    assert _count(database, "identifying.outcome") == 0
    assert not any(b"DUPONT" in file.read_bytes() for file in settings.home.rglob("*") if file.is_file())


def test_what_a_worker_would_archive_is_archived_byte_for_byte(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database, settings: Settings
) -> None:
    let_in(database, "KEEPS", hospital="chu-test", keep_originals="always")
    keeps = RawScu(gateway.port, calling="KEEPS")
    assert keeps.store(an_instance(1, also=NAMES)) == 0
    _process(pipeline, database)
    with database.begin(DatabaseRole.WEB) as connection:
        (by_worker,) = connection.execute(text("SELECT digest FROM hub.instance")).scalars()
    with database.begin(DatabaseRole.OWNER) as connection:
        for table in ("hub.instance", "identifying.instance", "identifying.study", "identifying.sender"):
            connection.execute(text(f"TRUNCATE {table} CASCADE"))
    let_in(database, keep_originals="never")
    _send(gateway, an_instance(1, also=NAMES))
    _process(pipeline, database)
    with database.begin(DatabaseRole.WEB) as connection:
        (inline,) = connection.execute(text("SELECT digest FROM hub.instance")).scalars()
    assert inline == by_worker
    assert _standings(database) == {("ARCHIVED", None, False): 1}


def test_while_inline_deidentification_is_away_an_instance_is_spooled(
    settings: Settings, database: Database, pipeline: StudyPipeline
) -> None:
    prepare(settings).dispose()
    let_in(database, keep_originals="never")
    with receiving(settings, database) as server:
        _send(server, an_instance(1))
    assert _standings(database) == {("RECEIVED", None, True): 1}
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, False): 1}


def test_where_the_engine_fails_in_memory_is_logged_without_a_value_and_the_instance_takes_the_spool(
    gateway: StorageServer, database: Database, logged: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: InstanceActions, elements: Sequence[object], *_: object) -> None:
        raise LookupError("DUPONT", elements)

    monkeypatch.setattr(InstanceActions, "apply", broken)
    _send(gateway, an_instance(1))
    assert _standings(database) == {("RECEIVED", None, True): 1}
    (event,) = [event for event in logged if event["event"] == "engine-fault"]
    assert event["fault"] == "LookupError"
    assert str(event["place"]).startswith("deidentification.engine.deidentifier:")
    assert "DUPONT" not in json.dumps(logged)


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (an_instance(1, pixels=9 << 20), None),
        (an_instance(1, patient=""), "patient-id-missing"),
        (an_instance(1, also=[(0x00280301, "CS", "YES")]), "burned-in-text-possible"),
    ],
    ids=["too large for memory", "nobody's", "held by the profile"],
)
def test_what_cannot_be_decided_on_at_once_takes_the_spool(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database, instance: Instance, reason: str | None
) -> None:
    _send(gateway, instance)
    assert _standings(database) == {("RECEIVED", None, True): 1}
    _process(pipeline, database)
    settled = ("ARCHIVED", None, False) if reason is None else ("QUARANTINED", reason, True)
    assert _standings(database) == {settled: 1}


def test_a_hospital_with_another_sender_that_keeps_originals_has_them_kept(
    gateway: StorageServer, database: Database
) -> None:
    let_in(database, "KEEPS", hospital="chu-test", keep_originals="30")
    _send(gateway, an_instance(1))
    assert _standings(database) == {("RECEIVED", None, True): 1}


def test_a_name_that_another_header_tells_later_has_the_instance_sent_again(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    hides, names = an_instance(1, also=HIDES), an_instance(2, also=NAMES)
    _send(gateway, hides, names)
    assert _standings(database) == {("RECEIVED", None, False): 2}
    _process(pipeline, database)
    assert _standings(database) == {("QUARANTINED", "send-again", False): 1, ("ARCHIVED", None, False): 1}
    assert len(_objects(settings)) == 1, "what may not leave is not kept either"
    _send(gateway, hides)
    assert _standings(database) == {("RECEIVED", None, True): 1, ("ARCHIVED", None, False): 1}
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, False): 2}
    assert not any(b"KERGADEC" in header for header in _headers(database))
    assert any(b"PORTAL" in header for header in _headers(database))


def test_a_name_that_was_told_before_is_cleaned_at_once(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database
) -> None:
    _send(gateway, an_instance(1, also=NAMES), an_instance(2, also=HIDES))
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, False): 2}
    assert not any(b"KERGADEC" in header for header in _headers(database))


def test_a_second_patient_in_a_study_keeps_the_study_out_of_the_archive(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _send(gateway, an_instance(1), an_instance(2, patient="IPP2"))
    _process(pipeline, database)
    held = ("QUARANTINED", "patient-conflict")
    assert _standings(database) == {(*held, False): 1, (*held, True): 1}
    assert _objects(settings) == []
    _send(gateway, an_instance(1))
    assert _standings(database) == {(*held, True): 2}, "of what is held, the original is kept when it comes again"


def test_who_opposes_leaves_nothing(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _send(gateway, an_instance(1))
    with database.begin(DatabaseRole.OWNER) as connection:
        sid = connection.execute(text("SELECT sid FROM identifying.identity")).scalar_one()
    with database.begin(DatabaseRole.WORKER) as connection:
        apply(connection, [sid], by="test")
    _send(gateway, an_instance(2, study=2))
    assert _standings(database) == {("RECEIVED", None, False): 1, ("RECEIVED", None, True): 1}
    _process(pipeline, database)
    assert _standings(database) == {("QUARANTINED", "patient-opposes", False): 2}
    assert _objects(settings) == []
    assert list(settings.spool.rglob("*.dcm")) == []


def test_a_resend_is_one_instance_and_another_content_is_a_conflict_that_is_kept(
    gateway: StorageServer, database: Database, settings: Settings
) -> None:
    _send(gateway, an_instance(1), an_instance(1))
    assert _standings(database) == {("RECEIVED", None, False): 1}
    _send(gateway, an_instance(1, note="another"))
    assert _standings(database) == {
        ("RECEIVED", None, False): 1,
        ("QUARANTINED", "sop-instance-conflict", True): 1,
    }
    conflict: Row = rows(database)[1]
    assert (settings.spool / conflict.digest[:2] / f"{conflict.digest}.dcm").exists()


def test_an_original_that_comes_after_its_outcome_is_what_is_worked_on(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database
) -> None:
    hides, names = an_instance(1, also=HIDES), an_instance(2, also=NAMES)
    _send(gateway, hides, names)
    let_in(database, keep_originals="30")
    _send(gateway, hides)
    assert _standings(database) == {("RECEIVED", None, True): 1, ("RECEIVED", None, False): 1}
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, True): 1, ("ARCHIVED", None, False): 1}
    assert not any(b"KERGADEC" in header for header in _headers(database))


def test_an_original_that_comes_while_its_outcome_is_worked_on_is_not_asked_for_again(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database
) -> None:
    hides, names = an_instance(1, also=HIDES), an_instance(2, also=NAMES)
    _send(gateway, hides, names)
    let_in(database, keep_originals="30")
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("SELECT 1 FROM identifying.study FOR UPDATE"))
        worker = Thread(target=pipeline.process_study, args=(study,))
        worker.start()
        until_somebody_waits(database)
        _send(gateway, hides)
    worker.join()
    assert _standings(database) == {("RECEIVED", None, True): 1, ("ARCHIVED", None, False): 1}
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, True): 1, ("ARCHIVED", None, False): 1}
    assert not any(b"KERGADEC" in header for header in _headers(database))


def test_an_instance_whose_object_is_gone_is_not_indexed_but_asked_for_again(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _send(gateway, an_instance(1), an_instance(2))
    gone = _objects(settings)[0]
    gone.unlink()
    _process(pipeline, database)
    assert _standings(database) == {("QUARANTINED", "send-again", False): 1, ("ARCHIVED", None, False): 1}
    _send(gateway, an_instance(1), an_instance(2))
    _process(pipeline, database)
    assert _standings(database) == {("ARCHIVED", None, False): 2}
    assert gone.exists()


def test_rules_that_changed_meanwhile_have_the_instance_sent_again(
    gateway: StorageServer, pipeline: StudyPipeline, database: Database
) -> None:
    _send(gateway, an_instance(1))
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.study SET profile = 'teaching'"))
    _process(pipeline, database)
    assert _standings(database) == {("QUARANTINED", "send-again", False): 1}


def test_the_gateway_can_neither_read_nor_open_what_came_of_an_instance(
    gateway: StorageServer, database: Database
) -> None:
    _send(gateway, an_instance(1))
    with database.begin(DatabaseRole.OWNER) as connection:
        sealed = bytes(connection.execute(text("SELECT sealed FROM identifying.outcome")).scalar_one())
        sid = connection.execute(text("SELECT sid FROM identifying.identity")).scalar_one()
    assert sid.encode() not in sealed
    assert b"DUPONT" not in sealed
    with (
        psycopg.connect(database.conninfo(DatabaseRole.GATEWAY)) as line,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        line.execute("SELECT sealed FROM identifying.outcome")


def test_a_study_that_cannot_be_processed_leaves_no_object(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _send(gateway, an_instance(1))
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    pipeline.give_up(study)
    assert _standings(database) == {("QUARANTINED", "processing-failed", False): 1}
    assert _objects(settings) == []


def test_an_upgrade_is_not_taken_back_while_instances_wait_without_an_original(
    gateway: StorageServer, database: Database
) -> None:
    _send(gateway, an_instance(1))
    config = databases.alembic_config(HUB_SCHEMA)
    with (
        database.engine(DatabaseRole.OWNER).begin() as owner,
        pytest.raises(RuntimeError, match="without an original wait"),
    ):
        config.attributes["connection"] = owner
        command.downgrade(config, "0014")


def test_a_study_s_key_stays_while_an_outcome_waits_for_it(gateway: StorageServer, database: Database) -> None:
    _send(gateway, an_instance(1))
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.study_key SET used_at = now() - interval '9 days'"))
        assert study_keys.shred_unused_keys(connection) == 0
        connection.execute(text("DELETE FROM identifying.outcome"))
        assert study_keys.shred_unused_keys(connection) == 1


def test_an_object_that_is_indexed_already_stays_when_its_twin_is_refused(
    gateway: StorageServer, pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _send(gateway, an_instance(1))
    (stored,) = _objects(settings)
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("INSERT INTO hub.object (digest, size) VALUES (:digest, 1)"), {"digest": stored.name})
    _send(gateway, an_instance(2, patient="IPP2"))
    _process(pipeline, database)
    assert _standings(database)["QUARANTINED", "patient-conflict", False] == 1
    assert _objects(settings) == [stored]


def test_only_the_hub_s_own_user_reaches_the_socket(gateway: StorageServer, settings: Settings) -> None:
    assert gateway.port
    assert settings.handover_socket.stat().st_mode & 0o777 == 0o600


def test_a_study_is_sealed_under_the_key_that_its_identifiers_are_kept_with(
    gateway: StorageServer, database: Database, settings: Settings
) -> None:
    _send(gateway, an_instance(1, also=NAMES))
    key = open_study_keys(settings, database.login(DatabaseRole.WORKER)).get_key(
        OriginalOwner("chu-test", "1.2.826.0.2.1")
    )
    with database.begin(DatabaseRole.OWNER) as connection:
        kept = connection.execute(text("SELECT id, identifiers FROM identifying.study_key")).one()
    assert kept.id == key.id
    assert b"KERGADEC" not in bytes(kept.identifiers)
