"""PET: what a standardised uptake value is computed from says the same before and after."""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from an_instance import PSEUDONYMS, SEQUENCE, an_instance, engine, sequence, text, written
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms, SourceInstance
from imaging_hub.dicom import part10
from imaging_hub.dicom.elements import Element

PET_IMAGE = "1.2.840.10008.5.1.4.1.1.128"
HALF_LIFE = 6586.2
TWO = ["research-longitudinal", "options: [retain-longitudinal-full-dates, retain-patient-characteristics]"]


def pet(injected: datetime, scanned: datetime, *more: Element) -> SourceInstance:
    """A PET slice: injected, then scanned, perhaps on the day after."""
    injection = [
        text(0x00180031, "LO", "Fluorodeoxyglucose"),
        text(0x00181072, "TM", f"{injected:%H%M%S.%f}"),
        text(0x00181073, "TM", f"{injected + timedelta(seconds=30):%H%M%S.%f}"),
        text(0x00181074, "DS", "370000000"),
        text(0x00181075, "DS", str(HALF_LIFE)),
        text(0x00181076, "DS", "0.97"),
        text(0x00181078, "DT", f"{injected:%Y%m%d%H%M%S.%f}+0100"),
        text(0x00181079, "DT", f"{injected + timedelta(seconds=30):%Y%m%d%H%M%S.%f}+0100"),
    ]
    own = [
        *(text(tag, "DA", f"{scanned:%Y%m%d}") for tag in (0x00080020, 0x00080021, 0x00080022, 0x00080023)),
        *(text(tag, "TM", f"{scanned:%H%M%S.%f}") for tag in (0x00080030, 0x00080031, 0x00080032, 0x00080033)),
        text(0x0008002A, "DT", f"{scanned:%Y%m%d%H%M%S.%f}+0100"),
        text(0x00101030, "DS", "71.5"),
        sequence(0x00540016, injection),
        text(0x00541001, "CS", "BQML"),
        text(0x00541102, "CS", "START"),
        text(0x00541300, "DS", "135000"),
        text(0x00541321, "DS", "1.0421"),
    ]
    return an_instance(*own, *more, sop_class=PET_IMAGE, modality="PT")


def read(outcome: object) -> pydicom.Dataset:
    """An output as pydicom reads it."""
    assert isinstance(outcome, DeidentifiedInstance), outcome
    return pydicom.dcmread(io.BytesIO(b"".join(outcome.part10)))


def source_of(source: SourceInstance) -> pydicom.Dataset:
    meta = part10.file_meta(PET_IMAGE, "1.2.250.1.999.1.3", source.transfer_syntax_uid)
    return pydicom.dcmread(io.BytesIO(meta + bytes(source.dataset)))


def moment(day: str, time: str) -> datetime:
    return datetime.strptime(f"{day}{time}", "%Y%m%d%H%M%S.%f")


def decay_seconds(dataset: pydicom.Dataset) -> dict[str, float]:
    """Seconds from injection to scan, by each pair of attributes that vendors and readers use."""
    tracer = dataset.RadiopharmaceuticalInformationSequence[0]
    injected = datetime.strptime(tracer.RadiopharmaceuticalStartDateTime, "%Y%m%d%H%M%S.%f%z")
    clock = moment(dataset.SeriesDate, tracer.RadiopharmaceuticalStartTime)
    ended = datetime.strptime(tracer.RadiopharmaceuticalStopDateTime, "%Y%m%d%H%M%S.%f%z")
    scans = {
        "series": moment(dataset.SeriesDate, dataset.SeriesTime),
        "acquisition": moment(dataset.AcquisitionDate, dataset.AcquisitionTime),
        "content": moment(dataset.ContentDate, dataset.ContentTime),
    }
    zoned = datetime.strptime(dataset.AcquisitionDateTime, "%Y%m%d%H%M%S.%f%z")
    by_date = {name: (scan - injected.replace(tzinfo=None)).total_seconds() for name, scan in scans.items()}
    by_clock = {f"{name} by clock": (scan - clock).total_seconds() for name, scan in scans.items()}
    return by_date | by_clock | {"zoned": (zoned - injected).total_seconds(), "stop": (zoned - ended).total_seconds()}


def uptake_factor(dataset: pydicom.Dataset) -> float:
    """What a pixel in Bq/ml is multiplied by to become SUV by body weight."""
    tracer = dataset.RadiopharmaceuticalInformationSequence[0]
    left = 2 ** (-decay_seconds(dataset)["series"] / float(tracer.RadionuclideHalfLife))
    return float(dataset.PatientWeight) * 1000 / (float(tracer.RadionuclideTotalDose) * left)


@pytest.fixture(scope="module", params=TWO, ids=["modified", "full"])
def pet_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    if request.param.startswith("options"):
        return engine(written(tmp_path_factory.mktemp("profiles"), request.param))
    return engine(request.param)


@settings(max_examples=60, deadline=None)
@given(
    injected=st.datetimes(datetime(1999, 1, 1), datetime(2026, 12, 31)),
    waited=st.integers(0, 5 * 3600),
    days=st.integers(-3650, 3650).filter(bool),
)
def test_the_decay_interval_is_the_same_after_by_whatever_attributes(
    pet_engine: Deidentifier, injected: datetime, waited: int, days: int
) -> None:
    source = pet(injected, injected + timedelta(seconds=waited))
    before = source_of(source)
    keys = Pseudonyms("S-TEST-0000-0000-0001", bytes(range(32)), days)
    after = read(pet_engine.deidentify(source, keys))
    assert decay_seconds(after) == decay_seconds(before)
    assert uptake_factor(after) == uptake_factor(before)


def test_what_else_an_uptake_value_needs_stays(pet_engine: Deidentifier) -> None:
    scanned = datetime(2024, 2, 29, 10, 15, 30, 250000)
    source = pet(scanned - timedelta(hours=1), scanned)
    before, after = source_of(source), read(pet_engine.deidentify(source, PSEUDONYMS))
    for keyword in ("PatientWeight", "Units", "DecayCorrection", "FrameReferenceTime", "DecayFactor"):
        assert after[keyword].value == before[keyword].value
    tracer, was = (dataset.RadiopharmaceuticalInformationSequence[0] for dataset in (after, before))
    for keyword in (
        "Radiopharmaceutical",
        "RadionuclideTotalDose",
        "RadionuclideHalfLife",
        "RadionuclidePositronFraction",
        "RadiopharmaceuticalStartTime",
        "RadiopharmaceuticalStopTime",
    ):
        assert tracer[keyword].value == was[keyword].value


def test_an_injection_before_midnight_stays_on_the_day_before() -> None:
    injected = datetime(2023, 12, 31, 23, 30, 0, 1)
    after = read(engine("research-longitudinal").deidentify(pet(injected, injected + timedelta(hours=1)), PSEUDONYMS))
    tracer = after.RadiopharmaceuticalInformationSequence[0]
    assert tracer.RadiopharmaceuticalStartDateTime == "20230922233000.000001+0100"
    assert after.AcquisitionDate == "20230923"


def test_the_moments_of_an_enhanced_image_move_with_the_rest() -> None:
    scanned = datetime(2023, 1, 20, 10, 15, 0)
    frame = [text(0x00189074, "DT", "20230120101500.5"), text(0x00189151, "DT", "20230120101600.5")]
    source = pet(
        scanned - timedelta(hours=1),
        scanned,
        text(0x00189701, "DT", "20230120101500"),
        sequence(SEQUENCE, [sequence(0x00209111, frame)]),
    )
    after = read(engine("research-longitudinal").deidentify(source, PSEUDONYMS))
    content = after.SharedFunctionalGroupsSequence[0].FrameContentSequence[0]
    assert after.DecayCorrectionDateTime == "20221012101500"
    assert (content.FrameAcquisitionDateTime, content.FrameReferenceDateTime) == (
        "20221012101500.5",
        "20221012101600.5",
    )


def test_the_uptake_factors_that_the_standard_lists_as_safe_stay() -> None:
    scanned = datetime(2023, 1, 20, 10, 15, 0)
    factor = [text(0x70530010, "LO", "Philips PET Private Group"), text(0x70531000, "DS", "0.000412")]
    after = read(
        engine("research-longitudinal").deidentify(pet(scanned - timedelta(hours=1), scanned, *factor), PSEUDONYMS)
    )
    assert after[0x7053, 0x1000].value == 0.000412


def test_the_basic_profile_leaves_no_moment(tmp_path: Path) -> None:
    scanned = datetime(2023, 1, 20, 10, 15, 0)
    after = read(engine("basic").deidentify(pet(scanned - timedelta(hours=1), scanned), PSEUDONYMS))
    days = [str(element.value)[:8] for element in after.iterall() if element.VR in ("DA", "DT") and element.value]
    assert set(days) <= {"19000101"}
    assert not any(f"{date(2023, 1, 20):%Y%m%d}" in day for day in days)
