"""Plans, segmentations, maps, waveforms and slides: the patient goes out of them, what they are for stays."""

from __future__ import annotations

import pytest
from an_instance import PSEUDONYMS, an_instance, delivered, engine, leaves, sequence, text

from imaging_hub.deidentification import shipped
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Quarantined
from imaging_hub.dicom.elements import Element

NAME, PATIENT_ID, NUMBER = "GAELDOURT^LOIC", "IPP77120934", "77120934"
PLANTED = "Gaeldourt 77120934"
SEGMENTATION, SLIDE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.77.1.6"
OBJECTS: dict[str, tuple[str, str, list[Element]]] = {
    "plan": (
        "1.2.840.10008.5.1.4.1.1.481.5",
        "RTPLAN",
        [
            text(0x300A0002, "SH", PLANTED[:16]),
            sequence(
                0x300A00B0,
                [
                    text(0x300A00C0, "IS", "7"),
                    text(0x300A00C2, "LO", f"Arc {PLANTED}"),
                    text(0x300A00C3, "ST", PLANTED),
                ],
            ),
        ],
    ),
    "structures": (
        "1.2.840.10008.5.1.4.1.1.481.3",
        "RTSTRUCT",
        [
            sequence(0x30060020, [text(0x30060022, "IS", "7"), text(0x30060026, "LO", f"Arc {PLANTED}")]),
            sequence(0x30060039, [sequence(0x30060040, [text(0x30060050, "DS", "1.5\\-2.25\\40")])]),
        ],
    ),
    "segmentation": (
        SEGMENTATION,
        "SEG",
        [
            sequence(
                0x00620002,
                [
                    Element(0x00620004, "US", b"\x07\x00"),
                    text(0x00620005, "LO", f"Arc {PLANTED}"),
                    text(0x00620006, "ST", PLANTED),
                ],
            ),
            text(0x00700081, "LO", f"Arc {PLANTED}"),
        ],
    ),
    "map": (
        "1.2.840.10008.5.1.4.1.1.30",
        "MR",
        [
            sequence(
                0x00409096,
                [
                    text(0x00283003, "LO", f"Arc {PLANTED}"),
                    text(0x00409210, "SH", PLANTED[-8:]),
                    Element(0x00409225, "FD", b"\0\0\0\0\0\0\xf8\x3f"),
                ],
            ),
        ],
    ),
    "electrocardiogram": (
        "1.2.840.10008.5.1.4.1.1.9.1.1",
        "ECG",
        [
            sequence(0x0040B020, [text(0x00700006, "ST", PLANTED)]),
            sequence(
                0x54000100,
                [
                    text(0x003A0020, "SH", PLANTED[:16]),
                    sequence(0x003A0200, [text(0x003A0203, "SH", NUMBER)]),
                    Element(0x54001010, "OW", b"\x07\x00\xfe\xff"),
                ],
            ),
        ],
    ),
    "presentation": (
        "1.2.840.10008.5.1.4.1.1.11.1",
        "PR",
        [
            sequence(0x00700001, [sequence(0x00700008, [text(0x00700006, "ST", PLANTED)])]),
            text(0x00700080, "CS", "GAELDOURT"),
            text(0x00700081, "LO", f"Arc {PLANTED}"),
        ],
    ),
    "slide": (
        SLIDE,
        "SM",
        [
            text(0x00400512, "LO", NUMBER),
            sequence(0x00400560, [text(0x00400551, "LO", NUMBER), text(0x00400600, "LO", PLANTED)]),
            text(0x22000002, "UT", PLANTED),
            text(0x22000005, "LT", NUMBER),
        ],
    ),
}
"""An object's SOP Class, its modality, and where somebody wrote the patient's name and number."""
MEASURES = frozenset(("IS", "DS", "US", "FD", "OW"))


@pytest.mark.parametrize("profile", shipped())
@pytest.mark.parametrize("kind", OBJECTS)
def test_no_label_of_another_object_tells_the_patient(kind: str, profile: str) -> None:
    sop_class, modality, elements = OBJECTS[kind]
    source = an_instance(*elements, name=NAME, patient_id=PATIENT_ID, sop_class=sop_class, modality=modality)
    outcome = engine(profile).deidentify(source, PSEUDONYMS)
    whole = b"".join(outcome.part10).lower() if isinstance(outcome, DeidentifiedInstance) else b""
    measures = [bytes(element.value).rstrip(b" ") for element in leaves(elements) if element.vr in MEASURES]
    assert whole and not any(part in whole for part in (b"gaeldourt", NUMBER.encode()))
    kept = [bytes(element.value).rstrip(b" ") for element in leaves(delivered(outcome)) if element.vr in MEASURES]
    assert set(measures) <= set(kept)


@pytest.mark.parametrize("kind", ["plan", "segmentation", "map"])
def test_a_clinical_label_stays_without_the_patient(kind: str) -> None:
    sop_class, modality, elements = OBJECTS[kind]
    source = an_instance(*elements, name=NAME, patient_id=PATIENT_ID, sop_class=sop_class, modality=modality)
    outcome = engine("research-longitudinal").deidentify(source, PSEUDONYMS)
    assert b"Arc" in {bytes(element.value).strip() for element in leaves(delivered(outcome))}


@pytest.mark.parametrize("said", ["77120934", "77-12-09-34", "ipp77120934", "IPP 77120934"])
@pytest.mark.parametrize("patient_id", [PATIENT_ID, "77120934H"])
def test_the_number_of_an_identifier_with_letters_is_the_patient_s(patient_id: str, said: str) -> None:
    label = sequence(0x00620002, [text(0x00620005, "LO", f"Arc {said}")])
    source = an_instance(label, patient_id=patient_id, sop_class=SEGMENTATION, modality="SEG")
    outcome = engine("research-longitudinal").deidentify(source, PSEUDONYMS)
    assert NUMBER.encode() not in b"".join(outcome.part10).translate(None, b"-")  # type: ignore[union-attr]


def test_a_day_or_a_short_number_behind_letters_is_no_identifier() -> None:
    label = sequence(0x00620002, [text(0x00620005, "LO", "20230114 123456 1111111")])
    source = an_instance(label, patient_id="P20230114 A123456 B1111111", sop_class=SEGMENTATION, modality="SEG")
    outcome = engine("research-longitudinal").deidentify(source, PSEUDONYMS)
    assert b"20230114 123456 1111111" in b"".join(outcome.part10)  # type: ignore[union-attr]


@pytest.mark.parametrize("image_type", ["DERIVED\\PRIMARY\\LABEL\\NONE", "DERIVED\\PRIMARY\\OVERVIEW\\NONE"])
def test_the_picture_of_a_slide_s_label_is_held_back(image_type: str) -> None:
    source = an_instance(
        text(0x00080008, "CS", image_type), Element(0x7FE00010, "OW", b"\0\0"), sop_class=SLIDE, modality="SM"
    )
    assert engine("basic").deidentify(source, PSEUDONYMS) == Quarantined(
        "burned-in-text-possible", "ImageType", "basic: burned_in"
    )
