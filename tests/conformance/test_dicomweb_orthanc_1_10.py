"""The DICOMweb resources as Debian's Orthanc 1.10 with its DICOMweb plug-in 1.7 uses them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from archived import PSEUDONYM, from_file, slice_of
from dicomweb_server import ORTHANC_PLUGINS, Archive, orthanc, served
from free_ports import free_ports

from imaging_hub.database import Database

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        shutil.which("Orthanc") is None or not (ORTHANC_PLUGINS / "libOrthancDicomWeb.so").exists(),
        reason="Debian's orthanc and orthanc-dicomweb are not installed",
    ),
]
STUDY, SERIES = "2.25.100", "2.25.200"


@pytest.fixture
def hub(database: Database, tmp_path: Path, free_port: int) -> Iterator[Archive]:
    with served(database, tmp_path, free_port) as found:
        found.hold(
            *(slice_of(STUDY, SERIES, n) for n in range(1, 4)),
            from_file("JPEG2000.dcm", StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.201"),
            from_file("MR_small_implicit.dcm", StudyInstanceUID="2.25.101", SeriesInstanceUID="2.25.202"),
        )
        yield found


@pytest.fixture
def peer(hub: Archive, tmp_path: Path) -> Iterator[str]:
    with orthanc(tmp_path / "orthanc", *free_ports(1), DicomWeb={"Servers": {"hub": {"Url": hub.url + "/"}}}) as url:
        yield url


def ask(peer: str, **query: object) -> list[dict[str, dict[str, object]]]:
    response = httpx.post(f"{peer}/dicom-web/servers/hub/qido", json=query, timeout=60)
    response.raise_for_status()
    found: list[dict[str, dict[str, object]]] = response.json()
    return found


def test_it_finds_studies_series_and_instances(peer: str) -> None:
    studies = ask(peer, Uri="/studies", Arguments={"PatientID": PSEUDONYM})
    assert sorted(str(one["0020000D"]["Value"]) for one in studies) == [STUDY, "2.25.101"]
    assert len(ask(peer, Uri=f"/studies/{STUDY}/series")) == 2
    assert len(ask(peer, Uri=f"/studies/{STUDY}/series/{SERIES}/instances")) == 3
    assert ask(peer, Uri="/studies", Arguments={"StudyDate": "20380101-"}) == []


@pytest.mark.parametrize(
    ("resource", "count"),
    [
        ({"Study": STUDY}, 4),
        ({"Study": STUDY, "Series": SERIES}, 3),
        ({"Study": "2.25.101"}, 1),
    ],
)
def test_what_it_retrieves_is_in_it_byte_for_byte(
    hub: Archive, peer: str, resource: dict[str, str], count: int
) -> None:
    response = httpx.post(
        f"{peer}/dicom-web/servers/hub/retrieve", json={"Resources": [resource], "Synchronous": True}, timeout=120
    )
    response.raise_for_status()
    names = httpx.get(f"{peer}/instances").json()
    files = [httpx.get(f"{peer}/instances/{name}/file").content for name in names]
    assert len(files) == count
    assert set(files) <= set(hub.stored.values())
