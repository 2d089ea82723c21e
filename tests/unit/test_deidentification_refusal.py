"""What the beginning of an instance tells of its refusal is what the whole would have told."""

from __future__ import annotations

from pathlib import Path

import pytest
from an_instance import EXPLICIT, PSEUDONYMS, an_instance, engine, text, written
from dataset_bytes import JPEG_BASELINE, element, fragments

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.source_and_outcome import Quarantined, SourceInstance
from imaging_hub.dicom import part10
from imaging_hub.errors import MalformedDataset

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"
PIXELS = element(0x7FE00010, "OW", bytes(4096))
HELD = Quarantined("burned-in-text-possible", "Modality", "research-longitudinal: burned_in")


def _mammogram(pixels: bytes = PIXELS) -> bytes:
    return bytes(an_instance(sop_class=MAMMOGRAPHY, modality="MG").dataset) + pixels


def _cut(dataset: bytes) -> int:
    """Bytes of a dataset as far as its pixel data have begun."""
    return dataset.index(b"\xe0\x7f\x10\x00") + 100


def test_an_image_that_is_held_back_is_so_by_its_beginning() -> None:
    deidentifier, dataset = engine("research-longitudinal"), _mammogram()
    assert deidentifier.refusal(dataset[: _cut(dataset)], len(dataset), EXPLICIT, PSEUDONYMS) == HELD
    assert deidentifier.deidentify(SourceInstance(dataset, EXPLICIT), PSEUDONYMS) == HELD


@pytest.mark.parametrize(
    "dataset",
    [
        bytes(an_instance().dataset) + PIXELS,
        _mammogram(PIXELS + element(0xFFFCFFFC, "OB", bytes(8))),
        _mammogram(element(0x7FE00010, "OW", bytes(4096))[:-8]),
    ],
    ids=["it may pass", "something follows", "cut short"],
)
def test_where_the_beginning_does_not_tell_it_is_silent(dataset: bytes) -> None:
    assert engine("research-longitudinal").refusal(dataset[: _cut(dataset)], len(dataset), EXPLICIT, PSEUDONYMS) is None


def test_fragments_whose_end_is_not_seen_are_read_whole() -> None:
    dataset = _mammogram(fragments(*[bytes(1000)] * 4))
    assert (
        engine("research-longitudinal").refusal(dataset[: _cut(dataset)], len(dataset), JPEG_BASELINE, PSEUDONYMS)
        is None
    )


def test_without_pixel_data_nothing_is_taken_for_an_image() -> None:
    dataset = bytes(an_instance(sop_class=MAMMOGRAPHY, modality="MG").dataset)
    assert engine("research-longitudinal").refusal(dataset[:-4], len(dataset), EXPLICIT, PSEUDONYMS) is None


def _asking(folder: Path, condition: str) -> Deidentifier:
    held = f"quarantine:\n  - {{condition: '{condition}', reason: asked-for}}"
    return engine(written(folder, held, extends="research-longitudinal"))


def test_a_profile_that_asks_for_pixel_data_wants_the_whole(tmp_path: Path) -> None:
    dataset = _mammogram()
    asking = _asking(tmp_path, "Rows exists and PixelData exists")
    assert asking.refusal(dataset[: _cut(dataset)], len(dataset), EXPLICIT, PSEUDONYMS) is None


def test_a_condition_on_the_header_holds_by_the_beginning(tmp_path: Path) -> None:
    dataset = bytes(an_instance(text(0x00080070, "LO", "ACME")).dataset) + PIXELS
    asking = _asking(tmp_path, 'Manufacturer == "ACME"')
    refused = asking.refusal(dataset[: _cut(dataset)], len(dataset), EXPLICIT, PSEUDONYMS)
    assert refused is not None
    assert refused.reason == "asked-for"
    assert refused == asking.deidentify(SourceInstance(dataset, EXPLICIT), PSEUDONYMS)


@pytest.mark.parametrize("profile", ["research-longitudinal", "basic", "teaching"])
def test_over_the_corpus_the_beginning_says_what_the_whole_says(corpus: Path, profile: str) -> None:
    early, whole, refused = engine(profile), engine(profile), 0
    for file in sorted(path for path in corpus.rglob("*") if path.is_file()):
        try:
            meta, encoded = part10.split(file.read_bytes())
        except MalformedDataset:
            continue
        dataset = bytes(encoded)
        place = dataset.rfind(b"\xe0\x7f\x10\x00")
        start = dataset[: place + 40] if place >= 0 else dataset[: len(dataset) // 2]
        found = early.refusal(start, len(dataset), meta.transfer_syntax_uid, PSEUDONYMS)
        if found is not None:
            refused += 1
            assert found == whole.deidentify(SourceInstance(dataset, meta.transfer_syntax_uid), PSEUDONYMS)
    assert refused > 20
