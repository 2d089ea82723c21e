"""Requests that DICOMweb must answer with care: what is not there, not acceptable, not well formed or hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from archived import FINESS, from_file, slice_of
from dicomweb_server import Archive, served
from fastapi import Depends, FastAPI
from free_ports import free_ports
from pydicom import dcmread

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicomweb import routes
from imaging_hub.http import problem_details
from imaging_hub.http.pages import PageTemplates
from imaging_hub.permits.policy import AccountRole, Action, RequestActor

STUDY, SERIES = "2.25.100", "2.25.200"
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def shared(module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive for the tests that change nothing in it."""
    with served(module_database, tmp_path_factory.mktemp("shared"), *free_ports(1)) as found:
        found.hold(*(slice_of(STUDY, SERIES, n) for n in range(1, 3)))
        yield found


@pytest.fixture
def hub(database: Database, tmp_path: Path, free_port: int) -> Iterator[Archive]:
    with served(database, tmp_path, free_port) as found:
        found.hold(*(slice_of(STUDY, SERIES, n) for n in range(1, 3)))
        yield found


def path_of_one(hub: Archive) -> str:
    return f"/studies/{STUDY}/series/{SERIES}/instances/{next(iter(hub.stored))}"


@pytest.fixture
def one(hub: Archive) -> str:
    """Path of an instance."""
    return path_of_one(hub)


def get(hub: Archive, path: str, accept: str = "*/*") -> httpx.Response:
    return httpx.get(hub.url + path, headers={"Accept": accept}, timeout=60)


@pytest.mark.parametrize(
    "study",
    ["2.25.999", "x", "..%2f..%2fetc%2fpasswd", "2.25.%00", "1" * 65, "2.25.1%0a", "%ff", "2.25.１", HOSTILE, "a'b"],
)
@pytest.mark.parametrize(
    "rest",
    ["", "/metadata", "/thumbnail", "/series/2.25.1", "/series/2.25.1/instances/2.25.2/frames/1",
     "/series/2.25.1/instances/2.25.2/rendered", "/series/2.25.1/instances/2.25.2/bulkdata/7FE00010"],
)  # fmt: skip
def test_what_is_not_there_is_a_problem_that_repeats_nothing(shared: Archive, study: str, rest: str) -> None:
    response = get(shared, f"/studies/{study}{rest}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) >= {"type", "title", "status", "detail", "code", "hint"}
    assert "script" not in response.text
    assert "passwd" not in response.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("StudyDate=yesterday", 400),
        ("StudyDate=20201332", 400),
        ("StudyDate=20200101-20200102-20200103", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("limit=99999999999999999999", 400),
        ("offset=-1", 400),
        ("SeriesNumber=9999999999", 400),
        ("PatientID=%00", 400),
        ("PatientID=a%0d%0aSet-Cookie:x", 400),
        ("PatientID=%ff", 200),
        ("PatientID=' OR 1=1 --", 200),
        ("PatientID=%25", 200),
        ("StudyInstanceUID=../..", 200),
        (f"{HOSTILE}={HOSTILE}", 200),
        ("StudyDescription=" + "x" * 5000, 200),
        ("limit=0", 200),
        ("includefield=all,nonsense,0010XXXX", 200),
    ],
)
def test_queries_of_any_form_are_answered(shared: Archive, query: str, status: int) -> None:
    for level in ("/studies", "/series", "/instances"):
        response = get(shared, f"{level}?{query}")
        assert response.status_code == status, response.text
        assert "script" not in response.text + json.dumps(dict(response.headers))
        if status == 400:
            assert response.json()["code"] == "query-parameter"


def test_what_cannot_be_asked_is_said_in_a_warning(shared: Archive) -> None:
    assert "fuzzymatching" in get(shared, "/studies?fuzzymatching=true").headers["warning"]
    assert "warning" not in get(shared, "/studies?fuzzymatching=false").headers
    assert "ignored" in get(shared, "/studies?PatientWeight=70").headers["warning"]
    assert "additional" in get(shared, "/instances?limit=1").headers["warning"]
    assert "warning" not in get(shared, "/instances?limit=2").headers
    assert get(shared, "/studies?PatientID=none").json() == []


def test_a_path_and_a_query_that_contradict_each_other_match_nothing(shared: Archive) -> None:
    assert get(shared, f"/studies/{STUDY}/series?StudyInstanceUID=2.25.1").json() == []
    assert len(get(shared, f"/studies/{STUDY}/series?StudyInstanceUID={STUDY}").json()) == 1


@pytest.mark.parametrize(
    ("rest", "accept", "status"),
    [
        ("", "*/*", 200),
        ("", "multipart/related", 200),
        ("", 'multipart/related; type="application/dicom"', 200),
        ("", "multipart/related; type=application/dicom; transfer-syntax=*", 200),
        ("", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1', 200),
        ("", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', 406),
        ("", 'text/html, multipart/related; type="application/dicom";q=0.5', 200),
        ("", 'multipart/related; type="application/dicom";q=0', 406),
        ("", "application/dicom", 406),
        ("", "application/zip", 406),
        ("", "garbage;;==,\"", 406),
        ("/metadata", "application/dicom+json", 200),
        ("/metadata", "application/json", 200),
        ("/metadata", 'multipart/related; type="application/dicom+xml"', 406),
        ("/frames/1", 'multipart/related; type="application/octet-stream"', 200),
        ("/frames/1", 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1', 200),
        ("/frames/1", 'multipart/related; type="image/jpeg"', 406),
        ("/frames/2", "*/*", 404),
        ("/frames/0", "*/*", 404),
        ("/frames/1,x", "*/*", 400),
        ("/bulkdata/7FE00010", "*/*", 200),
        ("/bulkdata/7fe00010", "application/octet-stream", 200),
        ("/bulkdata/00100010", "*/*", 404),
        ("/bulkdata/..%2f..", "*/*", 404),
        ("/rendered", "image/png", 200),
        ("/rendered", "image/*", 200),
        ("/rendered", "image/gif", 406),
        ("/rendered?window=40,400,linear", "*/*", 200),
        ("/rendered?window=40,400", "*/*", 400),
        ("/rendered?window=nan,400,linear", "*/*", 400),
        ("/rendered?window=40,0,linear", "*/*", 400),
        ("/rendered?window=40,400,sigmoid", "*/*", 400),
        ("/rendered?viewport=0,5", "*/*", 400),
        ("/rendered?viewport=99999,99999", "*/*", 400),
        ("/rendered?quality=101", "*/*", 400),
        ("/rendered?accept=image/png", "text/html", 200),
        ("/frames/1/rendered", "image/jpeg", 200),
        ("/frames/1/thumbnail", "*/*", 200),
        ("/thumbnail", "*/*", 200),
    ],
)  # fmt: skip
def test_answers_are_in_a_form_the_client_accepts(shared: Archive, rest: str, accept: str, status: int) -> None:
    response = get(shared, path_of_one(shared) + rest, accept)
    assert response.status_code == status, response.text[:200]
    if status != 200:
        assert response.json()["hint"] or status == 404


def test_a_study_of_mixed_syntaxes_is_not_sent_in_one_it_does_not_have(hub: Archive) -> None:
    hub.hold(from_file("JPEG2000.dcm", StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.201"))
    explicit = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
    assert get(hub, f"/studies/{STUDY}", explicit).status_code == 406
    assert get(hub, f"/studies/{STUDY}/series/{SERIES}", explicit).status_code == 200
    assert get(hub, f"/studies/{STUDY}", explicit + ', multipart/related; type="application/dicom"').status_code == 200


def test_an_instance_without_pixels_has_a_header_and_no_pictures(hub: Archive) -> None:
    report = from_file("test-SR.dcm", StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.202")
    hub.hold(report)
    where = f"/studies/{STUDY}/series/2.25.202/instances/{report.SOPInstanceUID}"
    assert "7FE00010" not in get(hub, where + "/metadata").json()[0]
    assert get(hub, where + "/frames/1").status_code == 404
    assert get(hub, where + "/bulkdata/7FE00010").status_code == 404
    assert get(hub, where + "/rendered").status_code == 406
    assert get(hub, where).status_code == 200


def test_pixels_that_cannot_be_decoded_are_a_problem_and_not_a_fault(hub: Archive) -> None:
    broken = from_file("JPEG2000.dcm", StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.203")
    broken.PixelData = broken.PixelData[:40] + bytes(len(broken.PixelData) - 48) + broken.PixelData[-8:]
    hub.hold(broken)
    where = f"/studies/{STUDY}/series/2.25.203/instances/{broken.SOPInstanceUID}"
    response = get(hub, where + "/rendered")
    assert 400 <= response.status_code < 500
    assert response.json()["code"] == "undecodable-pixels"


def test_numbers_that_json_cannot_say_are_left_out(hub: Archive) -> None:
    odd = slice_of(STUDY, "2.25.204", 1, RealWorldValueSlope=None)
    odd.add_new(0x00189073, "FD", float("nan"))
    odd.add_new(0x00104000, "LT", HOSTILE)
    hub.hold(odd)
    (found,) = get(hub, f"/studies/{STUDY}/series/2.25.204/metadata").json()
    assert "00189073" not in found
    assert found["00104000"]["Value"] == [HOSTILE]
    response = get(hub, f"/studies/{STUDY}/series/2.25.204/metadata", "text/html, */*;q=0.1")
    assert response.headers["content-type"] == "application/dicom+json"


def test_an_object_damaged_on_the_disk_never_arrives_whole(hub: Archive, one: str, tmp_path: Path) -> None:
    for file in (tmp_path / "objects").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-2] + b"!!")
    with pytest.raises(httpx.RemoteProtocolError):
        get(hub, one)


def test_an_object_that_is_gone_is_never_an_empty_part(hub: Archive, one: str, tmp_path: Path) -> None:
    for file in (tmp_path / "objects").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(httpx.RemoteProtocolError):
        get(hub, one)


def test_one_bit_frames_that_begin_within_a_byte_are_given_whole(hub: Archive) -> None:
    import numpy as np

    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 3)).astype(np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    mask = slice_of(
        STUDY, "2.25.205", 1, Rows=5, Columns=3, NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0,
        PixelData=packed + bytes(len(packed) % 2),
    )  # fmt: skip
    hub.hold(mask)
    where = f"/studies/{STUDY}/series/2.25.205/instances/{mask.SOPInstanceUID}/frames/"
    for number in (1, 2, 3):
        body = get(hub, where + str(number)).content
        read = body.split(b"\r\n\r\n", 1)[1][:2]
        unpacked = np.unpackbits(np.frombuffer(read, np.uint8), bitorder="little")[:15]
        assert (unpacked == bits[number - 1].reshape(-1)).all()


def test_a_large_object_passes_in_small_pieces(hub: Archive) -> None:
    from imaging_hub.dicomweb.multipart import BodyPart, multipart_response

    stored = hub.objects.put([bytes(40 << 20)])
    response = multipart_response(
        [BodyPart("application/dicom", stored.size, lambda: hub.objects.stream(stored.digest))], "x"
    )
    pieces = list(map(len, _drained(response)))
    assert sum(pieces) == int(response.headers["content-length"])
    assert max(pieces) <= 2 << 20


def _drained(response: Any) -> list[bytes]:
    import asyncio

    async def drain() -> list[bytes]:
        return [piece async for piece in response.body_iterator]

    # In a thread of its own: the browser's driver may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, drain()).result()


@pytest.mark.parametrize(
    ("role", "finess", "seen"),
    [(AccountRole.RADIOLOGIST, None, True), (AccountRole.HOSPITAL, FINESS, True),
     (AccountRole.HOSPITAL, "999999999", False),
     (AccountRole.HOSPITAL, None, False)],
)  # fmt: skip
def test_a_hospital_sees_its_own_studies_only(
    database: Database, tmp_path: Path, hub: Archive, one: str, role: AccountRole, finess: str | None, seen: bool
) -> None:
    from starlette.testclient import TestClient

    asked: list[Action] = []

    def require(action: Action) -> Any:
        asked.append(action)
        return Depends(lambda: SimpleNamespace(person=RequestActor("someone", role, finess)))

    app = FastAPI()
    app.include_router(routes.router(database.login(DatabaseRole.WEB), hub.objects, require), prefix="/dicom-web")
    problem_details.install(app, PageTemplates(tmp_path, lambda _: {}))
    client = TestClient(app)
    assert set(asked) == {Action.STUDIES_READ, Action.SERIES_READ, Action.PIXELS_READ}
    for level in ("/studies", "/series", "/instances"):
        assert bool(client.get("/dicom-web" + level).json()) is seen
    for rest in ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"):
        assert client.get("/dicom-web" + one + rest).status_code == (200 if seen else 404)


def test_a_retrieved_file_is_one_that_pydicom_reads(shared: Archive, tmp_path: Path) -> None:
    body = get(shared, path_of_one(shared)).content
    file = tmp_path / "one.dcm"
    file.write_bytes(body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0])
    assert dcmread(file).PixelData
