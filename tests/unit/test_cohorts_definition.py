"""Cohort definitions: what is wrong is shown at its line with its remedy, and the digest is of the meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_hub.cohorts.cohort_plan import EventsOccur, IncludedBy, make_plan
from imaging_hub.cohorts.definition import parse, read
from imaging_hub.errors import DefinitionError

RIGHT = """\
cohort: lung-ct
version: 1
sets:
  lung_cancer: {icd10: ["C34*"]}
  chest_ct: {ccam: {modality: CT, region: CHEST}}
  tki: {atc: ["L01EB*"]}
index:
  event: {domain: diagnosis, set: lung_cancer, position: [DP, ALD]}
demographics: {age_at_index: [40, 85]}
inclusion:
  - name: ct
    any:
      - {domain: act, set: chest_ct, window: {before: [0, 90]}}
      - {domain: drug, set: tki, window: {after: [0, 90]}}
imaging:
  - name: chest_ct
    modality: CT
    series: {contrast: [yes, unknown]}
    window: {before: [0, 180]}
"""
WORKED = sorted((Path(__file__).parents[2] / "docs" / "cohorts").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKED, ids=lambda path: path.stem)
def test_the_worked_cohorts_are_right(path: Path) -> None:
    assert read(path).cohort == path.stem


def test_there_are_worked_cohorts() -> None:
    assert len(WORKED) >= 3


@pytest.mark.parametrize(
    ("right", "wrong", "line", "words"),
    [
        ("version: 1", "version: one", 2, "integer"),
        ("version: 1\n", "", 1, "`version` is missing"),
        ("version: 1", "version: 1\nversion: 2", 3, "stands twice"),
        ("cohort: lung-ct", "cohort: Lung CT", 1, "pattern"),
        ('["C34*"]', '["C34"]', 4, "write `C34*`"),
        ('["C34*"]', '["C34.X*"]', 4, "not in the CIM-10"),
        ('["C34*"]', '["XX9"]', 4, "not in the CIM-10"),
        ('["C34*"]', '["34C"]', 4, "not a CIM-10 code"),
        ('["C34*"]', "[]", 4, "empty"),
        ('["C34*"]', '["C34*", "O04*"]', 4, "sensitive"),
        ('["C34*"]', '["A*"]', 4, "sensitive"),
        ('["C34*"]', '["A539"]', 4, "sensitive"),
        ('{icd10: ["C34*"]}', '{icd10: ["C34*"], atc: ["L01EB*"]}', 4, "exactly one of"),
        ('{icd10: ["C34*"]}', "{}", 4, "exactly one of"),
        ("{modality: CT, region: CHEST}", "{modality: CT, region: KNEE}", 5, "no act of the CCAM"),
        ("{modality: CT, region: CHEST}", "[ZBQK999]", 5, "no imaging act"),
        ("{modality: CT, region: CHEST}", "[ZB]", 5, "not a CCAM code"),
        ("{modality: CT, region: CHEST}", "[JNJD002]", 5, "sensitive"),
        ("L01EB*", "L01EB", 6, "write `L01EB*`"),
        ("L01EB*", "LX1*", 6, "not an ATC code"),
        ("set: lung_cancer", "set: lung_cancr", 8, "did you mean `lung_cancer`?"),
        ("set: lung_cancer", "set: tki", 8, "icd10 codes"),
        ("position: [DP, ALD]", "position: [DX]", 8, "'DP'"),
        ("position: [DP, ALD]", "positon: [DP]", 8, "did you mean `position`?"),
        ("position: [DP, ALD]", "modality: CT", 8, "belongs to another part"),
        ("[40, 85]", "[85, 40]", 9, "upside down"),
        ("[40, 85]", "[40]", 9, "`"),
        ("before: [0, 90]", "before: [90, 0]", 13, "write `before: [0, 90]`"),
        ("window: {before: [0, 90]}", "window: {}", 13, "needs before or after"),
        ("before: [0, 90]", "before: [-3, 90]", 13, "greater than or equal"),
        ("set: chest_ct,", "set: chest_ct, position: [DP],", 13, "only diagnoses"),
        ("    any:", "    every:", 12, "unknown key `every`"),
        (
            "    any:",
            "    all: [{domain: drug, set: tki, window: {after: [0, 9]}}]\n    any:",
            11,
            "one of any, all, none",
        ),
        (
            "    any:",
            "    at_least: {number: 3, of: [{domain: drug, set: tki, window: {after: [0, 9]}}]}\n    any:",
            12,
            "2 items",
        ),
        ('atc: ["L01EB*"]', 'ald: ["33"]', 6, "no number of an ALD"),
        ('atc: ["L01EB*"]', 'ald: ["30"]', 14, "atc or ucd codes"),
        ('atc: ["L01EB*"]', 'nabm: ["552"]', 6, "no code of the NABM"),
        ('atc: ["L01EB*"]', 'nabm: ["0552"]', 14, "atc or ucd codes"),
        ('atc: ["L01EB*"]', 'ucd: ["92"]', 6, "no UCD code"),
        ('atc: ["L01EB*"]', 'cip13: ["34009*x"]', 6, "no CIP13"),
        ('atc: ["L01EB*"]', 'lpp: ["1"]', 6, "no code of the LPP"),
        ('atc: ["L01EB*"]', 'cip13: ["3400930000011"]', 14, "atc or ucd codes"),
        ("position: [DP, ALD]", "position: [CI]", 8, "one of ALD, DAS"),
        ('atc: ["L01EB*"]', 'ghm: ["04X*"]', 6, "not a GHM"),
        ('atc: ["L01EB*"]', 'ghm: ["14Z*"]', 6, "sensitive"),
        ('atc: ["L01EB*"]', 'ghm: ["04M092", "14Z08Z"]', 6, "sensitive"),
        ("version: 1\n", "version: 1\nscope: {min_link: {}}\n", 3, "neither methods nor a score"),
        ("version: 1\n", "version: 1\nscope: {min_link: {methods: [guess]}}\n", 3, "'ins'"),
        ("name: chest_ct\n    modality", "name: ct\n    modality", 1, "two steps are called `ct`"),
        ("modality: CT\n", "modality: XY\n", 17, "'CT'"),
        ("{contrast: [yes, unknown]}", '{kernel: {regex: "(?=x)"}}', 18, "RE2"),
        ("{contrast: [yes, unknown]}", '{kernel: {regex: "("}}', 18, "RE2"),
        ("{contrast: [yes, unknown]}", "{slice_thickness_mm: {}}", 18, "min or max"),
        ("{contrast: [yes, unknown]}", "{slice_thickness_mm: {min: 3, max: 1}}", 18, "upside down"),
        ("{contrast: [yes, unknown]}", "{slice_thickness_mm: {min: .nan}}", 18, "valid number"),
        ("{contrast: [yes, unknown]}", "&a {contrast: *a}", 18, "alias"),
        ("{contrast: [yes, unknown]}", "{contrast: [yes", 19, "brackets"),
        ("  tki: {atc", "  spare: {atc", 6, "is not used"),
    ],
)
def test_a_fault_is_shown_at_its_line_with_its_remedy(right: str, wrong: str, line: int, words: str) -> None:
    assert right in RIGHT
    with pytest.raises(DefinitionError) as refused:
        parse(RIGHT.replace(right, wrong, 1), "lung.yaml")
    shown = [problem for problem in str(refused.value).splitlines() if words in problem]
    assert shown, str(refused.value)
    assert shown[0].startswith(f"lung.yaml:{line}: ")


def test_every_fault_is_shown_at_once_in_the_order_of_lines() -> None:
    wrong = RIGHT.replace("C34*", "XX9").replace("[DP, ALD]", "[]").replace("L01EB*", "nonsense")
    with pytest.raises(DefinitionError) as refused:
        parse(wrong, "lung.yaml")
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["4", "6"]


@pytest.mark.parametrize(
    "text", ["", "- a\n", "a\n", "\x00", "[" * 5000, "x" * (1 << 17), "? [a]\n: b\n", "!!python/x y"]
)
def test_what_is_no_definition_is_refused_without_a_crash(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"^definition:\d+: "):
        parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        read(tmp_path / "none.yaml")


def test_yes_is_a_word_and_not_a_boolean() -> None:
    assert parse(RIGHT).imaging[0].series.contrast == ("yes", "unknown")


def test_the_digest_is_of_the_meaning_and_not_of_the_layout() -> None:
    digest = make_plan(parse(RIGHT)).digest
    same = (
        RIGHT.replace('["C34*"]', '["c34.*"]'),
        RIGHT.replace("lung_cancer", "tumour"),
        RIGHT.replace("[DP, ALD]", "[ALD, DP]"),
        RIGHT.replace("demographics:", "# who\nexclusion: []\ndemographics:"),
    )
    assert {make_plan(parse(text)).digest for text in same} == {digest}
    other = (
        RIGHT.replace("C34*", "C341"),
        RIGHT.replace("[0, 180]", "[0, 181]"),
        RIGHT.replace("version: 1", "version: 2"),
        RIGHT.replace("    any:", "    all:"),
        RIGHT.replace("yes, unknown", "yes"),
        RIGHT.replace("series: {", "series: {missing: keep, "),
        RIGHT.replace("{age_at_index: [40, 85]}", "{age_at_index: [40, 85], alive_at_index: true}"),
    )
    assert len({make_plan(parse(text)).digest for text in other} - {digest}) == len(other)


@pytest.mark.parametrize(
    ("name", "digest", "last_question"),
    [
        ("cancer-ct-men", "1c61e2e68b7fc1eb", "b2777978"),
        ("lung-ct-before-c34", "929d44ba9edc070a", "c4a2ee88"),
        ("lung-two-signs-ct", "319a14fa203d6539", "2eed19ab"),
        ("stroke-mr", "61aed62405f621b5", "f5ae6e8b"),
    ],
)
def test_digests_outlive_a_renaming_of_the_code(name: str, digest: str, last_question: str) -> None:
    """Frozen cohorts and disclosed counts are stored under them; together the four have every kind of step."""
    plan = make_plan(read(Path(__file__).parents[2] / "docs" / "cohorts" / f"{name}.yaml"))
    assert plan.digest.startswith(digest)
    assert plan.question_digests[-1].startswith(last_question)


def test_a_plan_says_which_domains_and_modalities_a_permit_must_cover() -> None:
    wanted = make_plan(parse(RIGHT.replace("[40, 85]}", "[40, 85], alive_at_index: true}")))
    assert wanted.domains == {"diagnosis", "act", "drug", "death"}
    assert wanted.modalities == {"CT"}


def test_windows_become_signed_days_and_acts_become_codes() -> None:
    included = next(step for step in make_plan(parse(RIGHT)).steps if isinstance(step, IncludedBy))
    ct: EventsOccur = included.occurrences[0]
    assert ct.offsets == ((-90, 0),)
    assert {"ZBQK001", "ZBQH001"} <= set(ct.events.codes.exact)
    assert "ZBQK002" not in ct.events.codes.exact, "a chest X-ray is no CT"
    assert included.occurrences[1].offsets == ((0, 90),)
