"""Cohorts against an independent computation in plain Python over the synthetic truth: the same set, exactly.

The oracle below reads the YAML and `truth.json` itself; it shares no code with what it checks.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from imaging_hub import snds
from imaging_hub.audit import trail
from imaging_hub.cohorts import flowchart, frozen
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import run
from imaging_hub.cohorts.frozen import Frozen
from imaging_hub.cohorts.plan import plan
from imaging_hub.cohorts.snapshot import take
from imaging_hub.database import Database
from imaging_hub.database import Role as Login
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import Actor, Denied, Permit, Reason, Role
from imaging_hub.snds.loading import load
from imaging_hub.snds.synthetic.generator import synthesize

TODAY = date(2026, 11, 23)
DOCS = Path(__file__).parents[2] / "docs" / "cohorts"

EXTRA = {
    "missing-kept": """
        cohort: missing-kept
        version: 1
        sets: {any_cancer: {icd10: ["C*"]}}
        index: {event: {domain: diagnosis, set: any_cancer, first: false}}
        demographics: {sex: male, missing: keep}
        imaging:
          - name: ct
            modality: CT
            body_part: [chest]
            series:
              slice_thickness_mm: {min: 1.1, max: 4}
              contrast: [yes]
              kernel: {regex: "^(Br|LUNG)"}
              missing: keep
            window: {before: [0, 700], after: [1, 700]}
        """,
    "missing-dropped": """
        cohort: missing-dropped
        version: 1
        sets: {any_cancer: {icd10: ["C*"]}}
        index: {event: {domain: diagnosis, set: any_cancer}}
        demographics: {sex: female, age_at_index: [30, 80]}
        imaging:
          - name: ct
            modality: CT
            series: {contrast: [no, unknown], manufacturer: {any: [siemens, canon]}, exclude: [derived]}
            window: {before: [0, 1500], after: [0, 1500]}
        """,
    "years-and-days": """
        cohort: years-and-days
        version: 1
        scope: {snds_years: [2018, 2020]}
        sets:
          long_term: {icd10: ["G35", "J449", "C34*"]}
          x_ray: {ccam: [ZBQK002]}
          pain: {atc: ["N02BE01", "A02*"]}
        index:
          event: {domain: diagnosis, set: long_term, position: [ALD]}
          observation: {before_days: 200, after_days: 150}
        demographics: {alive_at_index: true}
        inclusion:
          - name: anything
            any:
              - {domain: act, set: x_ray, window: {before: [0, 900], after: [0, 900]}}
              - {domain: drug, set: pain, window: {before: [0, 900], after: [0, 900]}, count: ">=2", distinct: event}
              - {domain: act, set: {ccam: {modality: CT, region: CHEST, contrast: yes}}, window: {before: [0, 400]}}
        exclusion:
          - {name: infarction, domain: diagnosis, set: {icd10: ["I63*"]}, window: {before: [0, 3000], after: [0, 3000]}}
        imaging:
          - name: latest
            modality: CT
            series: {image_type: {all: [ORIGINAL, PRIMARY]}, exclude: [scout]}
            window: {before: [0, 2000], after: [0, 2000]}
            pick: {order: latest, limit: 2}
        """,
    "nobody": """
        cohort: nobody
        version: 1
        sets: {rare: {icd10: ["Q999"]}}
        index: {event: {domain: diagnosis, set: rare}}
        imaging: [{name: ct, modality: CT, window: {before: [0, 10]}}]
        """,
}
DEFINITIONS = {path.stem: path.read_text("utf-8") for path in sorted(DOCS.glob("*.yaml"))} | EXTRA


@dataclass(frozen=True)
class World:
    """The synthetic truth, the loaded tables, and the series that a hub of it would index."""

    truth: dict[str, Any]
    tables: Path
    series: list[dict[str, Any]]
    links: dict[str, str]
    """SNDS person by sid, for those who could be linked."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    out = tmp_path_factory.mktemp("synthetic")
    synthesize(out / "made", persons=240, seed=11)
    load(out / "made" / "snds", out / "tables")
    truth = json.loads((out / "made" / "truth.json").read_text("utf-8"))
    linkable = {(p["hospital"], p["ipp"]): p["linkable"] for p in truth["patients"]}
    person_of = {p["id"]: p["snds_person"] for p in truth["persons"]}
    links, series = {}, []
    chance = random.Random(5)
    for study in truth["studies"]:
        linked = linkable[study["hospital"], study["ipp"]]
        sid = f"sid-{study['person']}" if linked else f"sid-{study['hospital']}-{study['ipp']}"
        if linked:
            links[sid] = person_of[study["person"]]
        study_date = None if chance.random() < 0.05 else date.fromisoformat(study["date"])
        series += [_indexed(study, one, sid, study_date, chance) for one in study["series"]]
    return World(truth, out / "tables", series, links)


def _indexed(
    study: dict[str, Any], one: dict[str, Any], sid: str, study_date: date | None, chance: random.Random
) -> dict[str, Any]:
    """A series as the index has it, with attributes missing here and there."""

    def said(value: object) -> Any:
        return None if chance.random() < 0.15 else value

    return {
        "sid": sid,
        "study": study["study_instance_uid"],
        "uid": one["series_instance_uid"],
        "study_date": study_date,
        "modality": one["modality"],
        "body_part": said(one["body_part"]),
        "contrast": said(True) if one["contrast"] else said(False),
        "manufacturer": said(one["manufacturer"]),
        "kernel": said(one["kernel"]),
        "slice_thickness_mm": said(one["slice_thickness_mm"]),
        "image_type": ["ORIGINAL", "PRIMARY"] if chance.random() < 0.8 else ["DERIVED", "SECONDARY"],
        "instances": one["instances"],
        "is_scout": one["scout"],
        "is_derived": chance.random() < 0.1,
    }


@pytest.fixture
def indexed(database: Database, world: World) -> Database:
    """A database that holds the world's series and links."""
    with database.begin(Login.WORKER) as connection:
        for sid in sorted({one["sid"] for one in world.series}):
            connection.execute(text("INSERT INTO hub.subject (sid, pseudonym) VALUES (:sid, :sid)"), {"sid": sid})
        studies = {one["study"]: one for one in world.series}
        connection.execute(
            text(
                "INSERT INTO hub.study (study_instance_uid, sid, finess, study_date, state)"
                " VALUES (:study, :sid, '990000101', :study_date, 'RELEASABLE')"
            ),
            list(studies.values()),
        )
        connection.execute(
            text(
                "INSERT INTO hub.series (series_instance_uid, study_instance_uid, modality, sop_class_uid, body_part,"
                " contrast, manufacturer, kernel, slice_thickness_mm, image_type, is_scout, is_derived, instances,"
                " profile, needs_review, review_state, content_digest)"
                " VALUES (:uid, :study, :modality, '1.2', :body_part, :contrast, :manufacturer, :kernel,"
                " :slice_thickness_mm, :image_type, :is_scout, :is_derived, :instances, 'p@0', false,"
                " 'NOT_NEEDED', 'c')"
            ),
            world.series,
        )
        connection.execute(
            text(
                "INSERT INTO hub.link (sid, snds_person, method, score, delivery) VALUES (:sid, :person, 'ins', 1, 'd')"
            ),
            [{"sid": sid, "person": person} for sid, person in world.links.items()],
        )
    return database


# The oracle ------------------------------------------------------------------------------------------------------


def oracle(definition: str, world: World) -> set[tuple[str, date, str]]:
    """(sid, index date, series) of every member, computed the slow and obvious way."""
    wanted = yaml.load(definition, Loader=yaml.BaseLoader)
    people = {p["snds_person"]: p for p in world.truth["persons"]}
    years = [int(year) for year in wanted.get("scope", {}).get("snds_years", (1, 9999))]
    events = [
        {**event, "start": day}
        for event in world.truth["events"]
        if years[0] <= (day := date.fromisoformat(event["start"])).year <= years[1]
    ]
    reach = min(e["start"] for e in events), max(e["start"] for e in events)
    members: set[tuple[str, date, str]] = set()
    for sid, person in world.links.items():
        own = [event for event in events if event["person"] == person]
        days = sorted(e["start"] for e in own if matches(e, wanted["index"]["event"], wanted))
        if not days:
            continue
        index = days[-1] if wanted["index"]["event"].get("first") == "false" else days[0]
        if subject_passes(wanted, people[person], own, index, reach):
            members |= {(sid, index, uid) for uid in series_of(wanted, world, sid, index)}
    return members


def subject_passes(
    wanted: dict[str, Any], person: dict[str, Any], own: list[dict[str, Any]], index: date, reach: tuple[date, date]
) -> bool:
    observation = wanted["index"].get("observation", {})
    if (index - reach[0]).days < int(observation.get("before_days", 0)):
        return False
    if (reach[1] - index).days < int(observation.get("after_days", 0)):
        return False
    who = wanted.get("demographics", {})
    born = date.fromisoformat(person["birth_date"])
    age = index.year - born.year - (1 if index.month < born.month else 0)
    if "age_at_index" in who and not int(who["age_at_index"][0]) <= age <= int(who["age_at_index"][1]):
        return False
    if who.get("sex", "any") != "any" and {"male": "1", "female": "2"}[who["sex"]] != person["sex"]:
        return False
    if (
        who.get("alive_at_index") == "true"
        and person["death_date"]
        and date.fromisoformat(person["death_date"]) < index
    ):
        return False
    for step in wanted.get("inclusion", []):
        found = [occurs(one, own, index, wanted) for one in step.get("any") or step["all"]]
        if not (any(found) if "any" in step else all(found)):
            return False
    return not any(occurs(one, own, index, wanted) for one in wanted.get("exclusion", []))


def occurs(one: dict[str, Any], own: list[dict[str, Any]], index: date, wanted: dict[str, Any]) -> bool:
    days = [e["start"] for e in own if matches(e, one, wanted) and inside(e["start"], index, one["window"])]
    count = len(days) if one.get("distinct") == "event" else len(set(days))
    return count >= int(one.get("count", ">=1")[2:])


def inside(day: date, index: date, window: dict[str, list[str]]) -> bool:
    for side, sign in (("before", -1), ("after", 1)):
        if side in window:
            nearest, farthest = (int(days) for days in window[side])
            if nearest <= sign * (day - index).days <= farthest:
                return True
    return False


def matches(event: dict[str, Any], criterion: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if event["domain"] != criterion["domain"]:
        return False
    if criterion.get("position") and event["position"] not in criterion["position"]:
        return False
    codes = criterion["set"] if isinstance(criterion["set"], dict) else wanted["sets"][criterion["set"]]
    ((kind, patterns),) = codes.items()
    if kind == "ccam" and isinstance(patterns, dict):
        return event["code"] in acts(patterns)
    return any(
        event["code"].startswith(pattern[:-1]) if pattern.endswith("*") else event["code"] == pattern
        for pattern in patterns
    )


def acts(attributes: dict[str, str]) -> set[str]:
    with (Path(snds.__file__).parent / "schemas" / "ccam_imaging.csv").open(encoding="utf-8") as file:
        return {
            line["code"]
            for line in csv.DictReader(file)
            if line["dicom_modality"] == attributes["modality"]
            and ("region" not in attributes or attributes["region"] in line["body_regions"].split("|"))
            and attributes.get("contrast", "any") in ("any", line["contrast"])
            and line["is_supplement"] == "0"
        }


def series_of(wanted: dict[str, Any], world: World, sid: str, index: date) -> list[str]:
    (images,) = wanted["imaging"]
    found = [one for one in world.series if one["sid"] == sid and pictured(one, images, index)]
    pick = images.get("pick")
    if pick:
        order = {
            "nearest_to_index": lambda one: (abs((one["study_date"] - index).days), one["study_date"]),
            "earliest": lambda one: one["study_date"],
            "latest": lambda one: date.max - one["study_date"],
        }[pick.get("order", "nearest_to_index")]
        found = sorted(found, key=lambda one: (order(one), one["uid"]))[: int(pick["limit"])]
    return [one["uid"] for one in found]


def pictured(one: dict[str, Any], images: dict[str, Any], index: date) -> bool:
    if one["modality"] != images["modality"]:
        return False
    if one["study_date"] is None or not inside(one["study_date"], index, images["window"]):
        return False
    unknown = images.get("series", {}).get("missing") == "keep"
    return all(unknown if verdict is None else verdict for verdict in verdicts(one, images))


def verdicts(one: dict[str, Any], images: dict[str, Any]) -> Iterator[bool | None]:
    """Each condition on the header: holds, does not hold, or None where the header does not say."""
    series = images.get("series", {})

    def on(value: Any, test: Any) -> bool | None:
        return None if value is None else bool(test(value))

    if "body_part" in images:
        yield on(one["body_part"], lambda part: part.upper() in {p.upper() for p in images["body_part"]})
    if "slice_thickness_mm" in series:
        limits = series["slice_thickness_mm"]
        yield on(
            one["slice_thickness_mm"],
            lambda mm: float(limits.get("min", 0)) <= mm <= float(limits.get("max", "inf")),
        )
    if "contrast" in series:
        if one["contrast"] is None and "unknown" in series["contrast"]:
            yield True
        else:
            yield on(one["contrast"], lambda given: ("yes" if given else "no") in series["contrast"])
    if "manufacturer" in series:
        makers = series["manufacturer"]["any"]
        yield on(one["manufacturer"], lambda maker: any(word.upper() in maker.upper() for word in makers))
    if "kernel" in series:
        yield on(one["kernel"], lambda kernel: re.search(series["kernel"]["regex"], kernel) is not None)
    if "image_type" in series:
        yield set(series["image_type"]["all"]) <= set(one["image_type"])
    yield one["instances"] >= int(series.get("min_instances", 1))
    for kind in series.get("exclude", []):
        yield not one[f"is_{kind}"]


# What is checked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_cohort_is_exactly_what_brute_force_over_the_truth_finds(indexed: Database, world: World, name: str) -> None:
    with indexed.begin(Login.WEB) as connection, take(connection, world.tables) as snapshot:
        outcome = run(plan(parse(DEFINITIONS[name])), snapshot)
    found = {(member.sid, member.index_date, member.series_instance_uid) for member in outcome.members}
    wanted = oracle(DEFINITIONS[name], world)
    assert found == wanted
    assert len(outcome.members) == len(found)
    assert bool(wanted) == (name != "nobody"), "a comparison of empty sets would prove nothing"
    subjects = [step.subjects for step in outcome.steps]
    assert subjects == sorted(subjects, reverse=True)
    assert subjects[0] == len(world.links)
    assert subjects[-1] == len({sid for sid, *_ in found})


def permitted(database: Database, world: World) -> tuple[Actor, Permit]:
    now = datetime.now(UTC)
    with database.begin(Login.WORKER) as connection:
        accounts.add(connection, "ada", Role.RESEARCHER, now + timedelta(days=1), by="op")
        projects.add(connection, "p", title="t", purpose="t", public_interest="t", legal_basis="MR-004", by="op")
        granted = projects.grant(
            connection, "p", valid_from=TODAY, valid_until=TODAY, holders=["ada"], modalities=["CT"],
            domains=["diagnosis", "drug", "death"], by="op",
        )  # fmt: skip
        permit = projects.permit(connection, granted)
    assert permit is not None
    return Actor("ada", Role.RESEARCHER), permit


def test_the_same_definition_frozen_twice_is_one_cohort(indexed: Database, world: World) -> None:
    actor, permit = permitted(indexed, world)

    def freeze(definition: str) -> Frozen:
        with indexed.begin(Login.WEB) as connection:
            found = frozen.freeze(
                connection, definition, actor=actor, permit=permit, tables=world.tables, small_cell=11, today=TODAY
            )
        assert isinstance(found, Frozen)
        return found

    definition = DEFINITIONS["lung-ct-before-c34"]
    first, again = freeze(definition), freeze("# a remark\n" + definition.replace("C34*", "c34*"))
    assert (first.new, again.new) == (True, False)
    assert first.id == again.id
    with indexed.begin(Login.WEB) as connection:
        members = connection.execute(
            text("SELECT sid, index_date, series_instance_uid FROM hub.cohort_member WHERE cohort = :id"),
            {"id": first.id},
        )
        assert {tuple(row) for row in members} == oracle(definition, world)
        bands = connection.execute(text("SELECT DISTINCT age_band, sex FROM hub.cohort_member")).all()
        assert all(re.fullmatch(r"\d\d-\d\d|90\+", band) and sex in ("male", "female") for band, sex in bands)
        stored = connection.execute(text("SELECT flowchart::text FROM hub.cohort")).scalar_one()
        assert trail.verify(connection) == 4
    assert all(int(number) >= 11 for number in re.findall(r'"subjects": "(\d+)"', stored))
    with indexed.begin(Login.WORKER) as connection:
        connection.execute(text("UPDATE hub.series SET content_digest = 'd' WHERE modality = 'CT'"))
    assert freeze(definition).id != first.id, "other data, other cohort"


def test_a_rejected_series_is_in_no_cohort_frozen_afterwards(indexed: Database, world: World) -> None:
    definition = DEFINITIONS["lung-ct-before-c34"]
    some = next(uid for *_, uid in sorted(oracle(definition, world)))
    with indexed.begin(Login.WORKER) as connection:
        connection.execute(
            text("UPDATE hub.series SET review_state = 'REJECTED' WHERE series_instance_uid = :uid"), {"uid": some}
        )
    with indexed.begin(Login.WEB) as connection, take(connection, world.tables) as snapshot:
        members = run(plan(parse(definition)), snapshot).members
    assert some not in {member.series_instance_uid for member in members}


def test_a_count_is_rounded_and_held_back_and_freezing_needs_a_permit_in_scope(indexed: Database, world: World) -> None:
    actor, permit = permitted(indexed, world)
    shared = {"actor": actor, "tables": world.tables, "small_cell": 11, "today": TODAY}
    with indexed.begin(Login.WEB) as connection:
        counted = flowchart.count(connection, parse(DEFINITIONS["lung-ct-before-c34"]), **shared)
        few = flowchart.count(connection, parse(DEFINITIONS["nobody"]), **shared)
        other_modality = frozen.freeze(connection, DEFINITIONS["stroke-mr"], permit=permit, **shared)
        no_permit = frozen.freeze(connection, DEFINITIONS["lung-ct-before-c34"], permit=None, **shared)
    assert not isinstance(counted, Denied)
    assert all(int(step.subjects) % 10 == 0 for step in counted.steps if step.subjects.isdigit())
    assert any(step.subjects.isdigit() for step in counted.steps)
    assert not isinstance(few, Denied)
    assert (few.steps[-1].subjects, few.series) == ("<11", "<11")
    assert other_modality == Denied(Reason.SCOPE_EXCEEDED)
    assert no_permit == Denied(Reason.NO_PERMIT)
    operator = {**shared, "actor": Actor("op", Role.HOSPITAL, "990000101")}
    with indexed.begin(Login.WEB) as connection:
        denied = flowchart.count(connection, parse(DEFINITIONS["nobody"]), **operator)
    assert denied == Denied(Reason.ROLE_LACKS)
