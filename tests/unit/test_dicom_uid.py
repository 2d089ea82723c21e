"""UIDs: form and replacement."""

from __future__ import annotations

import pytest

from imaging_hub.dicom import uid

_KEY = bytes(range(32))


@pytest.mark.parametrize("text", ["1.2", "0.0", "2.25.340282366920938463463374607431768211455", "1." + "2" * 62])
def test_a_uid_of_the_standards_form_is_valid(text: str) -> None:
    assert uid.is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.",
        ".1",
        "1..2",
        "01.2",
        "1.02",
        "1.2\n",
        "1.2\x00",
        "1.2 ",
        "../../etc/passwd",
        "/etc/passwd",
        "1.2/3",
        "1.a",
        "1." + "2" * 63,
        "1.٣",
        "-1.2",
        "1.2.840.10008.1.2\\1.2",
    ],
)
def test_anything_else_is_no_uid(text: str) -> None:
    assert not uid.is_valid(text)


def test_a_remapped_uid_is_valid_constant_and_bound_to_its_key() -> None:
    first = uid.remap("1.2.3", _KEY)
    assert uid.is_valid(first)
    assert first == uid.remap("1.2.3", _KEY)
    assert first != uid.remap("1.2.4", _KEY)
    assert first != uid.remap("1.2.3", bytes(32))
    assert first == "2.25.145089691861183396231624889591323225565"
