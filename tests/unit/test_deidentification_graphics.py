"""Clean Graphics (PS3.15 §E.3.3): annotations stay with their shapes, the text drawn with them is cleaned."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from an_instance import (
    PSEUDONYMS,
    an_instance,
    codes_of,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    value_at,
    written,
)

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset, Element

PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
ANNOTATIONS, TEXT_OBJECTS, GRAPHIC_OBJECTS, COMPOUND = 0x00700001, 0x00700008, 0x00700009, 0x00700209
TEXT_VALUE, GRAPHIC_DATA, TICKS, TICK_LABEL = 0x00700006, 0x00700022, 0x00700287, 0x00700289
POLYLINE = pack("<4f", 10.0, 20.0, 30.5, 40.25)


def annotation(words: str) -> Dataset:
    """An arrow and a text beside it, on one image."""
    return [
        sequence(
            0x00081140, [text(0x00081150, "UI", "1.2.840.10008.5.1.4.1.1.2"), text(0x00081155, "UI", "1.2.250.1.7")]
        ),
        text(0x00700002, "CS", "LAYER1"),
        sequence(TEXT_OBJECTS, [text(TEXT_VALUE, "ST", words), Element(0x00700014, "FL", POLYLINE[:8])]),
        sequence(GRAPHIC_OBJECTS, [Element(GRAPHIC_DATA, "FL", POLYLINE), text(0x00700023, "CS", "POLYLINE")]),
        sequence(COMPOUND, [sequence(TICKS, [text(TICK_LABEL, "SH", "8 mm GAELDOURT")])]),
    ]


def presentation(engine: Deidentifier, words: str, *more: Element) -> Dataset:
    """A presentation state with such an annotation, de-identified."""
    source = an_instance(
        sequence(ANNOTATIONS, annotation(words)),
        *more,
        sop_class=PRESENTATION_STATE,
        modality="PR",
    )
    return delivered(engine.deidentify(source, PSEUDONYMS))


@pytest.fixture(scope="module")
def cleaning(tmp_path_factory: pytest.TempPathFactory) -> Deidentifier:
    return engine(written(tmp_path_factory.mktemp("profiles"), "options: [clean-graphics]"))


def test_text_drawn_on_an_image_stays_without_who_it_names(cleaning: Deidentifier) -> None:
    dataset = presentation(cleaning, "Nodule de 8 mm, GAELDOURT")
    drawn = first_item(dataset, ANNOTATIONS)
    assert value_at(first_item(drawn, TEXT_OBJECTS), TEXT_VALUE) == "Nodule de 8 mm"
    assert value_at(first_item(first_item(drawn, COMPOUND), TICKS), TICK_LABEL) == "8 mm"
    assert "clean-graphics" in codes_of(dataset)


def test_a_text_of_nothing_but_a_name_is_replaced(cleaning: Deidentifier) -> None:
    """Unformatted Text Value is Type 1: a dummy keeps the object valid, and says that something was there."""
    dataset = presentation(cleaning, "GAELDOURT LOIC")
    assert value_at(first_item(first_item(dataset, ANNOTATIONS), TEXT_OBJECTS), TEXT_VALUE) == "REMOVED"


def test_shapes_stay_where_they_were_drawn_and_on_the_image_they_were_drawn_on(cleaning: Deidentifier) -> None:
    drawn = first_item(presentation(cleaning, "Nodule"), ANNOTATIONS)
    shape = values.find(first_item(drawn, GRAPHIC_OBJECTS), GRAPHIC_DATA)
    assert shape is not None
    assert bytes(shape.value) == POLYLINE  # type: ignore[arg-type]
    assert value_at(drawn, 0x00700002) == "LAYER1"
    image = value_at(first_item(drawn, 0x00081140), 0x00081155)
    assert image is not None
    assert image.startswith("2.25.")


def test_without_the_option_neither_text_nor_shape_is_left() -> None:
    dataset = presentation(engine("basic"), "Nodule de 8 mm")
    drawn = first_item(dataset, ANNOTATIONS)
    assert value_at(first_item(drawn, TEXT_OBJECTS), TEXT_VALUE) == "REMOVED"
    shape = values.find(first_item(drawn, GRAPHIC_OBJECTS), GRAPHIC_DATA)
    assert shape is not None
    assert bytes(shape.value) != POLYLINE  # type: ignore[arg-type]
    assert "clean-graphics" not in codes_of(dataset)


def test_text_outside_of_an_annotation_is_not_the_option_s(cleaning: Deidentifier) -> None:
    source = an_instance(text(TEXT_VALUE, "ST", "Nodule de 8 mm"))
    dataset = delivered(cleaning.deidentify(source, PSEUDONYMS))
    assert value_at(dataset, TEXT_VALUE) == "REMOVED"
    assert "clean-graphics" not in codes_of(dataset)


def test_overlays_and_curves_go_with_their_whole_group_and_the_option_is_not_named_for_them(
    cleaning: Deidentifier,
) -> None:
    source = an_instance(
        Element(0x50023000, "OW", bytes(8)),
        Element(0x60020010, "US", b"\1\0"),
        Element(0x60023000, "OW", bytes(8)),
        text(0x60024000, "LT", "Nodule"),
    )
    dataset = delivered(cleaning.deidentify(source, PSEUDONYMS))
    assert not [element for element in dataset if element.tag >> 24 in (0x50, 0x60)]
    assert "clean-graphics" not in codes_of(dataset)


def test_a_profile_s_own_rule_goes_before_the_option(tmp_path: Path) -> None:
    body = "options: [clean-graphics]\nrules: [{attribute: UnformattedTextValue, action: D}]"
    drawn = first_item(presentation(engine(written(tmp_path, body)), "Nodule"), ANNOTATIONS)
    assert value_at(first_item(drawn, TEXT_OBJECTS), TEXT_VALUE) == "REMOVED"
