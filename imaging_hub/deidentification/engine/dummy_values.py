"""Values that mean nothing and fit their VR (action D of PS3.15 §E.1.2), and items made of such values."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pydicom import datadict

from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.dicom import tags
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.value_representation import TEXT_VRS

TEXT = "REMOVED"

_BY_VR: dict[str, bytes] = {
    "AE": b"REMOVED",
    "AS": b"000Y",
    "CS": b"REMOVED",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "DS": b"0",
    "IS": b"0",
    "TM": b"000000",
    "UI": b"2.25.0",
    "UR": b"urn:removed",
    "AT": bytes(4),
    "SS": bytes(2),
    "US": bytes(2),
    "OW": bytes(2),
    "FL": bytes(4),
    "SL": bytes(4),
    "UL": bytes(4),
    "OF": bytes(4),
    "OL": bytes(4),
    "FD": bytes(8),
    "SV": bytes(8),
    "UV": bytes(8),
    "OD": bytes(8),
    "OV": bytes(8),
    "OB": bytes(2),
    "UN": bytes(2),
}


def value(vr: str, tag: int = 0) -> bytes:
    """Make the dummy of a VR that is not a sequence; as many values as the attribute must have at least."""
    dummy = _BY_VR.get(vr, b"REMOVED")
    separator = b"\\" if vr in TEXT_VRS else b""
    return separator.join([dummy] * _least_values(tag))


@cache
def _least_values(tag: int) -> int:
    """The least Value Multiplicity of an attribute by the dictionary: 2 of `2-2n`."""
    if not datadict.dictionary_has_tag(tag):
        return 1
    return int(datadict.dictionary_VM(tag).partition("-")[0])


def _code(code: str, scheme: str, meaning: str) -> Dataset:
    return [
        Element(tags.CodeValue, "SH", code.encode()),
        Element(tags.CodingSchemeDesignator, "SH", scheme.encode()),
        Element(tags.CodeMeaning, "LO", meaning.encode()),
    ]


def items(tag: int, name: str) -> list[Dataset]:
    """Make items of a dummy sequence, valid by themselves; none where only the source's items tell its form."""
    if tag == tags.ContentSequence:
        # One text item in place of a report.
        return [
            [
                Element(tags.RelationshipType, "CS", b"CONTAINS"),
                Element(tags.ValueType, "CS", b"TEXT"),
                Element(tags.ConceptNameCodeSequence, "SQ", [_code("121106", "DCM", "Comment")]),
                Element(tags.TextValue, "UT", TEXT.encode()),
            ]
        ]
    if tag == tags.VerifyingObserverSequence:
        return [
            [
                Element(tags.VerifyingOrganization, "LO", TEXT.encode()),
                Element(tags.VerificationDateTime, "DT", value("DT")),
                Element(tags.VerifyingObserverName, "PN", TEXT.encode()),
                Element(tags.VerifyingObserverIdentificationCodeSequence, "SQ", []),
            ]
        ]
    if tag == tags.OperatorIdentificationSequence:
        return [
            [
                Element(tags.InstitutionName, "LO", TEXT.encode()),
                Element(tags.PersonIdentificationCodeSequence, "SQ", [_code(TEXT, "99REMOVED", "Removed")]),
            ]
        ]
    if name.endswith("CodeSequence"):
        return [_code(TEXT, "99REMOVED", "Removed")]
    return []


_Agreeing = Callable[[Element, DecisionScope, str], "Element | None"]


def blank_items(items: list[Dataset], scope: DecisionScope, name: str, agreeing: _Agreeing) -> list[Dataset]:
    """Put dummies in the items of a sequence called `name`; private attributes are left out.

    `agreeing` gives the element to write where it agrees with others of the instance, such as a UID; None otherwise.
    """
    return [_blank(item, scope, f"{name}[{place}].", agreeing) for place, item in enumerate(items)]


def _blank(item: Dataset, scope: DecisionScope, path: str, agreeing: _Agreeing) -> Dataset:
    blank: Dataset = []
    for element in item:
        tag, vr = element.tag, element.vr
        if tag & 0x10000:
            continue
        if isinstance(element.value, list):
            inner = blank_items(element.value, scope.child(tag), path + attribute_name(tag), agreeing)
            blank.append(Element(tag, vr, inner))
        else:
            dummy = Element(tag, vr, value(vr, tag) if len(element.value) else b"")
            blank.append(agreeing(element, scope, path) or dummy)
    return blank
