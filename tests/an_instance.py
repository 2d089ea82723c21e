"""Instances for the de-identification engine, built from elements, and what came out read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom import encode, part10, values, walk
from imaging_hub.dicom.elements import Dataset, Element

EXPLICIT = "1.2.840.10008.1.2.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
PSEUDONYMS = Pseudonyms("S-TEST-0000-0000-0001", bytes(range(32)), -100)
SEQUENCE = 0x52009229
"""Shared Functional Groups Sequence: of items that every profile keeps."""


def text(tag: int, vr: str, value: str, codec: str = "ascii") -> Element:
    """An element whose value is text."""
    return Element(tag, vr, value.encode(codec))


def sequence(tag: int, *items: Dataset) -> Element:
    """A sequence."""
    return Element(tag, "SQ", list(items))


def an_instance(
    *elements: Element,
    name: str = "GAELDOURT^LOIC",
    patient_id: str = "80123456",
    sop_class: str = CT_IMAGE,
    modality: str = "CT",
) -> SourceInstance:
    """A CT instance without pixel data; `elements` are added, or take the place of its own."""
    own = [
        text(0x00080016, "UI", sop_class),
        text(0x00080018, "UI", "1.2.250.1.999.1.3"),
        text(0x00080020, "DA", "20230114"),
        text(0x00080060, "CS", modality),
        text(0x00100010, "PN", name),
        text(0x00100020, "LO", patient_id),
        text(0x0020000D, "UI", "1.2.250.1.999.1.1"),
        text(0x0020000E, "UI", "1.2.250.1.999.1.2"),
    ]
    together = {element.tag: element for element in (*own, *elements)}
    dataset = [together[tag] for tag in sorted(together)]
    return SourceInstance(b"".join(encode.write(dataset, EXPLICIT)), EXPLICIT)


def engine(profile: str | Path) -> Deidentifier:
    """An engine of a shipped profile or of a file."""
    return Deidentifier(compile_plan(load(profile)))


def written(folder: Path, body: str, *, extends: str = "basic", name: str = "test") -> Path:
    """A profile in a file."""
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ntitle: Test\nextends: {extends}\n{body}\n", "utf-8")
    return path


def delivered(outcome: DeidentifiedInstance | Quarantined) -> Dataset:
    """The dataset of an instance that passed, read from its bytes."""
    assert isinstance(outcome, DeidentifiedInstance), outcome
    meta, encoded = part10.split(b"".join(outcome.part10))
    return walk.read(encoded, meta.transfer_syntax_uid)


def value_at(dataset: Dataset, tag: int) -> str | None:
    """Text of an attribute, None when it is absent."""
    element = values.find(dataset, tag)
    return None if element is None else values.text(element, values.charset_of(dataset))


def first_item(dataset: Dataset, tag: int) -> Dataset:
    """The first item of a sequence."""
    return values.items(dataset, tag)[0]


def leaves(dataset: Dataset) -> Iterable[Element]:
    """Every element that is not a sequence, at every depth."""
    for element in dataset:
        if isinstance(element.value, list):
            for item in element.value:
                yield from leaves(item)
        else:
            yield element


def codes_of(dataset: Dataset) -> set[str]:
    """The methods of CID 7050 that an instance says were used on it, by their names here."""
    names = {method.code: option for option, method in standard_tables.methods().items()}
    return {names[value_at(item, 0x00080100) or ""] for item in values.items(dataset, 0x00120064)}
