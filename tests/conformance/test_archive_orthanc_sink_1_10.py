"""The sink against Debian's Orthanc 1.10, and against one that is down."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from archived import archive, deidentified, from_file, slice_of
from dicomweb_server import orthanc
from sqlalchemy import text

from imaging_hub.archive import search
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.orthanc_sink import OrthancSink
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's orthanc is not installed"),
]
STUDY = "2.25.100"


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "objects").as_uri())


@pytest.fixture
def peer(tmp_path: Path, free_port: int) -> Iterator[str]:
    with orthanc(tmp_path / "orthanc", free_port) as url:
        yield url


def files_in(peer: str) -> list[bytes]:
    names = httpx.get(f"{peer}/instances").json()
    return [httpx.get(f"{peer}/instances/{name}/file").content for name in names]


def awaiting(database: Database) -> list[str]:
    with database.begin(DatabaseRole.WORKER) as connection:
        return search.list_awaiting_sink(connection)


def test_a_study_is_stored_byte_for_byte_and_remembered(database: Database, objects: ObjectStore, peer: str) -> None:
    made = [deidentified(slice_of(STUDY, "2.25.200", n)) for n in range(3)]
    made += [
        deidentified(from_file(name, StudyInstanceUID=STUDY, SeriesInstanceUID=f"2.25.30{n}"))
        for n, name in enumerate(["MR_small_implicit.dcm", "JPEG2000.dcm", "test-SR.dcm"])
    ]
    archive(database, made, objects)
    assert awaiting(database) == [STUDY]
    sink = OrthancSink(peer, objects)
    sink.send_study(database.login(DatabaseRole.WORKER), STUDY)
    assert sorted(files_in(peer)) == sorted(b"".join(one.part10) for one in made)
    assert awaiting(database) == []
    sink.send_study(database.login(DatabaseRole.WORKER), STUDY)
    assert len(files_in(peer)) == len(made)


def test_a_new_deidentification_replaces_the_copy(database: Database, objects: ObjectStore, peer: str) -> None:
    sink = OrthancSink(peer, objects)
    for description in ("avant", "après"):
        made = deidentified(slice_of(STUDY, "2.25.200", 1, SeriesDescription=description))
        archive(database, [made], objects)
        sink.send_study(database.login(DatabaseRole.WORKER), STUDY)
        assert files_in(peer) == [b"".join(made.part10)]


def test_a_study_in_review_is_not_sent(database: Database, objects: ObjectStore, peer: str) -> None:
    archive(database, [deidentified(slice_of(STUDY, "2.25.200", 1), needs_review=True)], objects)
    OrthancSink(peer, objects).send_study(database.login(DatabaseRole.WORKER), STUDY)
    assert files_in(peer) == []


def test_a_sink_that_is_down_is_a_fault_that_can_be_tried_again(
    database: Database, objects: ObjectStore, tmp_path: Path, free_port: int
) -> None:
    made = deidentified(slice_of(STUDY, "2.25.200", 1))
    archive(database, [made], objects)
    sink = OrthancSink(f"http://127.0.0.1:{free_port}", objects, pauses_seconds=(0.01, 0.01))
    with pytest.raises(HubError) as fault:
        sink.send_study(database.login(DatabaseRole.WORKER), STUDY)
    assert fault.value.code == "sink-unavailable"
    assert str(free_port) not in str(fault.value)
    assert awaiting(database) == [STUDY]
    with orthanc(tmp_path / "orthanc", free_port) as peer:
        sink.send_study(database.login(DatabaseRole.WORKER), STUDY)
        assert files_in(peer) == [b"".join(made.part10)]


def test_a_sink_that_comes_back_is_waited_for(
    database: Database, objects: ObjectStore, tmp_path: Path, free_port: int
) -> None:
    archive(database, [deidentified(slice_of(STUDY, "2.25.200", 1))], objects)
    sink = OrthancSink(f"http://127.0.0.1:{free_port}", objects, pauses_seconds=(0.5,) * 60)
    sending = threading.Thread(target=sink.send_study, args=(database.login(DatabaseRole.WORKER), STUDY))
    sending.start()
    with orthanc(tmp_path / "orthanc", free_port) as peer:
        sending.join()
        assert len(files_in(peer)) == 1


def test_what_the_sink_refuses_is_named_without_its_words(database: Database, objects: ObjectStore, peer: str) -> None:
    digest = objects.put([b"not DICOM"]).digest
    (found,) = stored(database, objects)
    broken = search.ArchivedInstance(**{**{f: getattr(found, f) for f in found.__slots__}, "digest": digest})
    with pytest.raises(HubError) as fault:
        OrthancSink(peer, objects).send(broken)
    assert fault.value.code == "sink-refused"
    assert fault.value.__cause__ is None


def test_a_sink_that_stores_something_else_is_found_out(
    database: Database, objects: ObjectStore, tmp_path: Path, free_port: int
) -> None:
    """An Orthanc that transcodes what it ingests does not hold our object."""
    stored(database, objects)
    with orthanc(tmp_path / "orthanc", free_port, IngestTranscoding="1.2.840.10008.1.2") as peer:
        with pytest.raises(HubError) as fault:
            OrthancSink(peer, objects).send_study(database.login(DatabaseRole.WORKER), STUDY)
        assert fault.value.code == "sink-differs"
        assert awaiting(database) == [STUDY]


def test_a_sink_that_never_answers_is_given_up(database: Database, objects: ObjectStore) -> None:
    (found,) = stored(database, objects)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        sink = OrthancSink(f"http://127.0.0.1:{deaf.getsockname()[1]}", objects, (), timeout_seconds=0.2)
        with pytest.raises(HubError) as fault:
            sink.send(found)
    assert fault.value.code == "sink-unavailable"


def stored(database: Database, objects: ObjectStore) -> list[search.ArchivedInstance]:
    archive(database, [deidentified(slice_of(STUDY, "2.25.200", 1))], objects)
    with database.begin(DatabaseRole.WEB) as connection:
        assert connection.execute(text("SELECT sink_digest FROM hub.instance")).scalar_one() is None
        return search.find_instances(connection)
