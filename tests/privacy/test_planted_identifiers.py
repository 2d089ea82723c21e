"""Planted identifiers do not come out, under any profile that ships.

Every run takes another third of the profiles. Over the whole corpus: scripts/privacy.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
import pytest
from an_instance import written
from deidentified_folder import deidentify_folder
from planted_identifiers import examine, plant, score, text_leaks
from pypdfium2 import PdfDocument

from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term
from imaging_hub.deidentification.profile.profile import load, shipped

pytestmark = pytest.mark.corpus

FILES = 120
SEED = 2


class Scored(NamedTuple):
    """What one profile made of the planted files."""

    profile: str
    report: dict[str, Any]
    written: int


@pytest.fixture(scope="module")
def planted(corpus: Path, shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the shared corpus with identifiers planted in them, and the truth about them."""
    folder = tmp_path_factory.mktemp("planted")
    plant(shared_tools, corpus, folder, seed=SEED, limit=FILES)
    return folder


@pytest.fixture(scope="module", params=shipped())
def scored(request: pytest.FixtureRequest, shared_tools: Path, planted: Path) -> Scored:
    """The report on what one shipped profile makes of them."""
    report, outcome = score(shared_tools, planted, request.param)
    return Scored(request.param, report, len(outcome.written))


@pytest.mark.takes_turns(3)
def test_no_planted_identifier_comes_out(scored: Scored) -> None:
    report = scored.report
    assert text_leaks(report, scored.profile) == 0, report["leaks_by_place"]
    assert report["path_leaks"][0] == 0
    assert report["unpaired_outputs"] == 0
    assert report["undeciphered_outputs"] == []
    # What a profile trusts against its parent's advice waits for a radiologist.
    assert report["burned_in"].get("leaks", 0) == 0 or load(scored.profile).trust - load("basic").trust
    assert report["leaks_by_kind"]["overlay"]["leaked"] == 0
    assert report["uids"]["unchanged"] == report["uids"]["inconsistent"] == report["uids"]["collisions"] == 0
    assert report["uids"]["meta_mismatch"] == 0
    assert report["patient_ids"]["several"] == report["patient_ids"]["shared_between_patients"] == 0
    assert report["dates"]["unshifted"] == 0
    assert scored.written >= FILES // 2


@pytest.mark.takes_turns(3)
def test_nothing_technical_is_lost_with_them(scored: Scored) -> None:
    rates = {name: kept["rate"] for name, kept in scored.report["over_redaction"].items()}
    assert rates["technical"] <= 0.001
    assert rates["clean-descriptor"] <= 0.1 or "clean-descriptors" not in load(scored.profile).options


def test_the_examination_finds_what_does_come_out(shared_tools: Path, planted: Path, tmp_path: Path) -> None:
    """The files as planted are the seeded leak: were they released, it would be seen."""
    report = examine(shared_tools, planted, planted / "planted", tmp_path / "report.json")
    assert report["text_leaks"] == report["text_items"] > 1000


def test_no_transcript_of_a_planted_report_tells_of_anybody(planted: Path, tmp_path: Path) -> None:
    profile = written(tmp_path, "documents: transcribe", extends="research-longitudinal")
    outcome = deidentify_folder(planted / "planted", tmp_path / "out", str(profile))
    truth = json.loads((planted / "truth.json").read_text())["instances"]
    reports = {path: output for path, output in outcome.written.items() if path.parent.name == "_pdf"}
    assert len(reports) >= 3
    for path, output in reports.items():
        document = pydicom.dcmread(output).EncapsulatedDocument
        said = fold("\n".join(page.get_textpage().get_text_bounded() for page in PdfDocument(document)))
        assert "embolie pulmonaire" in said
        items = truth[str(path.relative_to(planted / "planted"))]["items"]
        planted_words = {word for item in items for word in re.findall(r"\w{3,}", fold(" ".join(item["needles"])))}
        assert len(planted_words) > 10
        assert {word for word in planted_words if re.search(rf"\b{word}\b", said) and not is_term(word)} == set()
