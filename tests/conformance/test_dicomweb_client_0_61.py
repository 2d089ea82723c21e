"""The DICOMweb resources as `dicomweb-client` 0.61 uses them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from archived import PSEUDONYM, from_file, slice_of
from dicomweb_client.api import DICOMwebClient
from dicomweb_server import Archive, served
from PIL import Image
from pydicom import Dataset, dcmread

from imaging_hub.database import Database

STUDY_KEYS = (
    "StudyDate", "StudyTime", "AccessionNumber", "InstanceAvailability", "ModalitiesInStudy", "ReferringPhysicianName",
    "RetrieveURL", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
    "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
)  # fmt: skip
SERIES_KEYS = ("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "RetrieveURL")
INSTANCE_KEYS = ("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated", "RetrieveURL")
STUDY, SERIES, OTHER = "2.25.100", "2.25.200", "2.25.201"


@pytest.fixture
def hub(database: Database, tmp_path: Path, free_port: int) -> Iterator[Archive]:
    with served(database, tmp_path, free_port) as found:
        yield found


@pytest.fixture
def client(hub: Archive) -> DICOMwebClient:
    hub.hold(
        *(slice_of(STUDY, SERIES, n, z=2.0 * n) for n in range(1, 4)),
        slice_of(STUDY, OTHER, 1, Modality="MR", SeriesNumber=9),
        slice_of("2.25.101", "2.25.202", 1, StudyDate="20210101", AccessionNumber="A1", StudyDescription="IRM crâne"),
    )
    return DICOMwebClient(hub.url)


def uids(found: list[dict[str, dict[str, object]]], tag: str = "0020000D") -> list[object]:
    return [one[tag]["Value"][0] for one in found]  # type: ignore[index]


def test_every_level_is_found(client: DICOMwebClient) -> None:
    assert uids(client.search_for_studies()) == ["2.25.101", STUDY]
    assert uids(client.search_for_series(STUDY), "0020000E") == [SERIES, OTHER]
    assert len(client.search_for_series()) == 3
    assert len(client.search_for_instances(STUDY, SERIES)) == 3
    assert len(client.search_for_instances(STUDY)) == 4
    assert len(client.search_for_instances()) == 5


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"StudyInstanceUID": f"{STUDY},2.25.1"}, [STUDY]),
        ({"0020000D": STUDY}, [STUDY]),
        ({"PatientID": PSEUDONYM}, ["2.25.101", STUDY]),
        ({"PatientName": "P-*"}, ["2.25.101", STUDY]),
        ({"PatientID": "P-9999"}, []),
        ({"StudyDate": "20200512"}, [STUDY]),
        ({"StudyDate": "20200101-20201231"}, [STUDY]),
        ({"StudyDate": "20200513-"}, ["2.25.101"]),
        ({"StudyDate": "-20200512"}, [STUDY]),
        ({"ModalitiesInStudy": "MR"}, [STUDY]),
        ({"Modality": "MR"}, [STUDY]),
        ({"StudyDescription": "*crâne"}, ["2.25.101"]),
        ({"StudyDescription": "irm ?r*"}, ["2.25.101"]),
        ({"StudyDescription": "irm ?a*"}, []),
        ({"AccessionNumber": "A1"}, ["2.25.101"]),
        ({"AccessionNumber": ""}, ["2.25.101", STUDY]),
    ],
)
def test_studies_are_matched(client: DICOMwebClient, asked: dict[str, str], expected: list[str]) -> None:
    assert uids(client.search_for_studies(search_filters=asked)) == expected


def test_pages_of_results_follow_one_another(client: DICOMwebClient) -> None:
    assert uids(client.search_for_studies(limit=1)) == ["2.25.101"]
    assert uids(client.search_for_studies(limit=1, offset=1)) == [STUDY]
    assert client.search_for_studies(offset=2) == []
    assert len(client.search_for_studies(get_remaining=True, limit=1)) == 2


def test_required_keys_are_returned_even_when_empty(client: DICOMwebClient, hub: Archive) -> None:
    study = Dataset.from_json(client.search_for_studies(search_filters={"StudyInstanceUID": STUDY})[0])
    for keyword in [
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "InstanceAvailability",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "RetrieveURL",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyID",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ]:
        assert keyword in study, keyword
    assert (study.StudyDate, study.StudyTime, study.ModalitiesInStudy) == ("20200512", "101500", ["CT", "MR"])
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (2, 4)
    assert study.RetrieveURL == f"{hub.url}/studies/{STUDY}"
    series = Dataset.from_json(client.search_for_series(STUDY)[0])
    for keyword in SERIES_KEYS:
        assert series[keyword].value not in (None, ""), keyword
    assert series.NumberOfSeriesRelatedInstances == 3
    instance = Dataset.from_json(client.search_for_instances(STUDY, SERIES)[0])
    for keyword in [
        "SOPClassUID",
        "SOPInstanceUID",
        "InstanceNumber",
        "Rows",
        "Columns",
        "BitsAllocated",
        "RetrieveURL",
    ]:
        assert instance[keyword].value not in (None, ""), keyword


def test_fields_are_included_at_their_level_only(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(fields=["StudyDescription", "00200011"], limit=1)
    assert study["00081030"]["Value"] == ["IRM crâne"]
    assert "00200011" not in study
    (instance,) = client.search_for_instances(STUDY, SERIES, fields=["WindowCenter"], limit=1)
    assert instance["00281050"]["Value"] == [500]


def test_objects_come_back_byte_for_byte(client: DICOMwebClient, hub: Archive) -> None:
    for wanted, found in (
        (3, client.retrieve_series(STUDY, SERIES)),
        (4, client.retrieve_study(STUDY)),
        (4, list(client.iter_study(STUDY))),
    ):
        assert len(found) == wanted
        assert all(one.PixelData == dcmread_of(hub, one).PixelData for one in found)
    uid = next(iter(hub.stored))
    assert client.retrieve_instance(STUDY, SERIES, uid) == dcmread(BytesIO(hub.stored[uid]))
    raw = httpx.get(f"{hub.url}/studies/{STUDY}/series/{SERIES}/instances/{uid}").content
    assert hub.stored[uid] in raw


def dcmread_of(hub: Archive, one: Dataset) -> Dataset:
    return dcmread(BytesIO(hub.stored[one.SOPInstanceUID]))


def test_metadata_is_the_header_with_the_pixels_by_reference(client: DICOMwebClient, hub: Archive) -> None:
    found = client.retrieve_study_metadata(STUDY)
    assert len(found) == 4
    (one,) = client.retrieve_series_metadata(STUDY, OTHER)
    uid = one["00080018"]["Value"][0]
    assert one == client.retrieve_instance_metadata(STUDY, OTHER, uid)
    reference = one["7FE00010"]["BulkDataURI"]
    stored = dcmread(BytesIO(hub.stored[uid]))
    assert client.retrieve_bulkdata(reference) == [stored.PixelData]
    read = Dataset.from_json({tag: value for tag, value in one.items() if tag != "7FE00010"})
    del stored.PixelData
    assert read == stored


def test_native_frames_are_the_stored_octets(client: DICOMwebClient, hub: Archive) -> None:
    multiframe = slice_of(STUDY, "2.25.210", 1, NumberOfFrames=3, PixelData=bytes(range(48 * 2)) * 3)
    hub.hold(multiframe)
    frames = client.retrieve_instance_frames(STUDY, "2.25.210", multiframe.SOPInstanceUID, [1, 3])
    assert frames == [bytes(range(96))] * 2


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("JPEG2000.dcm", "image/jp2"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls"),
        ("MR_small_RLE.dcm", "image/dicom-rle"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg"),
        ("rtdose_rle.dcm", "image/dicom-rle"),
    ],
)
def test_compressed_frames_keep_their_media_type(
    client: DICOMwebClient, hub: Archive, name: str, media_type: str
) -> None:
    from pydicom.encaps import generate_frames

    dataset = from_file(name, StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.300")
    hub.hold(dataset)
    count = int(dataset.get("NumberOfFrames", 1))
    expected = list(generate_frames(dataset.PixelData, number_of_frames=count))
    numbers = list(range(1, count + 1))
    found = client.retrieve_instance_frames(
        STUDY, "2.25.300", dataset.SOPInstanceUID, numbers,
        media_types=((media_type, dataset.file_meta.TransferSyntaxUID),),
    )  # fmt: skip
    assert found == expected
    assert client.retrieve_instance_frames(STUDY, "2.25.300", dataset.SOPInstanceUID, [count]) == expected[-1:]


def test_rendered_frames_are_pictures(client: DICOMwebClient, hub: Archive) -> None:
    dataset = from_file("CT_small.dcm", StudyInstanceUID=STUDY, SeriesInstanceUID="2.25.301")
    hub.hold(dataset)
    uid = dataset.SOPInstanceUID
    png = client.retrieve_instance_rendered(STUDY, "2.25.301", uid, media_types=("image/png",))
    assert Image.open(BytesIO(png)).size == (128, 128)
    dark = client.retrieve_instance_rendered(
        STUDY, "2.25.301", uid, media_types=("image/png",), params={"window": "30000,10,linear"}
    )
    assert np.asarray(Image.open(BytesIO(dark))).max() == 0
    jpeg = client.retrieve_instance_frames_rendered(STUDY, "2.25.301", uid, [1], media_types=("image/jpeg",))
    assert Image.open(BytesIO(jpeg)).format == "JPEG"
    small = httpx.get(f"{hub.url}/studies/{STUDY}/series/2.25.301/thumbnail?viewport=32,64")
    assert Image.open(BytesIO(small.content)).size == (32, 32)
