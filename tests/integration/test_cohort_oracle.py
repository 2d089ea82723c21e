"""Cohorts against an independent computation in plain Python over the synthetic truth: the same set, exactly.

And against the same computation over small dense tables, where every boundary of every window is hit.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fresh_databases import copied
from share import Share
from sqlalchemy import text

from imaging_hub.audit import trail
from imaging_hub.cohorts import flowchart, frozen
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import run_plan
from imaging_hub.cohorts.frozen import FrozenCohort
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.database import Database
from imaging_hub.database import DatabaseRole as Login
from imaging_hub.errors import HubError
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole, DenialReason, Denied, Permit, RequestActor
from imaging_hub.snds.loading import load
from imaging_hub.synthetic.generator import synthesize
from tests.cohort_oracle import World, index_series, indexed_series, link_of, oracle
from tests.dense_tables import a_definition, a_dense_world

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
        series += [indexed_series(study, one, sid, study_date, chance) for one in study["series"]]
    return World(truth, out / "tables", series, links)


@pytest.fixture(scope="module")
def filled(module_database: Database, world: World) -> Database:
    """A database that holds the world's series and links."""
    index_series(module_database, world)
    return module_database


@pytest.fixture
def indexed(database: Database, filled: Database) -> Database:
    """One that holds the same, of a test's own."""
    copied(filled, into=database)
    return database


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_cohort_is_exactly_what_brute_force_over_the_truth_finds(indexed: Database, world: World, name: str) -> None:
    with indexed.begin(Login.WEB) as connection, take_snapshot(connection, world.tables) as snapshot:
        outcome = run_plan(make_plan(parse(DEFINITIONS[name])), snapshot)
    found = {(member.sid, member.index_date, member.series_instance_uid) for member in outcome.members}
    wanted = oracle(DEFINITIONS[name], world)
    assert found == wanted
    assert len(outcome.members) == len(found)
    assert bool(wanted) == (name != "nobody"), "a comparison of empty sets would prove nothing"
    subjects = [step.subjects for step in outcome.steps]
    assert subjects == sorted(subjects, reverse=True)
    assert subjects[0] == len(world.links)
    assert subjects[-1] == len({sid for sid, *_ in found})


def permitted(database: Database, world: World) -> tuple[RequestActor, Permit]:
    now = datetime.now(UTC)
    with database.begin(Login.WORKER) as connection:
        accounts.add(connection, "ada", AccountRole.RESEARCHER, now + timedelta(days=1), by="op")
        projects.add(connection, "p", title="t", purpose="t", public_interest="t", legal_basis="MR-004", by="op")
        granted = projects.grant(
            connection, "p", valid_from=TODAY, valid_until=TODAY, holders=["ada"], modalities=["CT"],
            domains=["diagnosis", "drug", "death"], by="op",
        )  # fmt: skip
        permit = projects.find_permit(connection, granted)
    assert permit is not None
    return RequestActor("ada", AccountRole.RESEARCHER), permit


def test_the_same_definition_frozen_twice_is_one_cohort(indexed: Database, world: World) -> None:
    actor, permit = permitted(indexed, world)

    def freeze(definition: str) -> FrozenCohort:
        with indexed.begin(Login.WEB) as connection:
            found = frozen.freeze(
                connection, definition, actor=actor, permit=permit, tables=world.tables, small_cell=11, today=TODAY
            )
        assert isinstance(found, FrozenCohort)
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
        links = connection.execute(text("SELECT sid, link_method, link_score FROM hub.cohort_member")).all()
        assert {(method, score) for _, method, score in links} == {("ins", 1.0), ("exact", 0.995)}
        assert all(link_of(sid) == (method, score) for sid, method, score in links)
        bands = connection.execute(text("SELECT DISTINCT age_band, sex FROM hub.cohort_member")).all()
        assert all(re.fullmatch(r"\d\d-\d\d|90\+", band) and sex in ("male", "female") for band, sex in bands)
        stored = connection.execute(text("SELECT flowchart::text FROM hub.cohort")).scalar_one()
        assert trail.verify(connection) == 4
    assert all(int(number) >= 11 for number in re.findall(r'"subjects": "(\d+)"', stored))
    with indexed.begin(Login.WORKER) as connection:
        connection.execute(text("UPDATE hub.series SET content_digest = 'd' WHERE modality = 'CT'"))
    assert freeze(definition).id != first.id, "other data, other cohort"


def test_a_death_is_told_where_it_is_asked_for(indexed: Database, world: World) -> None:
    """In days from the index date, and negative when the SNDS says that a dead person was treated."""
    asked = DEFINITIONS["missing-kept"]
    died = {
        sid: date.fromisoformat(day)
        for sid, person in world.links.items()
        for one in world.truth["persons"]
        if one["snds_person"] == person and (day := one["death_date"])
    }
    told = make_plan(parse(asked + "output: {columns: [death_offset_days]}\n"))
    assert make_plan(parse(asked)).domains == told.domains - {"death"}
    assert make_plan(parse(asked)).digest != told.digest
    with indexed.begin(Login.WEB) as connection, take_snapshot(connection, world.tables) as snapshot:
        members, without = run_plan(told, snapshot).members, run_plan(make_plan(parse(asked)), snapshot).members
    assert any(member.death_offset_days is not None for member in members)
    for member in members:
        day = died.get(member.sid)
        assert member.death_offset_days == (None if day is None else (day - member.index_date).days)
    assert all(member.death_offset_days is None for member in without)


def test_a_rejected_series_is_in_no_cohort_frozen_afterwards(indexed: Database, world: World) -> None:
    definition = DEFINITIONS["lung-ct-before-c34"]
    some = next(uid for *_, uid in sorted(oracle(definition, world)))
    with indexed.begin(Login.WORKER) as connection:
        connection.execute(
            text("UPDATE hub.series SET review_state = 'REJECTED' WHERE series_instance_uid = :uid"), {"uid": some}
        )
    with indexed.begin(Login.WEB) as connection, take_snapshot(connection, world.tables) as snapshot:
        members = run_plan(make_plan(parse(definition)), snapshot).members
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
    assert other_modality == Denied(DenialReason.SCOPE_EXCEEDED)
    assert no_permit == Denied(DenialReason.NO_PERMIT)
    operator = {**shared, "actor": RequestActor("op", AccountRole.HOSPITAL, "990000101")}
    with indexed.begin(Login.WEB) as connection:
        denied = flowchart.count(connection, parse(DEFINITIONS["nobody"]), **operator)
    assert denied == Denied(DenialReason.ROLE_LACKS)


def test_random_cohorts_over_dense_tables_agree(database: Database, tmp_path: Path, share: Share) -> None:
    """Sixty in the long form; every run takes another quarter."""
    chance = random.Random(23)
    dense = a_dense_world(tmp_path, chance)
    index_series(database, dense)
    members = 0
    with database.begin(Login.WEB) as connection, take_snapshot(connection, dense.tables) as snapshot:
        for definition in share.of([a_definition(chance) for _ in range(60)], 4):
            found = {
                (member.sid, member.index_date, member.series_instance_uid)
                for member in run_plan(make_plan(parse(definition)), snapshot).members
            }
            assert found == oracle(definition, dense), definition
            members += len(found)
    assert members > share.times(0, 100), "a comparison of empty sets would prove nothing"


def test_a_domain_that_was_not_loaded_is_refused_and_does_not_find_nobody(database: Database, tmp_path: Path) -> None:
    dense = a_dense_world(tmp_path, random.Random(23))
    report = dense.tables / "v1" / "report.json"
    report.write_text(report.read_text().replace('"biology": 1', '"biology": 0'))
    asks = (
        "cohort: asks\nversion: 1\nindex: {event: {domain: diagnosis, set: {icd10: ['C34*']}, first: true}}\n"
        "exclusion: [{domain: biology, set: {nabm: ['1104']}, window: {before: [0, 30]}}]\n"
        "imaging: [{name: images, modality: CT, window: {after: [0, 30]}}]\n"
    )
    with database.begin(Login.WEB) as connection, take_snapshot(connection, dense.tables) as snapshot:
        with pytest.raises(HubError) as refused:
            run_plan(make_plan(parse(asks)), snapshot)
        assert refused.value.code == "domain-not-loaded"
        assert "biology" in str(refused.value)
        run_plan(
            make_plan(parse(asks.replace("biology", "drug").replace("nabm: ['1104']", "ucd: ['9990001']"))), snapshot
        )
