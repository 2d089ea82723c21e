"""Attributes by the path people read, and their values for the eye."""

from __future__ import annotations

from imaging_hub.dicom.attribute_path import LONGEST, readable, shown, without_creator
from imaging_hub.dicom.elements import Element


def test_a_path_names_sequences_items_and_private_creators() -> None:
    item = [Element(0x00080050, "SH", b"A1"), Element(0x00290010, "LO", b"ACME"), Element(0x00291001, "LO", b"x ")]
    dataset = [Element(0x00080060, "CS", b"CT"), Element(0x00400275, "SQ", [item])]
    assert dict(readable(dataset)) == {
        "Modality": "CT",
        "RequestAttributesSequence": "1 item",
        "RequestAttributesSequence[0].AccessionNumber": "A1",
        "RequestAttributesSequence[0].(0029,0010)": "ACME",
        'RequestAttributesSequence[0].(0029,"ACME",01)': "x",
    }


def test_a_private_path_can_be_written_without_its_creator() -> None:
    assert without_creator('Seq[0].(0029,"ACME "1",\\"",0A)') == "Seq[0].(0029,private,0A)"
    assert without_creator("PatientName") == "PatientName"


def test_text_is_decoded_by_the_character_set_of_its_dataset() -> None:
    dataset = [Element(0x00080005, "CS", b"ISO_IR 192"), Element(0x00100010, "PN", "Noël^Zoé".encode())]
    assert dict(readable(dataset))["PatientName"] == "Noël^Zoé"


def test_a_value_for_the_eye_is_printable_and_bounded() -> None:
    assert shown(Element(0x00100010, "PN", b"A\x1b\x00B")) == "A  B"
    assert shown(Element(0x00104000, "LT", b"x" * 5000)) == "x" * LONGEST + "…"
    assert shown(Element(0x7FE00010, "OW", bytes(64))) == "64 bytes"
    assert shown(Element(0x00280010, "US", b"\x00\x02")) == "512"
    assert shown(Element(0x00280010, "US", b"\x00")) == "1 bytes"
    assert shown(Element(0x00083002, "US", bytes(100))).endswith("…")
