"""Admission to the index: once, whole, and never into somebody else's study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from threading import Thread

import pytest
from archived import FINESS, PSEUDONYM, SID, admit_in, archive, deidentified, from_file, slice_of
from sqlalchemy import text

from imaging_hub.archive import index, search, totals
from imaging_hub.archive.search_filters import SeriesFilter, StudyFilter
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.errors import HubError
from imaging_hub.review import differences

STUDY, SERIES = "2.25.100", "2.25.200"


def volume(slices: int = 4, **attributes: object) -> list[index.DeidentifiedInstance]:
    needs_review = bool(attributes.pop("needs_review", False))
    made = [slice_of(STUDY, SERIES, n, z=2.5 * n, **attributes) for n in range(1, slices + 1)]
    return [deidentified(dataset, needs_review=needs_review) for dataset in made]


def faults_of(work: Sequence[Callable[[], None]]) -> list[BaseException]:
    """What goes wrong when all of it is done at once."""
    faults: list[BaseException] = []

    def attempt(piece: Callable[[], None]) -> None:
        try:
            piece()
        except BaseException as fault:
            faults.append(fault)

    threads = [Thread(target=attempt, args=(piece,)) for piece in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def the_study(database: Database) -> search.ArchivedStudy:
    with database.begin(DatabaseRole.WEB) as connection:
        (study,) = search.find_studies(connection)
    return study


def the_series(database: Database) -> search.ArchivedSeries:
    with database.begin(DatabaseRole.WEB) as connection:
        (series,) = search.find_series(connection)
    return series


def test_a_study_is_indexed_with_what_cohorts_ask(database: Database) -> None:
    archive(database, volume())
    study, series = the_study(database), the_series(database)
    assert (study.pseudonym, study.finess, study.modalities, study.series, study.instances) == (
        PSEUDONYM,
        FINESS,
        ("CT",),
        1,
        4,
    )
    assert (study.shifted_date, study.revision, study.state) == (date(2020, 5, 12), 1, "RELEASABLE")
    assert study.description == "Scanner thoracique"
    assert study.accession is None
    assert (series.modality, series.body_part, series.kernel, series.kvp) == ("CT", "CHEST", "B70f", 120.0)
    assert (series.slice_thickness_mm, series.slice_spacing_mm, series.pixel_spacing_mm) == (2.0, 2.5, 0.8)
    assert (series.contrast, series.is_scout, series.is_derived, series.instances) == (None, False, False, 4)
    with database.begin(DatabaseRole.WORKER) as connection:
        assert connection.execute(text("SELECT study_date FROM hub.study")).scalar_one() == date(2019, 3, 1)


def test_what_is_admitted_twice_is_there_once_and_unchanged(database: Database) -> None:
    archive(database, volume(needs_review=True))
    before = the_study(database), the_series(database)
    archive(database, volume(needs_review=True))
    assert (the_study(database), the_series(database)) == before


def test_a_late_instance_raises_the_revision_and_undoes_the_approval(database: Database) -> None:
    archive(database, volume(3, needs_review=True))
    assert the_study(database).state == "IN_REVIEW"
    with database.begin(DatabaseRole.WEB) as connection:
        index.lock_study(connection, STUDY)
        connection.execute(text("UPDATE hub.series SET review_state = 'APPROVED'"))
        index.refresh_study_state(connection, STUDY)
    assert the_study(database).state == "RELEASABLE"
    digest = the_series(database).content_digest
    archive(database, volume(4, needs_review=True))
    study, series = the_study(database), the_series(database)
    assert (study.revision, study.state, series.review_state, series.instances) == (2, "IN_REVIEW", "PENDING", 4)
    assert series.content_digest != digest


def test_a_rejected_series_vetoes_its_study(database: Database) -> None:
    archive(database, volume(needs_review=True))
    archive(database, [deidentified(slice_of(STUDY, "2.25.201", 1))])
    with database.begin(DatabaseRole.WEB) as connection:
        index.lock_study(connection, STUDY)
        connection.execute(text("UPDATE hub.series SET review_state = 'REJECTED' WHERE needs_review"))
        index.refresh_study_state(connection, STUDY)
    assert the_study(database).state == "VETOED"


def test_another_deidentification_of_an_instance_takes_its_place(database: Database) -> None:
    archive(database, volume(2))
    archive(database, volume(2, SeriesDescription="Autre"))
    study, series = the_study(database), the_series(database)
    assert (study.revision, series.instances, series.description) == (2, 2, "Autre")


@pytest.mark.parametrize("order", [0, 1])
def test_the_order_of_admission_does_not_change_the_content_digest(database: Database, order: int) -> None:
    instances = volume(6)
    archive(database, instances[::-1] if order else instances)
    assert the_series(database).content_digest == _DIGESTS.setdefault("six", the_series(database).content_digest)


_DIGESTS: dict[str, str] = {}


def test_a_study_of_another_subject_is_refused(database: Database) -> None:
    archive(database, volume())
    with pytest.raises(HubError) as fault:
        archive(database, volume(), sid="6" * 32, pseudonym="P-0002")
    assert fault.value.code == "study-of-another-subject"


def test_a_series_of_another_study_is_refused_whole(database: Database) -> None:
    archive(database, volume())
    with pytest.raises(HubError) as fault:
        archive(database, [deidentified(slice_of("2.25.101", SERIES, 99))])
    assert fault.value.code == "series-of-another-study"
    assert the_series(database).instances == 4


def test_an_instance_does_not_move_to_another_series(database: Database) -> None:
    instances = volume()
    archive(database, instances)
    moved = slice_of(STUDY, "2.25.202", 1, SOPInstanceUID=instances[0].sop_instance_uid)
    with pytest.raises(HubError) as fault:
        archive(database, [deidentified(moved)])
    assert fault.value.code == "instance-of-another-series"


def test_a_true_day_in_an_instance_is_refused(database: Database) -> None:
    with pytest.raises(HubError) as fault:
        archive(database, [deidentified(slice_of(STUDY, SERIES, 1), study_date=date(2020, 5, 12))])
    assert fault.value.code == "date-not-shifted"


def test_a_batch_of_two_studies_is_a_wrong_call(database: Database) -> None:
    with pytest.raises(HubError) as fault:
        archive(database, [*volume(1), deidentified(slice_of("2.25.101", "2.25.203", 1))])
    assert fault.value.code == "several-studies"


def test_workers_that_admit_one_study_at_once_neither_deadlock_nor_duplicate(database: Database) -> None:
    instances = volume(40, needs_review=True)
    archive(database, instances[:1])  # from here on, no insert of the study makes them wait for each other
    parts = [instances[1:20], instances[39:15:-1], instances[:7], instances[20:]]
    assert not faults_of([lambda part=part: archive(database, part) for part in parts])
    assert the_series(database).instances == 40
    assert the_study(database).state == "IN_REVIEW"
    with database.begin(DatabaseRole.WORKER) as connection:
        assert connection.execute(text("SELECT count(*) FROM hub.instance")).scalar_one() == 40


def test_a_second_worker_waits_for_the_first_before_it_touches_the_study(database: Database) -> None:
    instances = volume(4)
    archive(database, instances[:1])
    with database.begin(DatabaseRole.WORKER) as first:
        admit_in(first, instances[1:3])
        second = Thread(target=archive, args=(database, instances[3:]))
        second.start()
        waiting = text("SELECT locktype FROM pg_locks WHERE NOT granted")
        found: list[str] = []
        while second.is_alive() and not found:
            found = list(first.execute(waiting).scalars())
        assert found == ["advisory"]
    second.join()
    assert the_series(database).instances == 4


def test_two_studies_of_one_subject_are_admitted_at_once(database: Database) -> None:
    parts = [[deidentified(slice_of(f"2.25.30{n}", f"2.25.40{n}", i, z=i)) for i in range(5)] for n in range(4)]
    assert not faults_of([lambda part=part: archive(database, part) for part in parts])
    with database.begin(DatabaseRole.WEB) as connection:
        assert totals.count_archive(connection).studies == 4


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ContrastBolusAgent": "Iohexol"}, {"contrast": True}),
        ({"ContrastBolusAgent": "NONE"}, {"contrast": False}),
        ({"ContrastBolusAgent": ""}, {"contrast": None}),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {"is_scout": True}),
        ({"SeriesDescription": "Topogram 0.6"}, {"is_scout": True}),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {"is_derived": True}),
        ({"Laterality": "l"}, {"laterality": "L"}),
        ({"MagneticFieldStrength": "1.5"}, {"magnetic_field_t": 1.5}),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.2]}, {"pixel_spacing_mm": 0.2}),
        ({"ImagePositionPatient": None}, {"slice_spacing_mm": None}),
        ({"SeriesDescription": "é\x00\x07<b>"}, {"description": "é<b>"}),
        ({"Modality": ""}, {"modality": "OT"}),
    ],
)
def test_series_attributes_say_what_the_headers_say(
    database: Database, attributes: dict[str, object], expected: dict[str, object]
) -> None:
    archive(database, volume(2, **attributes))
    series = the_series(database)
    assert {name: getattr(series, name) for name in expected} == expected


def test_spacing_is_measured_along_the_normal_and_phases_count_once(database: Database) -> None:
    oblique = [1, 0, 0, 0, 0.6, 0.8]  # normal (0, -0.8, 0.6)
    made = [
        slice_of(
            STUDY, SERIES, phase * 10 + n, ImageOrientationPatient=oblique, ImagePositionPatient=[7, -4 * n, 3 * n]
        )
        for n in range(5)
        for phase in range(2)
    ]
    archive(database, [deidentified(dataset) for dataset in made])
    assert the_series(database).slice_spacing_mm == 5.0


def test_frames_of_an_enhanced_image_give_spacing_and_measures(database: Database) -> None:
    from pydicom import Dataset

    def group(**values: object) -> Dataset:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return item

    shared = group(
        PixelMeasuresSequence=[group(PixelSpacing=[0.5, 0.5], SliceThickness="1.5")],
        PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
    )
    frames = [group(PlanePositionSequence=[group(ImagePositionPatient=[0, 0, 1.25 * n])]) for n in range(3)]
    enhanced = slice_of(
        STUDY,
        SERIES,
        1,
        PixelSpacing=None,
        SliceThickness=None,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        NumberOfFrames=3,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
        PixelData=bytes(48 * 2 * 3),
    )
    archive(database, [deidentified(enhanced)])
    series = the_series(database)
    assert (series.slice_spacing_mm, series.slice_thickness_mm, series.pixel_spacing_mm) == (1.25, 1.5, 0.5)


def test_real_files_are_indexed(database: Database) -> None:
    for number, name in enumerate(["CT_small.dcm", "MR_small.dcm", "rtdose.dcm", "test-SR.dcm", "JPEG2000.dcm"]):
        dataset = from_file(name, StudyInstanceUID=f"2.25.5{number}", SeriesInstanceUID=f"2.25.6{number}")
        archive(database, [deidentified(dataset)])
    with database.begin(DatabaseRole.WEB) as connection:
        held = totals.count_archive(connection)
        assert held.instances == 5
        assert held.by_modality == {"CT": 1, "MR": 1, "NM": 1, "RTDOSE": 1, "SR": 1}


def test_questions_narrow_by_uid_day_text_and_modality(database: Database) -> None:
    archive(database, volume(2))
    day = date(2020, 5, 12)
    found = [
        StudyFilter(study_uids=[STUDY]),
        StudyFilter(patient="P-*"),
        StudyFilter(patient_name="P-000?"),
        StudyFilter(shifted_from=day, shifted_to=day),
        StudyFilter(modalities=["MR", "CT"]),
        StudyFilter(description="scanner*"),
        StudyFilter(finess=FINESS, state="RELEASABLE"),
        StudyFilter(description="*"),
    ]
    missed = [
        StudyFilter(study_uids=["2.25.1"]),
        StudyFilter(patient="P_000%"),
        StudyFilter(shifted_from=date(2020, 5, 13)),
        StudyFilter(modalities=["MR"]),
        StudyFilter(description="scanner"),
        StudyFilter(patient="' OR 1=1 --"),
    ]
    with database.begin(DatabaseRole.WEB) as connection:
        assert all(len(search.find_studies(connection, wanted)) == 1 for wanted in found)
        assert not any(search.find_studies(connection, wanted) for wanted in missed)
        assert search.find_studies(connection, of_series=SeriesFilter(body_part="chest"))
        assert not search.find_studies(connection, of_series=SeriesFilter(number=99))
        assert len(search.find_instances(connection, limit=1, offset=1)) == 1
        assert search.find_instances(connection, of_series=SeriesFilter(series_uids=[SERIES]))[0].frames == 1


def test_what_deidentification_did_is_kept_without_values_and_once_for_all_slices(database: Database) -> None:
    slices = volume(3)
    archive(database, slices)
    with database.begin(DatabaseRole.WEB) as connection:
        lists = connection.execute(text("SELECT changes FROM hub.change_list")).scalars().all()
        told = differences.list_differences(connection, SERIES, None)
    expected = [[change.path, change.action, change.rule] for change in slices[0].changes]
    assert lists == [expected]
    assert sorted([one.path, one.action, one.rule] for one in told) == sorted(expected)
    assert {one.instances for one in told} == {3}


def test_a_slice_that_was_treated_otherwise_has_a_list_of_its_own(database: Database) -> None:
    first, *others = volume(3)
    archive(
        database,
        [replace(first, changes=(*first.changes, AttributeChange("PatientComments", "X", "E.1-1 Basic"))), *others],
    )
    with database.begin(DatabaseRole.WEB) as connection:
        told = {one.path: one.instances for one in differences.list_differences(connection, SERIES, None)}
    assert told.pop("PatientComments") == 1
    assert set(told.values()) == {3}


def test_only_releasable_studies_wait_for_the_sink(database: Database) -> None:
    archive(database, volume(2))
    archive(database, [deidentified(slice_of("2.25.101", "2.25.203", 1), needs_review=True)])
    with database.begin(DatabaseRole.WORKER) as connection:
        assert search.list_awaiting_sink(connection) == [STUDY]


def test_the_subject_keeps_its_pseudonym(database: Database) -> None:
    archive(database, volume(1))
    with pytest.raises(HubError) as fault:
        archive(database, [deidentified(slice_of("2.25.101", "2.25.203", 1))], sid=SID, pseudonym="P-0009")
    assert fault.value.code == "subject-of-another-pseudonym"
