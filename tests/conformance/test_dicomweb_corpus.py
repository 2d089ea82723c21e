"""DICOMweb over what the engine makes of real files: every header has its JSON, every frame its octets."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from archived import archive
from dicomweb_server import everybody
from fastapi import FastAPI
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from starlette.testclient import TestClient

from imaging_hub.archive import search
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.engine import plan
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.profile import profile
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms, SourceInstance
from imaging_hub.dicom import part10
from imaging_hub.dicomweb import routes
from imaging_hub.errors import MalformedDataset
from imaging_hub.http import problem_details
from imaging_hub.http.pages import PageTemplates

_EVERY = 6
_SMALL_BYTES = 2 << 20


@pytest.mark.corpus
def test_real_instances_are_served_as_they_are_stored(database: Database, corpus: Path, tmp_path: Path) -> None:
    objects = ObjectStore((tmp_path / "objects").as_uri())
    for patient, instances in _deidentified(corpus).items():
        archive(database, instances, objects, sid=patient, pseudonym=patient)
    app = FastAPI()
    app.include_router(routes.router(database.login(DatabaseRole.WEB), objects, everybody), prefix="/dicom-web")
    problem_details.install(app, PageTemplates(tmp_path, lambda _: {}))
    client = TestClient(app)
    with database.begin(DatabaseRole.WEB) as connection:
        found = search.find_instances(connection)
    assert len(found) > 50
    for one in found:
        where = f"studies/{one.study_instance_uid}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
        stored = dcmread(BytesIO(objects.get(one.digest)))
        (header,) = client.get(f"/dicom-web/{where}/metadata").json()
        assert {f"{element.tag:08X}" for element in stored if element.tag < 0x7FE00000} <= set(header)
        answer = client.get(f"/dicom-web/{where}/frames/1")
        expected = _first_frame(stored)
        if expected is None:
            assert answer.status_code == 404
        else:
            assert answer.content.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0] == expected


def _deidentified(corpus: Path) -> dict[str, list[DeidentifiedInstance]]:
    """Some of the corpus by study, each study a patient of its own."""
    engine = Deidentifier(plan.compile(profile.load("research-longitudinal", [])))
    made: dict[str, list[DeidentifiedInstance]] = {}
    for file in sorted(file for file in corpus.rglob("*") if file.is_file())[::_EVERY]:
        try:
            meta, dataset = part10.split(file.read_bytes())
        except MalformedDataset:
            continue
        result = engine.deidentify(
            SourceInstance(dataset, meta.transfer_syntax_uid), Pseudonyms("P", hashlib.sha256(b"key").digest(), 400)
        )
        if isinstance(result, DeidentifiedInstance) and sum(map(len, result.part10)) < _SMALL_BYTES:
            made.setdefault(result.study_instance_uid, []).append(result)
    return {f"P{number}": instances for number, instances in enumerate(made.values())}


def _first_frame(stored: Dataset) -> bytes | None:
    """The octets of the first frame, read another way; none when the file holds fewer than it announces."""
    if "PixelData" not in stored:
        return None
    count = int(stored.get("NumberOfFrames") or 1)
    if stored["PixelData"].is_undefined_length:
        return next(iter(generate_frames(stored.PixelData, number_of_frames=count)))
    bits = stored.Rows * stored.Columns * stored.SamplesPerPixel * stored.BitsAllocated
    if stored.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    size = (bits + 7) // 8
    return bytes(stored.PixelData[:size]) if len(stored.PixelData) >= size else None
