"""The offset of a patient's dates cannot be computed from what leaves: no date that others can know is moved by it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from an_instance import PSEUDONYMS, SEQUENCE, an_instance, delivered, engine, sequence, text

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine import public_dates
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.profile.profile import load, shipped
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, SourceInstance
from imaging_hub.dicom import dates, dictionary, part10, values, walk
from imaging_hub.errors import MalformedDataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imaging_hub.dicom.elements import Dataset

MOVING = [name for name in shipped() if standard_tables.MODIFIED_DATES in load(name).options]
EDITION = date(2017, 9, 14)


@pytest.fixture(scope="module", params=MOVING)
def deidentifier(request: pytest.FixtureRequest) -> Deidentifier:
    return engine(request.param)


def days_at(dataset: Dataset, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], date]]:
    """Path and day of each date."""
    for element in dataset:
        here = (*path, element.tag)
        if isinstance(element.value, list):
            for place, item in enumerate(element.value):
                yield from days_at(item, (*here, place))
        elif element.vr in ("DA", "DT"):
            for part in values.texts(element):
                day = dates.day_of(part[:8])
                if day is not None:
                    yield here, day


def offsets(source: Dataset, output: Dataset) -> set[timedelta]:
    """What who knows the dates of `public_dates` computes of an output."""
    known = {path: day for path, day in days_at(source) if path[-1] in public_dates.tags()}
    return {day - known[path] for path, day in days_at(output) if path in known}


@pytest.mark.parametrize("keyword", public_dates.WHY)
def test_a_date_that_others_can_know_tells_no_offset(keyword: str, deidentifier: Deidentifier) -> None:
    tag = dictionary.tag(keyword)
    known = text(tag, dictionary.vr(tag), EDITION.strftime("%Y%m%d"))
    code = sorted([text(0x00080100, "SH", "24028007"), known], key=lambda element: element.tag)
    source = an_instance(known, sequence(SEQUENCE, code), sequence(0x00540410, code))
    output = delivered(deidentifier.deidentify(source, PSEUDONYMS))
    assert values.text_at(output, 0x00080020) == "20221006", "the patient's own dates are moved"
    assert timedelta(PSEUDONYMS.date_shift_days) not in offsets(read(source), output)
    assert EDITION.strftime("%Y%m%d") not in {day.strftime("%Y%m%d") for _, day in days_at(output)}


@pytest.mark.corpus
@pytest.mark.takes_turns(3)
def test_no_file_of_the_corpus_tells_the_offset(corpus: Path, deidentifier: Deidentifier) -> None:
    telling, tried = [], 0
    for file in sorted(corpus.rglob("*.dcm")):
        try:
            meta, dataset = part10.split(file.read_bytes())
        except MalformedDataset:
            continue
        outcome = deidentifier.deidentify(SourceInstance(dataset, meta.transfer_syntax_uid), PSEUDONYMS)
        if isinstance(outcome, DeidentifiedInstance):
            tried += 1
            source = read(SourceInstance(dataset, meta.transfer_syntax_uid))
            if timedelta(PSEUDONYMS.date_shift_days) in offsets(source, delivered(outcome)):
                telling.append(file.name)
    assert tried > 100
    assert telling == []


def read(source: SourceInstance) -> Dataset:
    return walk.read(source.dataset, source.transfer_syntax_uid)
