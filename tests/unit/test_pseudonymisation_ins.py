"""Which INS may be used, and why the others may not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns, read

PRODUCTION, NIA, TEST, DEMO, RETIRED = (f"1.2.250.1.213.1.4.{last}" for last in (8, 9, 10, 11, 2))
WOMAN = "279035121518989"
_SHARED = Path(__file__).resolve().parents[3] / "shared" / "reference" / "snds" / "ins_identifiers.json"


def element(tag: int, vr: str, value: str) -> Element:
    encoded = value.encode()
    return Element(tag, vr, encoded + b" " * (len(encoded) % 2))


def identified(value: str, oid: str, code: str = "INS") -> list[Element]:
    issuer = [element(0x00400032, "UT", oid), element(0x00400033, "CS", "ISO"), element(0x00400035, "CS", code)]
    return [element(0x00100020, "LO", value), Element(0x00100024, "SQ", [issuer])]


def header(
    *others: list[Element], birth_date: str = "19790301", sex: str = "F", main: list[Element] | None = None
) -> Dataset:
    dataset = list(main or [element(0x00100020, "LO", "0012345")])
    dataset += [element(0x00100030, "DA", birth_date), element(0x00100040, "CS", sex)]
    if others:
        dataset.append(Element(0x00101002, "SQ", [list(item) for item in others]))
    return sorted(dataset, key=lambda e: e.tag)


def test_an_ins_of_other_patient_ids_is_qualified() -> None:
    found = read(header(identified(WOMAN, PRODUCTION)), "production")
    assert found == QualifiedIns(WOMAN, date(1979, 3, 1), "2")
    assert found.nir13 == WOMAN[:13]


def test_the_patient_id_of_a_kos_may_be_the_ins_itself() -> None:
    assert read(header(main=identified(WOMAN, PRODUCTION)), "production") == QualifiedIns(WOMAN, date(1979, 3, 1), "2")


def test_the_issuer_alone_says_what_an_identifier_is() -> None:
    other = identified(WOMAN, "1.2.250.1.71.4.2.1")
    assert read(header(other), "production") == UnqualifiedIns("no-ins")


@pytest.mark.parametrize("oid", [TEST, DEMO])
def test_production_refuses_test_and_demonstration_issuers(oid: str) -> None:
    assert read(header(identified(WOMAN, oid)), "production") == UnqualifiedIns("ins-test-issuer")
    assert isinstance(read(header(identified(WOMAN, oid)), "demonstration"), QualifiedIns)


@pytest.mark.parametrize(
    ("value", "oid", "code", "reason"),
    [
        ("279035121518988", PRODUCTION, "INS", "ins-key"),
        ("27903512151898", PRODUCTION, "INS", "ins-malformed"),
        ("2 79 03 51 215 189 89", PRODUCTION, "INS", "ins-malformed"),
        ("2790351215189", PRODUCTION, "INS", "ins-malformed"),
        ("253072a07300443", PRODUCTION, "INS", "ins-malformed"),
        (f"{WOMAN}\\{WOMAN}", PRODUCTION, "INS", "ins-malformed"),
        ("", PRODUCTION, "INS", "ins-malformed"),
        ("779035121518933", PRODUCTION, "INS", "ins-provisional"),
        (WOMAN, PRODUCTION, "PROV", "ins-not-validated"),
        (WOMAN, NIA, "INS", "ins-nia"),
        (WOMAN, RETIRED, "INS", "ins-retired"),
    ],
)
def test_what_is_not_qualified_is_refused_with_its_reason(value: str, oid: str, code: str, reason: str) -> None:
    assert read(header(identified(value, oid, code)), "production") == UnqualifiedIns(reason)


@pytest.mark.parametrize(
    ("birth_date", "sex", "reason"),
    [
        ("", "F", "birth-date-missing"),
        ("19790231", "F", "birth-date-missing"),
        ("1979", "F", "birth-date-missing"),
        ("19790301", "", "sex-missing"),
        ("19790301", "O", "sex-missing"),
        ("19790301", "M", "sex-mismatch"),
    ],
)
def test_traits_must_be_there_and_agree(birth_date: str, sex: str, reason: str) -> None:
    found = read(header(identified(WOMAN, PRODUCTION), birth_date=birth_date, sex=sex), "production")
    assert found == UnqualifiedIns(reason)


def test_corsican_letters_are_part_of_the_number() -> None:
    for valid in ("253072B07300470", "253072A07300443"):
        assert isinstance(read(header(identified(valid, PRODUCTION)), "production"), QualifiedIns)


def test_two_different_numbers_in_one_header_are_doubt() -> None:
    both = header(identified(WOMAN, PRODUCTION), identified("253072B07300470", PRODUCTION))
    assert read(both, "production") == UnqualifiedIns("ins-conflict")
    twice = header(identified(WOMAN, PRODUCTION), identified(WOMAN, PRODUCTION))
    assert isinstance(read(twice, "production"), QualifiedIns)
    with_wrong = header(identified(WOMAN, PRODUCTION), identified("279035121518988", PRODUCTION))
    assert read(with_wrong, "production") == UnqualifiedIns("ins-key")


def test_the_published_vectors_hold() -> None:
    if not _SHARED.exists():
        pytest.skip("the reference data are not beside the project")
    for vector in json.loads(_SHARED.read_text("utf-8"))["test_vectors"]:
        found = read(header(identified(vector["v"], PRODUCTION)), "production")
        assert isinstance(found, QualifiedIns) == vector["valid"]


def test_an_identity_is_not_in_a_repr() -> None:
    assert WOMAN not in repr(read(header(identified(WOMAN, PRODUCTION)), "production"))


@given(st.binary(max_size=40), st.sampled_from([PRODUCTION, NIA, TEST]))
def test_no_value_is_repaired_and_none_raises(value: bytes, oid: str) -> None:
    item = [Element(0x00100020, "LO", value), *identified("", oid)[1:]]
    found = read(header(item), "demonstration")
    assert isinstance(found, UnqualifiedIns) or value.strip(b" \0") == found.ins.encode()
