"""What the receiver answers, and what it keeps, for every situation of the status table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import process_memory
import pytest
from dataset_bytes import EXPLICIT, IMPLICIT, JPEG_BASELINE, element, fragments, implicit, item
from gateway_process import GatewayProcess
from originals import original, spool_of
from raw_scu import (
    CALLED,
    CT,
    VERIFICATION,
    Instance,
    RawScu,
    Refused,
    an_instance,
    let_in,
    receiving,
    rejections,
    rows,
)
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.intake import completeness
from imaging_hub.intake.original_preamble import OriginalPreamble
from imaging_hub.settings import Settings


@pytest.fixture
def gateway(settings: Settings, database: Database) -> Iterator[StorageServer]:
    let_in(database)
    with receiving(settings, database) as server:
        yield server


def test_an_instance_that_is_acknowledged_lies_in_the_spool_as_it_was_sent(
    gateway: StorageServer, settings: Settings, database: Database
) -> None:
    instance = an_instance()
    assert RawScu(gateway.port).store(instance) == 0
    (row,) = rows(database)
    assert (row.state, row.sop_instance_uid, row.hospital) == ("RECEIVED", instance.sop_instance_uid, "chu-test")
    file = original(settings, database, row.digest)
    assert hashlib.sha256(file).hexdigest() == row.digest
    meta, dataset = part10.split(file)
    assert bytes(dataset) == instance.dataset
    assert (meta.sop_instance_uid, meta.transfer_syntax_uid) == (instance.sop_instance_uid, EXPLICIT)
    assert OriginalPreamble.decode(file) == OriginalPreamble("chu-test", "750000001")
    assert spool_of(settings, database).path(row.digest).stat().st_mode & 0o777 == 0o600


def test_a_resent_instance_is_acknowledged_once(gateway: StorageServer, database: Database) -> None:
    association = RawScu(gateway.port)
    assert [association.store(an_instance()) for _ in range(3)] == [0, 0, 0]
    assert [row.state for row in rows(database)] == ["RECEIVED"]


def test_the_same_instance_on_eight_associations_at_once_is_one_row(gateway: StorageServer, database: Database) -> None:
    barrier = Barrier(8)

    def send(_: int) -> int:
        association = RawScu(gateway.port)
        barrier.wait()
        return association.store(an_instance())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(8))) == {0}
    assert [row.state for row in rows(database)] == ["RECEIVED"]


@pytest.mark.parametrize("pixels", [512, 9 << 20], ids=["in memory", "in a file"])
def test_a_resend_in_another_encoding_is_the_same_instance(
    gateway: StorageServer, settings: Settings, database: Database, pixels: int
) -> None:
    explicit = an_instance(pixels=pixels)
    from imaging_hub.dicom import walk

    reencoded = b"".join(implicit(e.tag, bytes(e.value)) for e in walk.read(explicit.dataset, EXPLICIT))
    association = RawScu(gateway.port, contexts=((CT, (EXPLICIT,)), (CT, (IMPLICIT,))))
    assert association.store(Instance(explicit.sop_instance_uid, reencoded)) == 0
    other = RawScu(gateway.port)
    assert other.store(explicit) == 0
    (row,) = rows(database)
    assert sorted(file.stem for file in settings.spool.rglob("*.dcm")) == [row.digest]


def test_the_same_uid_with_another_content_is_a_conflict_and_the_first_stays(
    gateway: StorageServer, settings: Settings, database: Database
) -> None:
    association = RawScu(gateway.port)
    assert association.store(an_instance(note="first")) == 0
    assert association.store(an_instance(note="second")) == 0
    first, second = rows(database)
    assert (first.state, second.state, second.reason) == ("RECEIVED", "QUARANTINED", "sop-instance-conflict")
    assert b"first" in original(settings, database, first.digest)
    assert association.store(an_instance(note="second")) == 0
    assert len(rows(database)) == 2


def test_two_hospitals_may_use_one_uid(gateway: StorageServer, settings: Settings, database: Database) -> None:
    let_in(database, "OTHER", hospital="chu-other")
    assert RawScu(gateway.port).store(an_instance()) == 0
    assert RawScu(gateway.port, calling="OTHER").store(an_instance()) == 0
    one, other = rows(database)
    assert (one.state, other.state) == ("RECEIVED", "RECEIVED")
    assert one.digest != other.digest, "a file belongs to one hospital"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-100], "truncated"),
        (lambda data: b"not DICOM at all, really not", "bad-vr"),
        (lambda data: data[:40] + data[20:], "*"),
        (lambda data: b"", "empty-dataset"),
    ],
)
def test_what_cannot_be_read_is_refused_and_kept_with_its_reason(
    gateway: StorageServer, settings: Settings, database: Database, damage: object, reason: str
) -> None:
    whole = an_instance()
    broken = Instance(whole.sop_instance_uid, damage(whole.dataset))  # type: ignore[operator]
    association = RawScu(gateway.port)
    assert association.store(broken) == 0xC000
    (row,) = rows(database)
    assert (row.state, row.study) == ("QUARANTINED", None)
    assert reason in ("*", row.reason)
    assert original(settings, database, row.digest).endswith(broken.dataset)
    assert association.store(whole) == 0, "the whole instance is not held against the broken one"
    assert [row.state for row in rows(database)] == ["QUARANTINED", "RECEIVED"]


def test_beyond_the_quarantine_quota_only_the_reason_is_kept(settings: Settings, database: Database) -> None:
    let_in(database)
    with receiving(settings, database, quarantine_max_bytes=1500) as server:
        association = RawScu(server.port)
        for number in range(3):
            broken = an_instance(number).dataset[:-100]
            assert association.store(Instance(f"1.2.{number}", broken)) == 0xC000
    assert [row.kept for row in rows(database)] == [True, True, False]
    assert len(list(settings.spool.rglob("*.dcm"))) == 2


@pytest.mark.parametrize(
    ("command_uid", "reason"),
    [
        ("1.2.3.999", "sop-instance-uid-mismatch"),
        ("../../../etc/passwd", "invalid-sop-uid"),
        ("/abs", "invalid-sop-uid"),
        ("1.2.\x003", "invalid-sop-uid"),
        ("1." + "2" * 80, "invalid-sop-uid"),
        ("1.02.3", "invalid-sop-uid"),
    ],
)
def test_uids_that_do_not_hold_are_never_repaired(
    gateway: StorageServer, settings: Settings, database: Database, command_uid: str, reason: str
) -> None:
    instance = an_instance(uid=command_uid if reason == "invalid-sop-uid" else None)
    assert RawScu(gateway.port).store(Instance(command_uid, instance.dataset)) == 0xA900
    (row,) = rows(database)
    assert (row.state, row.reason) == ("QUARANTINED", reason)
    ours = {settings.spool, settings.keys}
    outside = [file for file in settings.home.parent.rglob("*") if file.is_file() and not ours & {*file.parents}]
    assert outside == [], "no path is ever made from a UID"


def test_an_instance_of_no_study_is_kept_for_people_to_see(gateway: StorageServer, database: Database) -> None:
    whole = an_instance()
    start = whole.dataset.index(b"\x20\x00\x0d\x00")
    end = whole.dataset.index(b"\x20\x00\x0e\x00")
    assert (
        RawScu(gateway.port).store(Instance(whole.sop_instance_uid, whole.dataset[:start] + whole.dataset[end:])) == 0
    )
    assert [(row.state, row.reason) for row in rows(database)] == [("QUARANTINED", "study-or-series-uid-missing")]


LARGE = {
    "native": (EXPLICIT, element(0x7FE00010, "OW", bytes(20 << 20))),
    "in fragments": (JPEG_BASELINE, fragments(*(bytes(3 << 20) for _ in range(7)))),
    "of many frames": (
        EXPLICIT,
        element(0x52009230, "SQ", item(element(0x00081155, "UI", b"1.2 ")) * 20_000)
        + element(0x7FE00010, "OW", bytes(20 << 20)),
    ),
    "with more behind": (
        EXPLICIT,
        element(0x7FE00010, "OW", bytes(20 << 20)) + element(0xFFFCFFFC, "OB", bytes(64)),
    ),
}


@pytest.mark.parametrize(("syntax", "pixels"), LARGE.values(), ids=LARGE.keys())
def test_a_large_dataset_goes_to_the_disk_and_arrives_whole(
    gateway: StorageServer, settings: Settings, database: Database, syntax: str, pixels: bytes
) -> None:
    sent = _with(pixels)
    assert RawScu(gateway.port, contexts=((CT, (syntax,)),)).store(sent) == 0
    (row,) = rows(database)
    assert row.state == "RECEIVED"
    assert original(settings, database, row.digest).endswith(sent.dataset)
    assert list((settings.spool / ".parts").iterdir()) == []


@pytest.mark.parametrize(
    ("syntax", "pixels", "reason"),
    [
        (EXPLICIT, element(0x7FE00010, "OW", bytes(9 << 20), length=10 << 20), "truncated"),
        (EXPLICIT, element(0x7FE00010, "OW", bytes(9 << 20)) + b"\1\2\3\4\5\6\7\0", "out-of-order-element"),
        (JPEG_BASELINE, fragments(bytes(9 << 20))[:-8], "truncated"),
        (JPEG_BASELINE, fragments(bytes(9 << 20))[:-8] + bytes(8), "unexpected-delimiter"),
    ],
    ids=["cut", "rubbish behind", "fragments without an end", "no fragment"],
)
def test_a_large_dataset_that_is_malformed_is_named_as_a_small_one(
    gateway: StorageServer, database: Database, syntax: str, pixels: bytes, reason: str
) -> None:
    RawScu(gateway.port, contexts=((CT, (syntax,)),)).store(_with(pixels))
    assert [(row.state, row.reason) for row in rows(database)] == [("QUARANTINED", reason)]


def test_the_memory_of_a_receiver_does_not_grow_with_the_object(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    let_in(database)
    with GatewayProcess(settings.model_copy(update={"dicom_port": free_port}), tmp_path / "log") as receiver:
        receiver.start()
        association = RawScu(receiver.settings.dicom_port, contexts=((CT, (JPEG_BASELINE,)),))
        assert association.store(_with(fragments(*(bytes(1 << 20) for _ in range(9))), 1)) == 0
        assert receiver.process
        before = process_memory.peak_bytes(receiver.process.pid)
        assert association.store(_with(fragments(*(bytes(1 << 20) for _ in range(150))), 2)) == 0
        assert process_memory.peak_bytes(receiver.process.pid) - before < 32 << 20


def _with(pixels: bytes, number: int = 1) -> Instance:
    """A CT instance with these pixel data and what is before and behind them."""
    small = an_instance(number)
    return Instance(small.sop_instance_uid, small.dataset[: small.dataset.rindex(b"\xe0\x7f\x10\0OW")] + pixels)


def test_a_study_with_two_patients_is_told_when_it_is_complete(gateway: StorageServer, database: Database) -> None:
    association = RawScu(gateway.port)
    association.store(an_instance(1, patient="IPP1"))
    association.store(an_instance(2, patient="IPP2"))
    association.store(an_instance(1, study=2))
    with database.begin(DatabaseRole.WORKER) as connection:
        mixed, clean = completeness.close_quiet_studies(connection, 0)
        assert completeness.has_patient_conflict(connection, mixed)
        assert not completeness.has_patient_conflict(connection, clean)
        assert not completeness.mark_processed(connection, clean), "an instance of it still waits"


def test_a_late_instance_opens_a_new_revision(gateway: StorageServer, database: Database) -> None:
    association = RawScu(gateway.port)
    association.store(an_instance(1))
    with database.begin(DatabaseRole.WORKER) as connection:
        (first,) = completeness.close_quiet_studies(connection, 0)
    association.store(an_instance(1))
    with database.begin(DatabaseRole.WORKER) as connection:
        assert completeness.close_quiet_studies(connection, 0) == [], "a resend is no news"
    association.store(an_instance(2))
    with database.begin(DatabaseRole.WORKER) as connection:
        (second,) = completeness.close_quiet_studies(connection, 0)
        assert completeness.get_revision(connection, second).revision == 2
    assert [row.study for row in rows(database)] == [first, second]


def test_a_sender_may_have_a_quiet_period_of_its_own(gateway: StorageServer, database: Database) -> None:
    let_in(database, "SLOW", hospital="chu-slow")
    let_in(database, "SLOWER", hospital="chu-slow")
    for title in ("HOSPITAL", "SLOW"):
        assert RawScu(gateway.port, calling=title).store(an_instance()) == 0
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.sender SET quiet_seconds = 600 WHERE calling_ae_title = 'SLOW'"))
        connection.execute(text("UPDATE identifying.study SET last_received_at = now() - interval '2 minutes'"))
    with database.begin(DatabaseRole.WORKER) as connection:
        assert (completeness.seconds_until_quiet(connection, 60.0) or 0) < 0, "the first one should be closed by now"
        assert completeness.close_quiet_studies(connection, 60.0) == [1]
        assert 400 < (completeness.seconds_until_quiet(connection, 60.0) or 0) < 600, (
            "the slow sender's, by its own patience"
        )
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.study SET last_received_at = now() - interval '11 minutes'"))
    with database.begin(DatabaseRole.WORKER) as connection:
        assert completeness.close_quiet_studies(connection, 60.0) == [2]
        assert completeness.seconds_until_quiet(connection, 60.0) is None


@pytest.mark.parametrize("how", ["abort", "cut in mid dataset"])
def test_a_sender_that_breaks_off_leaves_what_was_acknowledged_and_an_open_study(
    gateway: StorageServer, database: Database, how: str
) -> None:
    """T17: nothing that was acknowledged goes with the association, and the study is not taken for whole."""
    association = RawScu(gateway.port)
    for number in range(3):
        assert association.store(an_instance(number)) == 0
    if how == "abort":
        association.socket.sendall(bytes.fromhex("07000000000400000000"))
    else:
        association.send_command(0x01, CT, an_instance(3).sop_instance_uid, dataset=True)
        association.send_dataset(an_instance(3).dataset[:100], last=False)
    association.socket.close()
    assert RawScu(gateway.port).echo() == 0
    assert [row.state for row in rows(database)] == ["RECEIVED"] * 3
    with database.begin(DatabaseRole.WORKER) as connection:
        assert completeness.close_quiet_studies(connection, 60.0) == []
        assert len(completeness.close_quiet_studies(connection, -1)) == 1


def test_who_is_not_known_is_told_so_and_a_page_can_name_the_remedy(gateway: StorageServer, database: Database) -> None:
    with pytest.raises(Refused, match=r"\(1, 1, 3\)"):
        RawScu(gateway.port, calling="STRANGER")
    with pytest.raises(Refused, match=r"\(1, 1, 7\)"):
        RawScu(gateway.port, called="ORTHANC")
    for _ in range(5):
        with pytest.raises(Refused):
            RawScu(gateway.port, calling="STRANGER")
    assert [r[:2] for r in rejections(database)] == [
        ("unknown-sender", "STRANGER"),
        ("wrong-called-ae-title", "HOSPITAL"),
    ]


def test_a_known_title_from_an_unknown_address_is_refused(settings: Settings, database: Database) -> None:
    let_in(database, address="127.0.0.2/32")
    with receiving(settings, database) as server:
        with pytest.raises(Refused, match=r"\(1, 1, 3\)"):
            RawScu(server.port)
        assert RawScu(server.port, source="127.0.0.2").echo() == 0


def test_what_is_no_storage_class_is_refused_by_context_and_written_down(
    gateway: StorageServer, database: Database
) -> None:
    find, private, deflated = "1.2.840.10008.5.1.4.1.2.2.1", "1.3.12.2.1107.5.9.1", "1.2.840.10008.1.2.1.99"
    retired = "1.2.840.10008.5.1.4.1.1.6"
    association = RawScu(
        gateway.port,
        contexts=[(find, [EXPLICIT]), (private, [EXPLICIT]), (CT, [deflated]), (retired, [deflated, IMPLICIT])],
    )
    assert association.results == {1: 3, 3: 0, 5: 4, 7: 0}
    assert {(r[0], r[2]) for r in rejections(database)} == {
        ("sop-class-refused", find),
        ("transfer-syntax-refused", deflated),
    }


def test_echo_is_answered(gateway: StorageServer) -> None:
    association = RawScu(gateway.port, called=CALLED, contexts=((VERIFICATION, (EXPLICIT, IMPLICIT)),))
    assert association.echo() == 0
    association.release()


def test_a_full_spool_asks_senders_to_come_again(settings: Settings, database: Database) -> None:
    let_in(database)
    with receiving(settings, database, spool_max_bytes=1 << 20) as server:
        association = RawScu(server.port)
        answers = [association.store(an_instance(number, pixels=300_000)) for number in range(1, 6)]
        assert answers == [0, 0, 0, 0, 0xA700]
    with receiving(settings, database, spool_max_bytes=1 << 20) as server, pytest.raises(Refused, match=r"\(2, 3, 1\)"):
        RawScu(server.port)
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.instance SET purged_at = now() WHERE id <= 2"))
    with receiving(settings, database, spool_max_bytes=1 << 20) as server:
        assert RawScu(server.port).echo() == 0


def test_a_gateway_that_was_stopped_answers_what_it_began(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    let_in(database)
    with receiving(settings, database) as server:
        association = RawScu(server.port)
        assert association.store(an_instance(1)) == 0
        server.stop()
        with pytest.raises(OSError):
            RawScu(server.port)
    assert [row.state for row in rows(database)] == ["RECEIVED"]
