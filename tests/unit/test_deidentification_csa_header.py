"""Of a Siemens CSA image header only numbers that the hub knows are left, written anew."""

from __future__ import annotations

from struct import pack

import pytest
from an_instance import PSEUDONYMS, an_instance, delivered, engine, text
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.deidentification.engine.csa_header import cleaned
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Element

GARBAGE = b"MARCHAND^ANNE"


def field(name: bytes, *items: bytes, after: bytes = GARBAGE) -> bytes:
    """A field as scanners write it: with what was in the memory before behind its name and its values."""
    written = [pack("<64sl4slll", (name + b"\0" + after * 9)[:64], len(items), b"FD\0\0", 4, len(items), 77)]
    for item in items:
        value = item + b"\0" + after
        written += [pack("<llll", len(value), len(value), 77, len(value)), value, b"\0" * (-len(value) % 4)]
    return b"".join(written)


def header(*fields: bytes, count: int | None = None) -> bytes:
    return b"SV10\x04\x03\x02\x01" + pack("<LL", len(fields) if count is None else count, 77) + b"".join(fields)


NUMBERS = header(field(b"B_value", b"1000"), field(b"MosaicRefAcqTimes", b"0.0", b"57.5"))


def test_numbers_that_the_hub_knows_stay() -> None:
    plain = header(field(b"B_value", b"1000", after=b""), field(b"MosaicRefAcqTimes", b"0.0", b"57.5", after=b""))
    assert cleaned(NUMBERS) == plain
    assert cleaned(plain) == plain


def test_nothing_behind_a_name_or_a_value_stays() -> None:
    assert GARBAGE[:4] in NUMBERS
    assert GARBAGE[:4] not in (cleaned(NUMBERS) or b"")


def test_unknown_fields_and_values_that_are_no_numbers_go() -> None:
    told = (field(b"PatientName", b"MARCHAND"), field(b"B_value", b"MARCHAND"), field(b"B_matrix", b"1.2.250.1.999"))
    assert cleaned(header(*told, field(b"B_value", b"5"))) == header(field(b"B_value", b"5", after=b""))
    assert cleaned(header(*told)) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"SV10", NUMBERS[:-30], header(count=2_000_000_000), header(count=3), NUMBERS.replace(b"SV10", b"SV99")],
)
def test_what_is_not_in_the_form_known_goes_whole(value: bytes) -> None:
    assert cleaned(value) is None


@given(st.binary(max_size=400), st.integers(0, len(NUMBERS)))
def test_whatever_stands_in_it_nothing_but_numbers_comes_out(noise: bytes, place: int) -> None:
    result = cleaned(NUMBERS[:place] + noise + NUMBERS[place + len(noise) :])
    assert result is None or result == cleaned(result)


def test_the_profile_for_research_keeps_them_and_the_strict_one_nothing() -> None:
    creator, value = text(0x00290010, "LO", "SIEMENS CSA HEADER"), Element(0x00291010, "OB", NUMBERS)
    kept = delivered(engine("research-longitudinal").deidentify(an_instance(creator, value), PSEUDONYMS))
    found = values.find(kept, 0x00291010)
    assert found is not None
    assert bytes(found.value) == cleaned(NUMBERS)  # type: ignore[arg-type]
    strict = delivered(engine("basic").deidentify(an_instance(creator, value), PSEUDONYMS))
    assert values.find(strict, 0x00291010) is None
