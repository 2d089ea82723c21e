"""A complete study goes through the pipeline whole, once, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from locks import until_somebody_waits
from originals import spool_of
from prometheus_client import CollectorRegistry, generate_latest
from raw_scu import an_instance
from sqlalchemy import text
from starlette.testclient import TestClient

from imaging_hub.cli.serve import prepare
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.engine.actions import InstanceActions
from imaging_hub.dicom import part10
from imaging_hub.errors import StorageUnavailable
from imaging_hub.gateway import senders
from imaging_hub.gateway.hospital_feed_metrics import FeedMetrics
from imaging_hub.intake import completeness, journal
from imaging_hub.intake.journal import Arrival
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.intake.study_keys import OriginalOwner
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.web.app import create_app
from imaging_hub.work import job_queue
from imaging_hub.work.pipeline import StudyPipeline

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def pipeline(settings: Settings, database: Database, third_party: ThirdParty) -> StudyPipeline:
    """What a worker of this hub can do."""
    prepare(settings).dispose()
    return StudyPipeline(settings, database, third_party)


def _arrive(
    settings: Settings,
    database: Database,
    number: int,
    patient: str = "IPP1",
    also: Sequence[tuple[int, str, str]] = (),
    pixels: int = 512,
) -> None:
    """An instance of the one study, as the receiver leaves it."""
    sent = an_instance(number, patient=patient, also=also, pixels=pixels)
    settings.spool.mkdir(parents=True, exist_ok=True)
    file = part10.file_meta(sent.sop_class_uid, sent.sop_instance_uid, EXPLICIT) + sent.dataset
    spooled = spool_of(settings, database).store([file], OriginalOwner("chu-test", "1.2.826.0.2.1"))
    arrival = Arrival(
        hospital="chu-test", finess="750000001", sop_instance_uid=sent.sop_instance_uid,
        sop_class_uid=sent.sop_class_uid, transfer_syntax_uid=EXPLICIT, study_instance_uid="1.2.826.0.2.1",
        series_instance_uid="1.2.826.0.3.1", patient_id=patient, modality="CT", digest=spooled.digest,
        size=spooled.size,
    )  # fmt: skip
    with database.begin(DatabaseRole.GATEWAY) as connection:
        journal.record(connection, arrival, "research-longitudinal")


def _process(pipeline: StudyPipeline, database: Database) -> list[int]:
    """Close the study, whatever its quiet period, and process it."""
    with database.begin(DatabaseRole.WORKER) as connection:
        studies = completeness.close_quiet_studies(connection, -1)
    for study in studies:
        pipeline.process_study(study)
    return studies


def _states(database: Database) -> Counter[str]:
    with database.begin(DatabaseRole.WORKER) as connection:
        rows = connection.execute(text("SELECT coalesce(reason, state) FROM identifying.instance")).scalars()
        return Counter(rows)


def _count(database: Database, table: str) -> int:
    with database.begin(DatabaseRole.WEB) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_study_with_two_patient_ids_is_quarantined_whole(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1, "IPP1")
    _arrive(settings, database, 2, "IPP2")
    _process(pipeline, database)
    assert _states(database) == {"patient-conflict": 2}
    assert _count(database, "hub.instance") == _count(database, "hub.subject") == 0


def test_a_study_processed_twice_is_archived_once(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1)
    _arrive(settings, database, 2)
    (study,) = _process(pipeline, database)
    entries = _count(database, "audit.entry")
    pipeline.process_study(study)
    assert _states(database) == {"ARCHIVED": 2}
    assert _count(database, "hub.instance") == 2
    assert _count(database, "audit.entry") == entries


def test_a_study_whose_object_is_gone_before_it_is_indexed_is_tried_again(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1)
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    with ThreadPoolExecutor(1) as worker:
        with database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text("SELECT 1 FROM identifying.study FOR UPDATE"))
            working = worker.submit(pipeline.process_study, study)
            until_somebody_waits(database)
            (made,) = Path(settings.objects.removeprefix("file://")).glob("??/*")
            made.unlink()
        with pytest.raises(StorageUnavailable, match="gone before it was indexed"):
            working.result()
    assert _count(database, "hub.instance") == 0
    pipeline.process_study(study)
    assert _states(database) == {"ARCHIVED": 1}
    assert made.exists()


ROUNDS = 5


def test_two_workers_at_once_archive_a_study_once(
    settings: Settings, database: Database, third_party: ThirdParty
) -> None:
    """T15: the queue lets one in at a time; were it to fail, the tables would still hold everything once."""
    prepare(settings).dispose()
    workers = [StudyPipeline(settings, database, third_party) for _ in range(2)]
    for number in range(ROUNDS):
        _arrive(settings, database, number)
        with database.begin(DatabaseRole.WORKER) as connection:
            (study,) = completeness.close_quiet_studies(connection, -1)
        meet = threading.Barrier(len(workers))

        def work(worker: StudyPipeline, study: int = study, meet: threading.Barrier = meet) -> None:
            meet.wait()
            worker.process_study(study)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with database.begin(DatabaseRole.OWNER) as connection:
        indexed = connection.execute(text("SELECT count(*), count(DISTINCT digest) FROM hub.instance")).one()
        archived = connection.execute(
            text("SELECT object, count(*) FROM audit.entry WHERE action = 'study-archived' GROUP BY object")
        ).all()
    assert tuple(indexed) == (ROUNDS, ROUNDS)
    assert _states(database) == {"ARCHIVED": ROUNDS}
    assert [row.count for row in archived] == [1] * ROUNDS


def test_a_late_instance_opens_a_new_revision(pipeline: StudyPipeline, settings: Settings, database: Database) -> None:
    _arrive(settings, database, 1)
    (first,) = _process(pipeline, database)
    _arrive(settings, database, 2)
    (second,) = _process(pipeline, database)
    assert first != second
    with database.begin(DatabaseRole.WEB) as connection:
        study = connection.execute(text("SELECT revision, state FROM hub.study")).one()
    assert tuple(study) == (2, "RELEASABLE")
    assert _states(database) == {"ARCHIVED": 2}


def test_a_late_instance_is_searched_for_whom_the_ones_before_named(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1, also=[(0x00080090, "PN", "KERGADEC^ANNE")])
    _process(pipeline, database)
    _arrive(settings, database, 2, also=[(0x00180024, "SH", "KERGADEC PORTAL")])
    _process(pipeline, database)
    assert _states(database) == {"ARCHIVED": 2}
    with database.begin(DatabaseRole.WEB) as connection:
        headers = connection.execute(text("SELECT header FROM hub.instance")).scalars().all()
    assert not any(b"KERGADEC" in bytes(header) for header in headers)
    assert any(b"PORTAL" in bytes(header) for header in headers)


def test_of_a_large_image_that_its_beginning_refuses_the_rest_is_not_read(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1, also=[(0x00280301, "CS", "YES")], pixels=4 << 20)
    (file,) = settings.spool.rglob("*.dcm")
    with file.open("r+b") as sealed:  # whoever opens the whole of it finds it damaged
        sealed.seek(-100, os.SEEK_END)
        sealed.write(bytes(50))
    _process(pipeline, database)
    assert _states(database) == {"burned-in-text-possible": 1}


def test_what_a_study_is_known_by_is_sealed_and_goes_with_its_key(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1, also=[(0x00080090, "PN", "KERGADEC^ANNE")])
    _process(pipeline, database)
    with database.begin(DatabaseRole.OWNER) as connection:
        kept = bytes(connection.execute(text("SELECT identifiers FROM identifying.study_key")).scalar_one())
        connection.execute(text("DELETE FROM identifying.study_key"))
    assert kept
    assert b"KERGADEC" not in kept
    _arrive(settings, database, 2, also=[(0x00180024, "SH", "KERGADEC PORTAL")])
    with database.begin(DatabaseRole.OWNER) as connection:
        anew = connection.execute(text("SELECT identifiers FROM identifying.study_key")).scalar_one()
    assert anew is None


def test_what_cannot_be_processed_is_given_up_with_a_reason(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    _arrive(settings, database, 1)
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    pipeline.give_up(study)
    assert _states(database) == {"processing-failed": 1}


def test_where_the_engine_fails_is_logged_once_a_place_and_counted_and_no_value_is_told(
    pipeline: StudyPipeline,
    settings: Settings,
    database: Database,
    logged: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: InstanceActions, elements: Sequence[object], *_: object) -> None:
        raise LookupError("IPP1 DUPONT^JEANNE", elements)

    monkeypatch.setattr(InstanceActions, "apply", broken)
    for number in range(3):
        _arrive(settings, database, number)
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    _worked_on(database, pipeline, study)
    assert _states(database) == {"engine-fault": 3}
    (event,) = [event for event in logged if event["event"] == "engine-fault"]
    assert (event["fault"], event["instances"], event["study"]) == ("LookupError", 3, study)
    assert str(event["place"]).startswith("deidentification.engine.deidentifier:")
    assert [canary for canary in ("DUPONT", "JEANNE", "IPP1", "1.2.826") if canary in json.dumps(logged)] == []
    feeds = CollectorRegistry()
    feeds.register(FeedMetrics(database.login(DatabaseRole.GATEWAY)))
    counted = 'imaging_hub_feed_quarantined_instances{finess="750000001",reason="engine-fault"} 3.0'
    assert counted in generate_latest(feeds).decode()
    hub = TestClient(create_app(settings, database), client=("127.0.0.1", 1))
    assert 'imaging_hub_quarantined{kind="engine-fault"} 3.0' in hub.get("/metrics").text


def test_originals_that_are_never_kept_are_gone_once_the_study_is_archived(
    pipeline: StudyPipeline, settings: Settings, database: Database
) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="HOSPITAL",
                address="127.0.0.1",
                hospital="chu-test",
                finess="750000001",
                profile="research-longitudinal",
                keep_originals=KeepOriginals.NEVER,
            ),
        )
    for number in range(3):
        _arrive(settings, database, number)
    _process(pipeline, database)
    assert _states(database) == {"ARCHIVED": 3}
    assert list(settings.spool.rglob("*.dcm")) == []
    with database.begin(DatabaseRole.OWNER) as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM identifying.instance WHERE purged_at IS NULL")).scalar() == 0
        )


def _away(request: httpx.Request) -> httpx.Response:
    """A third party that goes between being looked at and being asked."""
    if request.url.path == "/readyz":
        return httpx.Response(200, json={"status": "ready"})
    return httpx.Response(503, json={"code": "rekeying", "detail": "d", "hint": "h"})


def _worked_on(database: Database, pipeline: StudyPipeline, study: int) -> None:
    """As often as would give a study up; in a thread, as the tests' own may have a loop already."""

    async def work() -> None:
        app = job_queue.create_app(database, pipeline)
        async with app.open_async():
            for _ in range(job_queue.MAX_ATTEMPTS + 1):
                await job_queue.enqueue(app, "study", study=study)
                await app.run_worker_async(wait=False, install_signal_handlers=False)

    with ThreadPoolExecutor(1) as alone:
        alone.submit(asyncio.run, work()).result()


def test_a_third_party_that_goes_while_a_study_is_processed_costs_it_no_attempt(
    settings: Settings, database: Database, third_party: ThirdParty
) -> None:
    prepare(settings).dispose()
    _arrive(settings, database, 1)
    with database.begin(DatabaseRole.WORKER) as connection:
        (study,) = completeness.close_quiet_studies(connection, -1)
    flighty = ThirdParty(httpx.Client(transport=httpx.MockTransport(_away), base_url="http://third-party"))
    _worked_on(database, StudyPipeline(settings, database, flighty), study)
    assert _states(database) == {"RECEIVED": 1}
    pipeline = StudyPipeline(settings, database, third_party)
    assert pipeline.due().studies == [study]
    _worked_on(database, pipeline, study)
    assert _states(database) == {"ARCHIVED": 1}


def test_no_study_is_due_while_the_third_party_is_away(settings: Settings, database: Database) -> None:
    prepare(settings).dispose()
    _arrive(settings, database, 1)
    with database.begin(DatabaseRole.WORKER) as connection:
        completeness.close_quiet_studies(connection, -1)
    assert not StudyPipeline(settings, database, ThirdParty(httpx.Client(base_url="http://127.0.0.1:1"))).due().studies
    assert _states(database) == {"RECEIVED": 1}
