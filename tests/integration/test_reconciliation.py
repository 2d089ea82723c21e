"""Images and claims side by side: what is missing on either, and nothing of few people."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.settings import Settings
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.reconciliation import ReconciledMonth, reconcile
from imaging_hub.synthetic.patients import HospitalStudy
from imaging_hub.web.reconciliation import _suppress_small
from tests.linked_population import Linked, few_linked, link_population
from tests.web_story import a_web_story

NO_CODES = ProcedureCodes({})


def reconciled(database: Database, folder: Path, finess: str | None = None) -> list[ReconciledMonth]:
    with database.begin(DatabaseRole.WEB) as connection:
        return list(reconcile(connection, folder / "tables", NO_CODES, finess))


def billed_at(study: HospitalStudy) -> str:
    """FINESS under which the exam was billed; an inpatient's by the hospital of the stay, wherever the images are."""
    exam = study.exam
    return exam.inpatient.finess[:8] if exam.inpatient else exam.hospital.finess[:8] if exam.claimed else ""


def made_at(study: HospitalStudy) -> str:
    return study.patient.hospital.finess[:8]


def of_linked_patients(linked: Linked) -> list[HospitalStudy]:
    patients = {id(patient) for link in linked.links for patient in link.patients}
    return [study for study in linked.population.studies if id(study.patient) in patients]


def without_images(linked: Linked) -> Counter[str]:
    """Exams of linked people whose images are of their second subject, which is not linked, or of another hospital."""
    persons = {link.person for link in linked.links}
    pictured = of_linked_patients(linked)
    here = {id(study) for study in pictured if billed_at(study) == made_at(study)}

    def covered(study: HospitalStudy) -> bool:
        days = [one.day for one in pictured if made_at(one) == billed_at(study)]
        return min(days) <= study.exam.day <= max(days)

    return Counter(
        billed_at(study)
        for study in linked.population.studies
        if study.patient.person.snds_person in persons and billed_at(study) and id(study) not in here and covered(study)
    )


def test_what_is_on_one_side_only_is_what_the_truth_says(database: Database, tmp_path: Path) -> None:
    linked = few_linked(database, tmp_path, persons=600)
    truth = of_linked_patients(linked)
    found = reconciled(database, tmp_path)
    apart, missing = Counter(made_at(s) for s in truth if billed_at(s) != made_at(s)), without_images(linked)
    assert sum(apart.values()) > 10
    assert sum(missing.values()) > 10
    for finess in ("99000010", "99000021", "99000032"):
        mine = [one for one in found if one.finess == finess]
        assert sum(one.studies for one in mine) == sum(made_at(study) == finess for study in truth)
        assert sum(one.without_claim for one in mine) == apart[finess]
        assert sum(one.without_images for one in mine) == missing[finess]
    by_month = Counter((made_at(study), study.day.replace(day=1)) for study in truth)
    assert {(one.finess, one.month): one.studies for one in found if one.studies} == dict(by_month)


def test_exams_whose_images_were_never_sent_are_counted(database: Database, tmp_path: Path) -> None:
    few_linked(database, tmp_path, persons=600)
    before = reconciled(database, tmp_path, "990000101")
    assert {one.finess for one in before} == {"99000010"}
    with database.begin(DatabaseRole.OWNER) as owner:
        gone = owner.execute(
            text(
                "DELETE FROM hub.study WHERE study_instance_uid IN ("
                " SELECT study_instance_uid FROM hub.study JOIN hub.link USING (sid)"
                " WHERE finess = '990000101' AND study_date BETWEEN '2018-06-01' AND '2019-06-01'"
                " AND sid IN (SELECT sid FROM hub.study GROUP BY sid HAVING count(*) > 1)"
                " ORDER BY study_instance_uid LIMIT 4)"
            )
        ).rowcount
    assert gone == 4
    after = reconciled(database, tmp_path, "990000101")
    missing = sum(one.without_images for one in after) - sum(one.without_images for one in before)
    unbilled = sum(one.without_claim for one in before) - sum(one.without_claim for one in after)
    assert missing + unbilled == gone
    assert missing >= 3


def test_without_a_procedure_code_the_modality_has_to_agree(database: Database, tmp_path: Path) -> None:
    few_linked(database, tmp_path, persons=600)
    before = sum(one.without_claim for one in reconciled(database, tmp_path))
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(
            text(
                "INSERT INTO hub.series (series_instance_uid, study_instance_uid, modality, sop_class_uid, instances,"
                " profile, needs_review, review_state, content_digest) SELECT study_instance_uid, study_instance_uid,"
                " CASE WHEN procedures[1] ~ '^(ZBQK002)' THEN 'DX' WHEN procedures[1] ~ '^(ACQN|ACQJ)' THEN 'MR'"
                " ELSE 'CT' END, '1', 1, 'p', false, 'NOT_NEEDED', 'c' FROM hub.study"
            )
        )
        owner.execute(text("UPDATE hub.study SET procedures = '{}'"))
    assert sum(one.without_claim for one in reconciled(database, tmp_path)) == before
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("UPDATE hub.series SET modality = 'US'"))
    everything = reconciled(database, tmp_path)
    assert sum(one.without_claim for one in everything) == sum(one.studies for one in everything)


def test_small_numbers_are_held_back() -> None:
    month = date(2019, 3, 1)
    assert (_suppress_small(ReconciledMonth("1", month, 40, 15, 10, 3), 11).without_images) == "15"
    shown = _suppress_small(ReconciledMonth("1", month, 40, 35, 30, 4), 11)
    assert (shown.billed, shown.without_images, shown.studies, shown.without_claim) == (
        "40",
        "withheld",
        "30",
        "withheld",
    )
    assert _suppress_small(ReconciledMonth("1", month, 10, 10, 0, 0), 11).billed == "<11"
    assert _suppress_small(ReconciledMonth("1", month, 10, 10, 0, 0), 11).without_images == "<11"


def test_the_page_leaves_out_what_may_not_be_shown_and_a_hospital_sees_its_own(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with a_web_story(settings, database) as story:
        with story.client("operator") as operator:
            assert "Nobody is linked yet" in operator.get("/reconciliation").text
        link_population(database, tmp_path, persons=300, seed=5, tables=settings.tables)
        with story.client("operator") as operator, story.client("hospital") as hospital:
            rows = operator.get("/api/v1/reconciliation").json()
            assert {row["finess"] for row in rows} == {"99000010", "99000021", "99000032"}
            assert {row["billed"] for row in rows} == {"<11"}
            page = operator.get("/reconciliation").text
            assert f"{len(rows)} months of a hospital have small numbers only" in page
            assert "&lt;11" not in page
            assert hospital.get("/api/v1/reconciliation").json() == []
