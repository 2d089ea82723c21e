"""The table of bad input in the documentation, run row by row on the engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from an_instance import PSEUDONYMS, an_instance, delivered, engine, first_item, leaves, text, value_at
from dataset_bytes import EXPLICIT, IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, nested

from imaging_hub.deidentification.source_and_outcome import Quarantined, SourceInstance
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad-input.md"
CODES, FUNCTIONAL_GROUPS, COMMENTS = 0x00081032, 0x52009229, 0x00104000
SAFE, SAFE_CREATOR = 0x00191000, "SIEMENS MR HEADER"


def followed_by(*parts: bytes, syntax: str = EXPLICIT) -> SourceInstance:
    """A CT instance with encoded elements at its end."""
    return SourceInstance(bytes(an_instance().dataset) + b"".join(parts), syntax)


def without(tag: int, dataset: Dataset) -> bool:
    return values.find(dataset, tag) is None


def private(element_number: int, vr: str, value: bytes, creator: str = SAFE_CREATOR) -> SourceInstance:
    """A CT instance with a private attribute and its creator."""
    return an_instance(text(0x00190010, "LO", creator), Element(SAFE | element_number, vr, value))


def nobody(dataset: Dataset) -> bool:
    return not any(b"gaeldourt" in bytes(leaf.value).lower() for leaf in leaves(dataset))


_COMMENT = element(0x00204000, "LT", b"Gaeldourt thorax")
_AFTER = 0x00400275
INPUT: dict[str, tuple[SourceInstance, Callable[[Dataset], bool] | None]] = {
    "a number as text where the dictionary wants text": (
        an_instance(Element(0x00181030, "IS", b"12")),
        lambda dataset: [(e.vr, value_at(dataset, e.tag)) for e in dataset if e.tag == 0x00181030] == [("IS", "12")],
    ),
    "a VR of another nature than the dictionary's: a name as bytes, a sequence as text": (
        followed_by(element(_AFTER, "UT", b"text")),
        None,
    ),
    "a VR that does not exist": (followed_by(element(_AFTER, "ZZ", b"")), None),
    "implicit VR in an explicit file": (followed_by(implicit(0x00204000, b"thorax")), None),
    "explicit VR in an implicit file": (followed_by(syntax=IMPLICIT), None),
    "a length beyond the file": (followed_by(element(0x00204000, "LT", b"x", 400)), None),
    "a length beyond the item around it": (
        followed_by(
            element(_AFTER, "SQ", item(element(0x00080100, "SH", b"T1", 20))), element(0x22000002, "UT", bytes(32))
        ),
        None,
    ),
    "an odd length": (
        followed_by(element(0x00204000, "LT", b"thorax.")),
        lambda dataset: value_at(dataset, 0x00204000) == "thorax.",
    ),
    "a group length": (
        SourceInstance(element(0x00080000, "UL", b"\4\0\0\0") + bytes(an_instance().dataset), EXPLICIT),
        lambda dataset: without(0x00080000, dataset),
    ),
    "the same attribute twice": (followed_by(_COMMENT, _COMMENT), None),
    "attributes out of order": (followed_by(element(COMMENTS, "LT", b"thorax")), None),
    "sequences nested 200 deep": (followed_by(nested(200)), None),
    "text behind the last attribute": (followed_by(bytes(8), b"GAELDOURT"), None),
    "a private block without creator": (
        an_instance(Element(SAFE | 0x0C, "IS", b"1000")),
        lambda dataset: without(SAFE | 0x0C, dataset),
    ),
    "a private creator that is the patient's name": (
        private(0x0C, "IS", b"1000", "GAELDOURT LOIC"),
        lambda dataset: without(SAFE | 0x0C, dataset) and without(0x00190010, dataset),
    ),
    "a safe private block whose element has another VR than the table's": (
        private(0x0C, "LO", b"Loic G"),
        lambda dataset: without(SAFE | 0x0C, dataset),
    ),
    "a safe private text with the patient in it": (private(0x0D, "CS", b"GAELDOURT"), nobody),
    "a sequence as UN of undefined length": (
        followed_by(
            element(FUNCTIONAL_GROUPS, "UN", item(implicit(0x00204000, b"Gaeldourt thorax")) + SEQUENCE_END, UNDEFINED)
        ),
        lambda dataset: value_at(first_item(dataset, FUNCTIONAL_GROUPS), 0x00204000) == "thorax",
    ),
    "a public attribute as UN": (
        followed_by(element(0x00204000, "UN", b"Gaeldourt thorax")),
        lambda dataset: value_at(dataset, 0x00204000) == "thorax",
    ),
    "a private attribute as UN that no table names": (
        private(0xF0, "UN", b"Gaeldourt"),
        lambda dataset: without(SAFE | 0xF0, dataset),
    ),
    "a date that is none": (
        an_instance(text(0x00080022, "DA", "14 JAN")),
        lambda dataset: value_at(dataset, 0x00080022) in (None, ""),
    ),
    "an age that is none": (
        an_instance(text(0x00101010, "AS", "OLD")),
        lambda dataset: value_at(dataset, 0x00101010) in (None, ""),
    ),
    "a UID that is none": (
        an_instance(text(0x00200052, "UI", "GAELDOURT")),
        lambda dataset: (value_at(dataset, 0x00200052) or "").startswith("2.25."),
    ),
    "no SOP Instance UID": (an_instance(text(0x00080018, "UI", "")), None),
    "an attribute that the Standard does not know": (
        an_instance(text(0x00200099, "LO", "thorax")),
        lambda dataset: without(0x00200099, dataset),
    ),
    "text that is none in its character set, where it may go": (
        an_instance(text(0x00080005, "CS", "ISO_IR 192"), Element(COMMENTS, "LT", b"thorax \xff\xfe")),
        lambda dataset: without(COMMENTS, dataset),
    ),
    "text that is none in its character set, where one must stand": (
        an_instance(text(0x00080005, "CS", "ISO_IR 192"), Element(0x00080008, "CS", b"ORIGINAL\xff\xfe")),
        None,
    ),
    "letters in a character set that nobody knows": (
        an_instance(text(0x00080005, "CS", "ISO_IR 999"), Element(COMMENTS, "LT", b"poign\xe9e")),
        None,
    ),
    "a SOP Class that nobody knows": (an_instance(sop_class="1.3.46.670589.5.0.1.1"), None),
    "the table of contents of a disc": (an_instance(sop_class="1.2.840.10008.1.3.10"), None),
    "a transfer syntax that nobody knows": (SourceInstance(b"", "1.2.3"), None),
}
"""Each input of the table, and what is true of what is delivered; None where it is quarantined."""


def rows() -> dict[str, tuple[str, str]]:
    """The table: input to outcome and how."""
    found = re.findall(r"^\| ([^|]+) \| (delivered|quarantined) \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {what: (becomes, how) for what, becomes, how in found}


def test_the_table_names_what_is_tried_and_nothing_else() -> None:
    assert list(rows()) == list(INPUT)


@pytest.mark.parametrize("what", INPUT)
def test_bad_input_becomes_what_the_table_says(what: str) -> None:
    source, holds = INPUT[what]
    becomes, how = rows()[what]
    outcome = engine("research-longitudinal").deidentify(source, PSEUDONYMS)
    if becomes == "quarantined":
        assert isinstance(outcome, Quarantined)
        assert f"`{outcome.reason}`" == how
    else:
        assert holds is not None
        assert holds(delivered(outcome))
        assert nobody(delivered(outcome))
