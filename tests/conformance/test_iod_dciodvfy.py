"""De-identification leaves an instance as valid against its IOD as it was. The long form is scripts/conformance."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from deidentified_folder import deidentify_folder
from iod_errors import new_errors

from imaging_hub.deidentification.profile.profile import shipped

pytestmark = pytest.mark.corpus

PER_SOP_CLASS = 3


@pytest.fixture(scope="module")
def sample(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few files of every SOP Class in the shared corpus, of different makers where there are."""
    by_class: dict[str, dict[str, Path]] = defaultdict(dict)
    with (corpus / "catalogue.csv").open() as file:
        for row in csv.DictReader(file):
            by_class[row["sop_class_uid"]].setdefault(row["manufacturer"].lower(), corpus / row["path"])
    folder = tmp_path_factory.mktemp("sample")
    for makers in by_class.values():
        for path in list(makers.values())[:PER_SOP_CLASS]:
            (folder / "_".join(path.relative_to(corpus).parts)).symlink_to(path)
    return folder


@pytest.mark.parametrize("profile", shipped())
def test_the_output_has_no_error_that_the_input_had_not(sample: Path, tmp_path: Path, profile: str) -> None:
    outcome = deidentify_folder(sample, tmp_path / "out", profile)
    found = {source.name: new_errors(source, output) for source, output in outcome.written.items()}
    assert {name: errors for name, errors in found.items() if errors} == {}
    assert len(found) >= 20


def test_an_error_would_be_seen(corpus: Path, tmp_path: Path) -> None:
    """A file that loses its Rows is told from the one it was."""
    source = corpus / "CT" / "dicom-test-files" / "CT_small.dcm"
    broken = tmp_path / "broken.dcm"
    data = source.read_bytes()
    place = data.index(b"\x28\x00\x10\x00US")
    broken.write_bytes(data[:place] + data[place + 10 :])
    assert any("Rows" in error for error in new_errors(source, broken))
