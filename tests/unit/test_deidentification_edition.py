"""`imaging-hub profile edition`: what another edition of a table changes; and that a swap of the file is enough."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import imaging_hub
from imaging_hub.cli import app
from imaging_hub.deidentification import standard_tables

PACKAGE = Path(imaging_hub.__file__).parent
TABLES = PACKAGE / "deidentification" / "tables"
Rows = list[list[Any]]


def doctored(folder: Path, name: str, change: Callable[[Rows], Rows], **header: Any) -> Path:
    """A copy of a table, of a later edition, with other rows."""
    table = json.loads((TABLES / f"{name}.json").read_text("utf-8"))
    table |= {"edition": "DICOM PS3.15 2026d", "rows": change(table["rows"])} | header
    path = folder / f"{name}.json"
    path.write_text(json.dumps(table), "utf-8")
    return path


def edition(path: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["profile", "edition", str(path), *options])
    return result.exit_code, result.output


def later(rows: Rows) -> Rows:
    """A row more, a row less, and one that says something else."""
    kept = [row for row in rows if row[0] != "00080050"]
    for row in kept:
        if row[0] == "00081030":
            row[2:] = ["Z", {"clean-descriptors": "C", "retain-institution-identity": "K"}]
    return [*kept, ["00100099", "Doctored Name", "X/D", {"clean-descriptors": "C"}]]


def test_the_edition_in_use_has_no_differences() -> None:
    status, output = edition(TABLES / "e1_1.json")
    assert status == 0
    assert output == "DICOM PS3.15 2026c → DICOM PS3.15 2026c, Table E.1-1: 0 added, 0 removed, 0 changed\n"


def test_rows_that_come_go_and_differ_are_printed(tmp_path: Path) -> None:
    path = doctored(tmp_path, "e1_1", lambda rows: [*later(rows), ["70XX0010", "Group", "X", {}]])
    status, output = edition(path)
    assert status == 0
    assert output.splitlines() == [
        "DICOM PS3.15 2026c → DICOM PS3.15 2026d, Table E.1-1: 2 added, 1 removed, 1 changed",
        "- 00080050 Accession Number: basic Z",
        "~ 00081030 Study Description: basic X → Z; retain-institution-identity none → K",
        "+ 00100099 Doctored Name: basic X/D, clean-descriptors C",
        "  ! no Value Representation is known: removed until dicom/tags.py names one",
        "+ 70XX0010 Group: basic X",
        "  ! a repeating group that the engine does not treat as one",
    ]


def test_the_differences_are_there_for_machines_too(tmp_path: Path) -> None:
    status, output = edition(doctored(tmp_path, "e1_1", later), "--json")
    found = json.loads(output)
    assert (status, found["table"], found["after"]) == (0, "E.1-1", "DICOM PS3.15 2026d")
    assert [(row["before"] or {}).get("basic") for row in found["rows"]] == ["Z", "X", None]
    assert [(row["after"] or {}).get("basic") for row in found["rows"]] == [None, "Z", "X/D"]


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        (
            "e3_4_1",
            lambda rows: [["Doctored", "999", "DCM", "TEXT", "X", {"clean-descriptors": "C"}], *rows[1:]],
            ["- 121022 DCM TEXT Accession Number: basic X", "+ 999 DCM TEXT Doctored: basic X, clean-descriptors C"],
        ),
        (
            "e3_10_1",
            lambda rows: [["7053xx00", "Philips PET Private Group", "FD", "1", rows[0][4]], *rows[2:]],
            [f"~ 7053xx00 Philips PET Private Group {standard_tables.table('e3_10_1')['rows'][0][4]}: vr DS → FD"],
        ),
    ],
)
def test_the_other_tables_are_compared_likewise(
    tmp_path: Path, name: str, change: Callable[[Rows], Rows], line: list[str]
) -> None:
    status, output = edition(doctored(tmp_path, name, change))
    assert status == 0
    assert set(line) <= set(output.splitlines())


def with_row(row: list[Any]) -> Callable[[Rows], Rows]:
    return lambda rows: [*rows, row]


WRONG: dict[str, Callable[[Path], Path]] = {
    "no file": lambda folder: folder / "absent.json",
    "no JSON": lambda folder: written(folder, "tag,name\n"),
    "a list": lambda folder: written(folder, "[]"),
    "another table": lambda folder: doctored(folder, "e1_1", list, table="E.2-1"),
    "other columns": lambda folder: doctored(folder, "e1_1", list, columns=["tag", "name", "basic"]),
    "no edition": lambda folder: doctored(folder, "e1_1", list, edition=None),
    "unknown action": lambda folder: doctored(folder, "e1_1", with_row(["00100099", "N", "Q", {}])),
    "unknown option": lambda folder: doctored(folder, "e1_1", with_row(["00100099", "N", "X", {"retain-all": "K"}])),
    "no option action": lambda folder: doctored(folder, "e1_1", with_row(["00100099", "N", "X", {"retain-uids": "Z"}])),
    "no tag": lambda folder: doctored(folder, "e1_1", with_row(["PatientName", "N", "X", {}])),
    "a row twice": lambda folder: doctored(folder, "e1_1", with_row(["00080050", "N", "X", {}])),
    "a short row": lambda folder: doctored(folder, "e1_1", with_row(["00100099", "N", "X"])),
    "no safe tag": lambda folder: doctored(folder, "e3_10_1", with_row(["70531000", "X", "DS", "1", "M"])),
}  # fmt: skip


def written(folder: Path, content: str) -> Path:
    path = folder / "table.json"
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_table_that_the_engine_could_use_is_refused(tmp_path: Path, wrong: str) -> None:
    status, output = edition(WRONG[wrong](tmp_path))
    assert status == 2
    assert "→" not in output


def test_the_tables_in_use_are_of_one_edition() -> None:
    assert len({standard_tables.table(name)["edition"] for name in ("e1_1", "e3_4_1", "e3_10_1")}) == 1


def test_a_swap_of_the_file_is_enough(tmp_path: Path) -> None:
    """A copy of the package with the doctored table does what that one says, and names it."""
    shutil.copytree(PACKAGE, tmp_path / "imaging_hub", ignore=shutil.ignore_patterns("web", "__pycache__"))
    shutil.copytree(PACKAGE.parent / "anonymization_profiles", tmp_path / "anonymization_profiles")
    doctored(tmp_path / "imaging_hub" / "deidentification" / "tables", "e1_1", later)
    script = (
        "from an_instance import *\n"
        "source = an_instance(text(0x00080050, 'SH', 'A1'), text(0x00081030, 'LO', 'Thorax'))\n"
        "dataset = delivered(engine('basic').deidentify(source, PSEUDONYMS))\n"
        "print([value_at(dataset, tag) for tag in (0x00080050, 0x00081030, 0x00120063)])\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "['A1', '', 'imaging-hub 1\\\\DICOM PS3.15 2026d\\\\profile basic']\n"
