"""Subjects without a usable INS, linked by their exams: how right, and what is left to people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from imaging_hub.audit import trail
from imaging_hub.cli.snds import app
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import LinkageError
from imaging_hub.settings import Settings
from imaging_hub.snds import indirect_linkage, probabilistic_linkage
from imaging_hub.snds.direct_linkage import import_return
from imaging_hub.snds.procedure_codes import ProcedureCodes
from tests.linked_population import Linked, few_linked, link_population, wrong_of_the_hard

NO_CODES = ProcedureCodes({})


def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    with database.begin(DatabaseRole.WORKER) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def again(database: Database, folder: Path, codes: ProcedureCodes = NO_CODES) -> indirect_linkage.IndirectReport:
    with database.begin(DatabaseRole.WORKER) as connection:
        return indirect_linkage.link(connection, folder / "tables", codes=codes, actor="test")


def test_a_population_is_linked_rightly(database: Database, tmp_path: Path) -> None:
    linked = link_population(database, tmp_path, persons=4200, seed=3)
    by_ins = linked.precision(lambda link: link.method == "ins")
    assert by_ins.count == by_ins.of > 1500
    without = linked.precision(lambda link: link.method != "ins")
    assert without.of > 200
    precision, recall = linked.precision(lambda _: True).value, linked.recall().value
    assert precision is not None
    assert recall is not None
    assert precision >= 0.995
    assert recall >= 0.93
    hard = [p for p in linked.population.patients if p.person.twin or p.ins_of or p.person.policies[0].cdi == "06"]
    assert len(hard) > 20, "without them the next line says nothing"
    assert not any(wrong_of_the_hard(linked).values())
    by_model = [link for link in linked.proposals if link.method in dict(probabilistic_linkage.BANDS)]
    assert len(by_model) > 3
    assert all(link.right for link in by_model)
    _what_was_decided_is_written_down(database, linked)
    _again_is_the_same(database, linked, tmp_path)
    _what_an_ins_says_outweighs(database, tmp_path)


def _what_was_decided_is_written_down(database: Database, linked: Linked) -> None:
    found = rows(database, "SELECT method, score, source, evidence FROM hub.link WHERE method <> 'ins'")
    assert {method for method, *_ in found} <= {step for step, n in linked.indirect.linked.items() if n}
    assert all(0.99 <= score < 1 for _, score, _, _ in found)  # type: ignore[operator]
    assert all("rules" in str(source) and evidence["days"] >= 1 for _, _, source, evidence in found)  # type: ignore[index]
    for _, reason in rows(database, "SELECT sid, reason FROM hub.link_proposal"):
        assert reason in linked.indirect.proposed
    with database.begin(DatabaseRole.OWNER) as connection:
        assert trail.verify(connection) > 0
    (entry,) = rows(database, "SELECT detail FROM audit.entry WHERE action = 'subjects-linked'")
    assert "linked" in entry[0]  # type: ignore[operator]


def _again_is_the_same(database: Database, linked: Linked, folder: Path) -> None:
    everything = "SELECT sid, snds_person, method, score FROM hub.link ORDER BY sid"
    before = rows(database, everything)
    assert again(database, folder) == linked.indirect
    assert rows(database, everything) == before


def _what_an_ins_says_outweighs(database: Database, folder: Path) -> None:
    """A link by exams gives way to the operator's answer, for its subject and for its person."""
    ((first, person), (second, other)) = rows(
        database, "SELECT sid, snds_person FROM hub.link WHERE method <> 'ins' ORDER BY sid LIMIT 2"
    )
    answer = folder / "late.csv"
    answer.write_text(f"id_acc;BEN_NIR_ANO\n1;{other}\n", "ascii")
    with database.begin(DatabaseRole.WORKER) as connection:
        report = import_return(connection, answer, delivery="late", resolve=lambda _: {"1": str(first)}, actor="test")
    assert (report.linked, report.replaced) == (1, 1)
    now = dict(rows(database, "SELECT sid, snds_person FROM hub.link"))
    assert now[first] == other
    assert second not in now
    assert person not in now.values()


def test_few_known_pairs_prove_nothing_and_everything_is_proposed(database: Database, tmp_path: Path) -> None:
    linked = few_linked(database, tmp_path)
    assert linked.indirect.linked == {}
    assert linked.indirect.proposed["method-unproven"] > 5
    assert linked.indirect.precision["exact"].lower < indirect_linkage.MIN_PRECISION
    assert rows(database, "SELECT DISTINCT method FROM hub.link") == [("ins",)]


def test_a_subject_whose_headers_contradict_each_other_is_not_searched_for(database: Database, tmp_path: Path) -> None:
    linked = few_linked(database, tmp_path)
    ((sid,), *_) = rows(database, "SELECT sid FROM hub.link_proposal ORDER BY sid")
    with database.begin(DatabaseRole.WORKER) as connection:
        connection.execute(text("INSERT INTO hub.trait VALUES (:sid, '1901-01-01', 1)"), {"sid": sid})
    assert again(database, tmp_path).subjects == linked.indirect.subjects - 1
    assert (sid,) not in rows(database, "SELECT sid FROM hub.link_proposal")


def test_hospitals_codes_are_read_as_the_acts_they_stand_for(database: Database, tmp_path: Path) -> None:
    few_linked(database, tmp_path)
    proposed = sum(again(database, tmp_path).proposed.values())
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(
            text("UPDATE hub.study SET procedures = ARRAY['X-' || split_part(procedures[1], '|', 1) || '|99LOCAL']")
        )
    assert sum(again(database, tmp_path).proposed.values()) < proposed / 2
    table = tmp_path / "codes.csv"
    table.write_text(
        "finess;scheme;code;ccam\n"
        + "".join(
            f"{finess};99LOCAL;X-{ccam};{ccam}\n"
            for finess in ("990000101", "990000218", "990000325")
            for ccam in ("ZBQK001", "ZBQH001", "ZBQK002", "ACQK001", "ACQN001", "ACQJ002")
        )
    )
    assert sum(again(database, tmp_path, ProcedureCodes.read(table)).proposed.values()) == proposed


@pytest.mark.parametrize(
    "content",
    [
        "finess;scheme;code\n990000101;L;X\n", "finess;scheme;code;ccam\n990000101;L;X\n",
        "finess;scheme;code;ccam\n990000101;L;X;ZZZZ999\n",
        "finess;scheme;code;ccam\n990000101;L;X;ZBQK001\n990000101;L;X;ZBQH001\n", "\xff",
    ],
)  # fmt: skip
def test_a_table_of_codes_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "codes.csv").write_text(content, "latin-1")
    with pytest.raises(LinkageError) as refused:
        ProcedureCodes.read(tmp_path / "codes.csv")
    assert refused.value.code == "procedure-codes"
    assert refused.value.hint


def test_the_command_says_what_it_did(database: Database, tmp_path: Path, settings: Settings) -> None:
    linked = few_linked(database, tmp_path, settings.tables)
    done = CliRunner().invoke(app, ["link", "--by-exams", "--json"], env=settings.as_environment())
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["subjects"] == linked.indirect.subjects
    assert said["proposed"] == linked.indirect.proposed
    assert said["precision"]["exact"] == {
        "of": said["precision"]["exact"]["count"],
        "count": linked.indirect.precision["exact"].of,
    }
    told = CliRunner().invoke(app, ["link", "--by-exams"], env=settings.as_environment())
    assert "without-act" in told.output
    assert CliRunner().invoke(app, ["link", "--by-exams", "--export", "x"]).exit_code == 2
