"""An engine that remembers the instance before gives what one gives that remembers nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from an_instance import PSEUDONYMS, SEQUENCE, an_instance, delivered, engine, sequence, text, value_at, written
from hypothesis import given, settings
from hypothesis import strategies as st
from varied_series import OTHER, sources

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.identifiers.collector import IdentifierCollector, collect
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom import part10, walk
from imaging_hub.errors import MalformedDataset

_PLANS = {name: compile_plan(load(name)) for name in ("basic", "research-longitudinal")}


def _told(outcome: DeidentifiedInstance | Quarantined) -> object:
    return outcome if isinstance(outcome, Quarantined) else replace(outcome, part10=(b"".join(outcome.part10),))


@pytest.mark.parametrize("profile", sorted(_PLANS))
@settings(max_examples=250, deadline=None)
@given(series=st.lists(sources(), min_size=2, max_size=8))
def test_every_instance_of_a_series_leaves_as_if_it_came_alone(
    profile: str, series: list[tuple[SourceInstance, Pseudonyms]]
) -> None:
    one = Deidentifier(_PLANS[profile])
    for source, pseudonyms in series:
        alone = Deidentifier(_PLANS[profile]).deidentify(source, pseudonyms)
        assert _told(one.deidentify(source, pseudonyms)) == _told(alone)


@pytest.fixture
def keeps_protocol(tmp_path: Path) -> Deidentifier:
    """An engine whose profile keeps Protocol Name as it is."""
    rule = "rules: [{attribute: ProtocolName, action: K}]"
    return engine(written(tmp_path, rule, extends="research-longitudinal"))


def test_a_uid_of_this_instance_in_what_passed_with_the_instance_before_is_found(keeps_protocol: Deidentifier) -> None:
    """The run that holds it is the same in both; only with the second is its text a UID of the source."""
    uid = "1.2.250.1.999.777.888.999"
    said = text(0x00181030, "LO", uid)
    first = keeps_protocol.deidentify(an_instance(said, text(0x00200013, "IS", "1")), PSEUDONYMS)
    assert isinstance(first, DeidentifiedInstance)
    second = keeps_protocol.deidentify(an_instance(said, text(0x00080018, "UI", uid)), PSEUDONYMS)
    assert second == Quarantined("residual-identifier", "ProtocolName", "test:4")


def test_a_name_that_appears_in_a_later_slice_is_found_in_what_passed_before(keeps_protocol: Deidentifier) -> None:
    said = text(0x00181030, "LO", "MARCHAND 3 mm")
    assert isinstance(keeps_protocol.deidentify(an_instance(said), PSEUDONYMS), DeidentifiedInstance)
    named = an_instance(said, text(0x00080090, "PN", "MARCHAND^PAUL"))
    assert keeps_protocol.deidentify(named, PSEUDONYMS) == Quarantined("residual-identifier", "ProtocolName", "test:4")


def test_a_day_that_appears_in_a_later_slice_is_found_in_what_passed_before(tmp_path: Path) -> None:
    keeps = engine(
        written(tmp_path, "rules: [{attribute: AcquisitionDate, action: K}]", extends="research-longitudinal")
    )
    kept = text(0x00080022, "DA", "20230120")
    assert isinstance(keeps.deidentify(an_instance(kept), PSEUDONYMS), DeidentifiedInstance)
    outcome = keeps.deidentify(an_instance(kept, text(0x00400244, "DA", "20230120")), PSEUDONYMS)
    assert outcome == Quarantined("residual-identifier", "AcquisitionDate", "test:4")


def test_nothing_of_a_patient_reaches_the_next(keeps_protocol: Deidentifier) -> None:
    said = text(0x00081030, "LO", "CT THORAX MARCHAND")
    first = delivered(keeps_protocol.deidentify(an_instance(said), PSEUDONYMS))
    second = delivered(keeps_protocol.deidentify(an_instance(said, name="MARCHAND^ANNE"), OTHER))
    assert value_at(first, 0x00081030) == value_at(second, 0x00081030) == "CT THORAX"
    assert value_at(second, 0x00100020) == OTHER.patient
    assert value_at(first, 0x0020000D) != value_at(second, 0x0020000D)


def test_the_same_bytes_are_another_name_in_another_character_set(keeps_protocol: Deidentifier) -> None:
    cyrillic = "Люкceмбypг"
    name = text(0x00100010, "PN", cyrillic, "iso8859-5")
    item = [text(0x00080005, "CS", "ISO_IR 192"), text(0x00181030, "LO", cyrillic, "utf-8")]
    said = sequence(SEQUENCE, item)
    latin, russian = (
        an_instance(text(0x00080005, "CS", declared), name, said) for declared in ("ISO_IR 100", "ISO_IR 144")
    )
    keeps_protocol.deidentify(latin, PSEUDONYMS)
    outcome = keeps_protocol.deidentify(russian, PSEUDONYMS)
    assert outcome == Quarantined("residual-identifier", "SharedFunctionalGroupsSequence[0].ProtocolName", "test:4")


@pytest.mark.corpus
@pytest.mark.parametrize("profile", sorted(_PLANS))
def test_every_file_of_the_corpus_leaves_the_same_the_second_time(corpus: Path, profile: str) -> None:
    compared = 0
    for path in sorted(path for path in corpus.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if len(data) > 1 << 20:
            continue
        try:
            meta, dataset = part10.split(data)
        except MalformedDataset:
            continue
        source = SourceInstance(dataset, meta.transfer_syntax_uid)
        one = Deidentifier(_PLANS[profile])
        first, second = (_told(one.deidentify(source, PSEUDONYMS)) for _ in range(2))
        assert second == first, path.name
        compared += isinstance(first, DeidentifiedInstance)
    assert compared > 200


@settings(max_examples=250, deadline=None)
@given(series=st.lists(sources(), min_size=2, max_size=8))
def test_a_collector_finds_over_a_series_what_each_instance_tells(
    series: list[tuple[SourceInstance, Pseudonyms]],
) -> None:
    collector = IdentifierCollector()
    expected: set[str] = set()
    for source, _ in series:
        try:
            dataset = walk.read(source.dataset, source.transfer_syntax_uid)
        except MalformedDataset as fault:
            with pytest.raises(MalformedDataset) as caught:
                collector.read(source.dataset, source.transfer_syntax_uid)
            assert caught.value.code == fault.code
            continue
        expected |= collect(dataset)
        assert [one.tag for one in collector.read(source.dataset, source.transfer_syntax_uid)] == [
            one.tag for one in dataset
        ]
    assert collector.found == expected


def test_a_collector_reads_the_same_bytes_anew_in_another_character_set() -> None:
    collector = IdentifierCollector()
    for charset in ("ISO_IR 100", "ISO_IR 144"):
        named = an_instance(text(0x00080005, "CS", charset), text(0x00100010, "PN", "DUPRÉ^ZOÉ", "latin-1"))
        collector.read(named.dataset, named.transfer_syntax_uid)
    assert {"DUPRÉ^ZOÉ", "DUPRЩ^ZOЩ"} <= collector.found
