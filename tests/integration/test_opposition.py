"""People who oppose: from then on nothing of theirs is taken in, linked, counted, frozen, released or downloaded."""

from __future__ import annotations

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from raw_scu import RawScu, an_instance, receiving
from sqlalchemy import text
from third_parties import listening
from typer.testing import CliRunner

from imaging_hub.archive import opposed_subjects
from imaging_hub.cli.opposition import app
from imaging_hub.cohorts import flowchart, frozen
from imaging_hub.cohorts import release as releases
from imaging_hub.cohorts.applied_oppositions import AppliedOppositions, apply
from imaging_hub.cohorts.cohort_plan import make_plan
from imaging_hub.cohorts.definition import parse
from imaging_hub.cohorts.flowchart import run_plan
from imaging_hub.cohorts.snapshot import take_snapshot
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError, LinkageError
from imaging_hub.intake import retention
from imaging_hub.permits.policy import AccountRole as Account
from imaging_hub.permits.policy import (
    Action,
    Allowed,
    DenialReason,
    Denied,
    Permit,
    RequestActor,
    RequestedResource,
    decide,
)
from imaging_hub.pseudonymisation import snds_delivery
from imaging_hub.pseudonymisation.oppositions import COLUMNS
from imaging_hub.pseudonymisation.rekeying import resubmit
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.snds import indirect_linkage
from imaging_hub.snds.direct_linkage import import_return
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.trust import epochs
from imaging_hub.trust.vault import Vault
from imaging_hub.work.pipeline import StudyPipeline
from tests.cohort_oracle import index_series
from tests.dense_tables import a_definition, a_dense_world
from tests.linked_population import few_linked

TODAY = date(2026, 11, 27)
ADA = RequestActor("ada", Account.RESEARCHER)
PERMIT = Permit(
    "permit", "p", TODAY, TODAY, False, frozenset({"ada"}), frozenset({"CT", "MR"}),
    frozenset({"act", "ald", "death", "diagnosis", "drug", "stay"}),
)  # fmt: skip


def noted(database: Database, *sids: str) -> AppliedOppositions:
    with database.begin(DatabaseRole.WORKER) as connection:
        return apply(connection, sids, by="test")


def rows(database: Database, statement: str, **values: object) -> list[tuple[Any, ...]]:
    with database.begin(DatabaseRole.OWNER) as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def a_list(folder: Path, *lines: str) -> Path:
    path = folder / "people.csv"
    path.write_text(";".join(COLUMNS) + "\n" + "".join(f"{line}\n" for line in lines), "utf-8")
    return path


def from_the_hospital(database: Database) -> None:
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(
            text(
                "INSERT INTO identifying.sender (calling_ae_title, address, hospital, finess, profile)"
                " VALUES ('HOSPITAL', '127.0.0.1', 'chu-test', '750000001', 'research-longitudinal')"
            )
        )


def told(settings: Settings, *arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], env=settings.as_environment())
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_nothing_new_is_taken_in_and_the_original_is_purged(
    settings_with_third_party: Settings, database: Database, tmp_path: Path
) -> None:
    """Before the hub ever saw the patient; who lifts the opposition is taken in again."""
    settings = settings_with_third_party
    from_the_hospital(database)
    people = a_list(tmp_path, ";;;chu-test;PATIENT-1")
    assert told(settings, "add", people) == {
        "people": 1, "new": 1, "links_cut": 0, "studies_hidden": 0, "releases_stopped": 0,
    }  # fmt: skip
    assert told(settings, "add", people)["new"] == 0
    with ThirdParty.connect(settings) as third_party:
        pipeline = StudyPipeline(settings, database, third_party)
        received(settings, database, pipeline, study=1)
        ((state, reason, purged, digest),) = rows(
            database, "SELECT state, reason, purged_at IS NOT NULL, digest FROM identifying.instance"
        )
        assert (state, reason, purged) == ("QUARANTINED", "patient-opposes", True)
        assert list(settings.spool.rglob(f"*{digest}*")) == []
        assert rows(database, "SELECT * FROM hub.study") == []
        assert told(settings, "lift", people) == {"lifted": 1}
        received(settings, database, pipeline, study=2)
        assert ("ARCHIVED",) in rows(database, "SELECT state FROM identifying.instance")


def test_it_outlives_the_keys_and_a_purge_that_was_broken_off(
    settings_with_third_party: Settings, database: Database, vault: Vault, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Of somebody who was never here, and in whose place new keys would put somebody new."""
    settings = settings_with_third_party
    from_the_hospital(database)
    told(settings, "add", a_list(tmp_path, ";;;chu-test;PATIENT-1", "279035121518989;19790304;2;;"))
    epochs.begin(vault)
    with ThirdParty.connect(settings) as third_party:
        rekeyed = resubmit(database.login(DatabaseRole.GATEWAY), settings.keys, third_party)
    assert (rekeyed.tokens, rekeyed.left_behind) == (2, 0)
    with ThirdParty.connect(settings) as third_party:
        pipeline = StudyPipeline(settings, database, third_party)

        def killed(*_: object, **__: object) -> None:
            raise RuntimeError

        monkeypatch.setattr(retention, "purge", killed)
        with pytest.raises(RuntimeError):
            received(settings, database, pipeline, study=1)
        monkeypatch.undo()
        pipeline.purge()
        ((reason, purged, digest),) = rows(
            database, "SELECT reason, purged_at IS NOT NULL, digest FROM identifying.instance"
        )
        assert (reason, purged) == ("patient-opposes", True)
        assert list(settings.spool.rglob(f"*{digest}*")) == []


def received(settings: Settings, database: Database, pipeline: StudyPipeline, *, study: int) -> None:
    with receiving(settings, database) as gateway:
        assert RawScu(gateway.port).store(an_instance(study=study, patient="PATIENT-1")) == 0
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("UPDATE identifying.study SET last_received_at = now() - interval '1 hour'"))
    for due in pipeline.due().studies:
        pipeline.process_study(due)


def test_nobody_asks_the_operator_after_them_and_no_answer_links_them(database: Database, tmp_path: Path) -> None:
    linked = few_linked(database, tmp_path)
    ((sid, person), *_) = rows(database, "SELECT sid, snds_person FROM hub.link ORDER BY sid")
    ((proposed,), *_) = rows(database, "SELECT sid FROM hub.link_proposal ORDER BY sid")
    done = noted(database, sid, proposed)
    assert (done.people, done.new, done.links_cut) == (2, 2, 1)
    assert done.studies_hidden >= 2
    assert rows(database, "SELECT 1 FROM hub.link WHERE sid = :sid", sid=sid) == []
    with database.begin(DatabaseRole.WORKER) as connection:
        opposed = opposed_subjects.list_opposed(connection)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        sent = snds_delivery.export(connection, linked.vault, tmp_path / "again.csv", actor="test", excluded=opposed)
    assert sent.subjects == linked.direct.lines - 1
    answer = tmp_path / "late.csv"
    answer.write_text(f"id_acc;BEN_NIR_ANO\n1;{person}\n", "ascii")
    with database.begin(DatabaseRole.WORKER) as connection:
        report = import_return(connection, answer, delivery="late", resolve=lambda _: {"1": sid}, actor="test")
        assert (report.opposed, report.linked) == (1, 0)
        found = indirect_linkage.link(connection, tmp_path / "tables", codes=ProcedureCodes({}), actor="test")
    assert sum(found.proposed.values()) < sum(linked.indirect.proposed.values())
    assert not set(rows(database, "SELECT sid FROM hub.link_proposal")) & {(proposed,), (sid,)}


def test_they_are_in_no_count_no_cohort_and_no_release(database: Database, tmp_path: Path) -> None:
    dense = a_dense_world(tmp_path, chance := random.Random(41))
    index_series(database, dense)
    definition, members = _definition(database, tmp_path, chance)
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("INSERT INTO hub.account VALUES ('ada', 'researcher', 'x', '2100-01-01')"))
        owner.execute(text("INSERT INTO hub.project VALUES ('p', 't', 't', 't', 't')"))
    before = _frozen(database, tmp_path, definition)
    assert _facts(database, before).opposed == 0
    sid = members[0]
    (link,) = rows(database, "SELECT sid, snds_person, method, score, source FROM hub.link WHERE sid = :sid", sid=sid)
    noted(database, sid)
    with database.begin(DatabaseRole.OWNER) as owner:  # a linkage that had begun before and ends now
        owner.execute(
            text("INSERT INTO hub.link (sid, snds_person, method, score, source) VALUES (:a, :b, :c, :d, :e)"),
            dict(zip("abcde", link, strict=True)),
        )
    assert _facts(database, before).opposed >= 1
    with pytest.raises(HubError, match="no longer"):
        releases._refuse_changed(_facts(database, before))
    after = _frozen(database, tmp_path, definition)
    assert after != before, "other data, another cohort"
    assert rows(database, "SELECT 1 FROM hub.cohort_member WHERE cohort = :c AND sid = :s", c=after, s=sid) == []
    assert _facts(database, after).opposed == 0
    with database.begin(DatabaseRole.WEB) as connection:
        chart = flowchart.count(
            connection, parse(definition), actor=RequestActor("bob", Account.OPERATOR), tables=tmp_path, small_cell=2,
            today=TODAY,
        )  # fmt: skip
    assert not isinstance(chart, Denied)
    assert chart.steps[0].subjects.isdigit()
    assert int(chart.steps[0].subjects) <= len(dense.links) - 1


@pytest.mark.parametrize("action", [Action.RELEASE_REQUEST, Action.RELEASE_DOWNLOAD])
def test_a_release_with_somebody_who_opposes_is_neither_asked_for_nor_downloaded(action: Action) -> None:
    with_them = RequestedResource(project="p", modalities=frozenset({"CT"}), opposed=1)
    assert decide(ADA, action, with_them, permit=PERMIT, today=TODAY) == Denied(DenialReason.SUBJECT_OPPOSES)
    without = RequestedResource(project="p", modalities=frozenset({"CT"}))
    assert decide(ADA, action, without, permit=PERMIT, today=TODAY) == Allowed()


@pytest.mark.parametrize(
    "line",
    [
        "279035121518988;19790304;2;;", "2 79 03 51 215 189 89;19790304;2;;", "279035121518989;19790304;1;;",
        "279035121518989;19790231;2;;", "279035121518989;1979-03-04;2;;", "279035121518989;19790304;F;;", ";;;chu;",
        ";;;;", "279035121518989;;;chu;1",
    ],
)  # fmt: skip
def test_a_line_that_names_nobody_stops_the_whole_list(
    settings_with_third_party: Settings, database: Database, tmp_path: Path, line: str
) -> None:
    settings = settings_with_third_party
    people = a_list(tmp_path, ";;;chu-test;PATIENT-1", line)
    done = CliRunner().invoke(app, ["add", str(people)], env=settings.as_environment())
    assert isinstance(done.exception, LinkageError)
    assert done.exception.code == "opposition-line"
    assert "line 3" in str(done.exception)
    assert "279035121518" not in str(done.exception)
    assert rows(database, "SELECT * FROM hub.opposition") == []


def test_an_ins_and_the_hospitals_number_of_one_patient_are_one_subject(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    linked = few_linked(database, settings.home)
    ((ins, born, sex, hospital, patient_id, sid),) = rows(
        database,
        "SELECT ins, to_char(birth_date, 'YYYYMMDD'), sex, hospital, patient_id, sid FROM identifying.identity"
        " WHERE ins IS NOT NULL ORDER BY id LIMIT 1",
    )
    people = a_list(tmp_path, f"{ins};{born};{sex};;", f";;;{hospital};{patient_id}")
    with listening(linked.vault, settings) as joined:
        assert told(joined, "add", people)["people"] == 1
    assert rows(database, "SELECT sid FROM hub.opposed") == [(sid,)]


def _definition(database: Database, tables: Path, chance: random.Random) -> tuple[str, list[str]]:
    with database.begin(DatabaseRole.WEB) as connection, take_snapshot(connection, tables) as snapshot:
        while True:
            definition = a_definition(chance)
            members = run_plan(make_plan(parse(definition)), snapshot).members
            if len({member.sid for member in members}) > 3:
                return definition, [member.sid for member in members]


def _frozen(database: Database, tables: Path, definition: str) -> str:
    with database.begin(DatabaseRole.WEB) as connection:
        made = frozen.freeze(connection, definition, actor=ADA, permit=PERMIT, tables=tables, small_cell=2, today=TODAY)
    assert not isinstance(made, Denied)
    return made.id


def _facts(database: Database, cohort: str) -> RequestedResource:
    with database.begin(DatabaseRole.WEB) as connection:
        return releases.cohort_resource(connection, cohort)
