"""STOW-RS over HTTP: what is answered, and that it ends in the spool and the journal as by C-STORE."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from http_gateway import BOUNDARY, HttpGateway, a_file, listening, multipart
from originals import original, spool_of
from pydicom import Dataset
from raw_scu import Instance, RawScu, Refused, an_instance, rows
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.settings import Settings

DICOMDIR = "1.2.840.10008.1.3.10"
DEFLATED = "1.2.840.10008.1.2.1.99"


@pytest.fixture
def gateway(settings: Settings, database: Database) -> Iterator[HttpGateway]:
    with listening(settings, database) as gateway:
        yield gateway


def said(response: httpx.Response) -> tuple[list[str], dict[str, int]]:
    """UIDs that were stored, and the failure reasons of the others."""
    answer = Dataset.from_json(response.json())
    stored = [item.ReferencedSOPInstanceUID for item in answer.get("ReferencedSOPSequence", [])]
    failed = {
        item.get("ReferencedSOPInstanceUID", ""): item.FailureReason for item in answer.get("FailedSOPSequence", [])
    }
    return stored, failed


def test_instances_are_stored_and_journalled(gateway: HttpGateway, settings: Settings, database: Database) -> None:
    sent = [an_instance(number) for number in range(3)]
    answer = gateway.post(multipart(*map(a_file, sent)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert said(answer) == ([one.sop_instance_uid for one in sent], {})
    found = rows(database)
    assert [(row.hospital, row.sop_instance_uid, row.state) for row in found] == [
        ("chu-test", one.sop_instance_uid, "RECEIVED") for one in sent
    ]
    assert len({row.study for row in found}) == 1
    for row, one in zip(found, sent, strict=True):
        kept = original(settings, database, row.digest)
        assert kept.endswith(one.dataset)
        assert b"ELF" not in kept[:132], "a preamble is not taken over"


def test_what_came_by_association_may_come_again_by_http(gateway: HttpGateway, database: Database) -> None:
    one = an_instance()
    assert RawScu(gateway.server.port).store(one) == 0
    assert said(gateway.post(multipart(a_file(one)))) == ([one.sop_instance_uid], {})
    assert len(rows(database)) == 1


def test_each_instance_that_is_not_stored_has_its_reason(gateway: HttpGateway, database: Database) -> None:
    good, cut, other = an_instance(1), an_instance(2), an_instance(3)
    cut = Instance(cut.sop_instance_uid, cut.dataset[:-100])
    renamed = Instance("1.2.3.4", other.dataset)
    answer = gateway.post(
        multipart(
            *map(a_file, (good, cut, renamed)),
            a_file(Instance("1.2.3.5", b"", DICOMDIR)),
            a_file(Instance("1.2.3.6", b""), DEFLATED),
            b"no DICOM at all",
        )
    )
    assert answer.status_code == 202
    stored, failed = said(answer)
    assert stored == [good.sop_instance_uid]
    assert failed == {
        cut.sop_instance_uid: 0xC000, "1.2.3.4": 0xA900, "1.2.3.5": 0x0122, "1.2.3.6": 0xC122, "": 0xC000,
    }  # fmt: skip
    assert [row.state for row in rows(database)] == ["RECEIVED", "QUARANTINED", "QUARANTINED"]


def test_an_instance_of_another_study_than_the_address_names_is_not_taken_for_it(
    gateway: HttpGateway, database: Database
) -> None:
    ours, other = an_instance(1, study=1), an_instance(2, study=2)
    stored, failed = said(gateway.post(multipart(a_file(ours), a_file(other)), study="/1.2.826.0.2.1"))
    assert (stored, failed) == ([ours.sop_instance_uid], {other.sop_instance_uid: 0xA900})
    assert rows(database)[1].reason == "study-instance-uid-mismatch"


def test_nothing_stored_is_409(gateway: HttpGateway) -> None:
    assert gateway.post(multipart(b"no DICOM at all")).status_code == 409


@pytest.mark.parametrize(
    ("body", "changed", "status", "code"),
    [
        (multipart(b""), {"Authorization": "Bearer nobody's"}, 401, "not-authenticated"),
        (multipart(b""), {"Authorization": ""}, 401, "not-authenticated"),
        (multipart(b""), {"kind": "application/dicom"}, 415, "media-type"),
        (multipart(b""), {"kind": 'multipart/related; type="application/dicom+json"; boundary=b'}, 415, "media-type"),
        (multipart(b""), {"kind": 'multipart/related; type="application/dicom"'}, 400, "multipart"),
        (multipart(b"{}", kind="application/dicom+json"), {}, 415, "part-type"),
        (b"", {}, 400, "multipart"),
        (f"--{BOUNDARY}--\r\n".encode(), {}, 400, "multipart"),
        (b"--another\r\n\r\n", {}, 400, "multipart"),
        (multipart(b""), {"study": "/1.2.x"}, 400, "study-uid"),
        (multipart(b""), {"Content-Encoding": "gzip"}, 415, "content-encoding"),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why(
    gateway: HttpGateway, database: Database, body: bytes, changed: dict[str, str], status: int, code: str
) -> None:
    answer = gateway.post(body, **changed)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert rows(database) == []


def test_a_request_that_breaks_off_keeps_what_was_whole(
    gateway: HttpGateway, settings: Settings, database: Database
) -> None:
    whole, cut = multipart(a_file(an_instance(1))), multipart(a_file(an_instance(2)))

    def pieces() -> Iterator[bytes]:
        yield whole.removesuffix(f"--{BOUNDARY}--\r\n".encode())
        yield cut[:-200]
        msg = "the line broke"
        raise OSError(msg)

    with pytest.raises(OSError, match="the line broke"):
        gateway.post(pieces())
    assert gateway.post(multipart(a_file(an_instance(3)))).status_code == 200
    assert [row.sop_instance_uid for row in rows(database)] == [an_instance(n).sop_instance_uid for n in (1, 3)]
    assert spool_of(settings, database).unfinished_files() == []


def test_a_dataset_beyond_the_limit_costs_no_room(settings: Settings, database: Database) -> None:
    with listening(settings, database, dataset_max_bytes=1 << 20) as gateway:
        stored, failed = said(gateway.post(multipart(a_file(an_instance(1, pixels=2 << 20)), a_file(an_instance(2)))))
    assert (stored, list(failed.values())) == ([an_instance(2).sop_instance_uid], [0xC000])
    assert spool_of(settings, database).unfinished_files() == []


def test_a_large_instance_goes_to_the_spool_as_it_comes(
    gateway: HttpGateway, settings: Settings, database: Database
) -> None:
    one = an_instance(pixels=20 << 20)
    assert gateway.post(multipart(a_file(one))).status_code == 200
    (row,) = rows(database)
    assert original(settings, database, row.digest).endswith(one.dataset)


def test_a_full_spool_asks_to_come_again(settings: Settings, database: Database) -> None:
    with listening(settings, database, spool_max_bytes=1 << 20) as gateway:
        filled = multipart(*(a_file(an_instance(number, pixels=300_000)) for number in range(7)))
        stored, failed = said(gateway.post(filled))
        assert len(stored) == 4
        assert failed == {an_instance(number).sop_instance_uid: 0xA700 for number in (4, 5, 6)}, "every one is named"
        refused = gateway.post(multipart(a_file(an_instance(9))))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")


def test_a_token_that_is_over_opens_nothing(gateway: HttpGateway, database: Database) -> None:
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.sender SET token_expires_at = now() - interval '1 second'"))
    assert gateway.post(multipart(a_file(an_instance()))).status_code == 401


def test_the_numbers_tell_whether_a_feed_is_alive(gateway: HttpGateway) -> None:
    def numbers() -> dict[str, float]:
        lines = httpx.get(f"{gateway.url}/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    last = 'imaging_hub_feed_last_received_timestamp_seconds{finess="750000001"}'
    assert numbers()[last] == 0
    cut = an_instance(2).dataset[:-100]
    gateway.post(multipart(a_file(an_instance(1)), a_file(Instance("1.2.3", cut))))
    after = numbers()
    assert after[last] > 1.7e9
    assert after['imaging_hub_feed_oldest_unprocessed_seconds{finess="750000001"}'] > 0
    assert after['imaging_hub_feed_quarantined_instances{finess="750000001",reason="truncated"}'] == 1
    assert after['imaging_hub_instances_total{finess="750000001",outcome="stored"}'] == 1
    assert httpx.get(f"{gateway.url}/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403
    assert httpx.get(f"{gateway.url}/readyz").json() == {"status": "ready"}


def test_the_dashboard_asks_for_numbers_that_there_are(gateway: HttpGateway) -> None:
    gateway.post(multipart(a_file(an_instance(1)), a_file(Instance("1.2.3", b""))))
    with pytest.raises(Refused):
        RawScu(gateway.server.port, calling="NOBODY")
    there = set(re.findall(r"^(imaging_hub_\w+)", httpx.get(f"{gateway.url}/metrics").text, re.MULTILINE))
    there |= {"imaging_hub_hangups_total"}  # nobody hung up here
    dashboard = json.loads((Path(__file__).resolve().parents[2] / "docker" / "grafana.json").read_text("utf-8"))
    asked = {
        name for panel in dashboard["panels"] for name in re.findall(r"imaging_hub_\w+", panel["targets"][0]["expr"])
    }
    assert len(asked) > 8
    assert asked <= there
