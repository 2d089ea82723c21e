"""The residual check catches what a profile lets through: each leak is seeded by a rule that keeps, and quarantined."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from an_instance import (
    EXPLICIT,
    PSEUDONYMS,
    SEQUENCE,
    an_instance,
    delivered,
    engine,
    first_item,
    sequence,
    text,
    value_at,
    written,
)

from imaging_hub.deidentification.source_and_outcome import (
    DeidentifiedInstance,
    Pseudonyms,
    Quarantined,
    SourceInstance,
)
from imaging_hub.dicom.elements import Element

COMMENTS = 0x00104000
IDENTITY = (
    text(0x00080050, "SH", "ACC123456789"),
    text(0x00080080, "LO", "CHU Sainte-Aurélie", "latin-1"),
    text(0x00080090, "PN", "FERRANDIERES^PAUL"),
    text(0x00100030, "DA", "19560312"),
    text(0x00101000, "LO", "184127510102345"),
    text(0x00101040, "LO", "12 rue Evrarquercy, 75010 Valmorency"),
    text(0x00102154, "SH", "01 23 45 67 89"),
    text(0x00181000, "LO", "SN1234567"),
)
LEAKS = {
    "name": "Suite pour Gaeldourt",
    "name-accented": "Suite pour GAËLDOURT",
    "name-inside-a-word": "xxGaeldourtxx",
    "short-name": "confie par Loic ce jour",
    "physician": "Courrier Ferrandieres",
    "patient-id": "dossier 80123456",
    "ins": "INS 184127510102345",
    "ins-spaced": "INS 1 84 12 75 101 023 45",
    "ins-without-key": "1841275101023",
    "phone": "appeler 0123456789",
    "phone-dotted": "appeler 01.23.45.67.89",
    "phone-abroad": "+33 1 23 45 67 89",
    "address": "habite Evrarquercy",
    "institution": "vient de Sainte-Aurelie",
    "accession": "demande ACC123456789",
    "accession-grouped": "demande acc-123 456 789",
    "serial": "appareil SN1234567",
    "birth-date": "19560312",
    "birth-date-written": "12/03/1956",
    "source-uid": "1.2.250.1.999.1.1",
}
ENCODINGS = {"utf-8": "ISO_IR 192", "latin-1": "ISO_IR 100", "utf-16-le": "ISO_IR 100"}


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """A profile that keeps what nobody should keep."""
    return written(tmp_path, "rules:\n  - {attribute: PatientComments, action: K}", extends="research-longitudinal")


@pytest.fixture
def leaky_private(tmp_path: Path) -> Path:
    """A profile that keeps bytes which nobody can read."""
    return written(tmp_path, "rules:\n  - {private: {creator: SITE, element: 0x01}, action: K}")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_an_identifier_that_a_rule_keeps_is_quarantined(leaky: Path, leak: str, encoding: str, nested: bool) -> None:
    comments = Element(COMMENTS, "LT", LEAKS[leak].encode(encoding))
    charset = text(0x00080005, "CS", ENCODINGS[encoding])
    added = sequence(SEQUENCE, [comments]) if nested else comments
    outcome = engine(leaky).deidentify(an_instance(charset, *IDENTITY, added), PSEUDONYMS)
    path = "SharedFunctionalGroupsSequence[0].PatientComments" if nested else "PatientComments"
    assert outcome == Quarantined("residual-identifier", path, "test:5")


def test_the_same_comments_pass_when_the_rule_cleans_them() -> None:
    """The profile without the leaky rule delivers every one of them: the check is not merely strict."""
    clean = engine("research-longitudinal")
    for leak in LEAKS.values():
        comments = Element(COMMENTS, "LT", f"Allergie iode - {leak}".encode("latin-1"))
        charset = text(0x00080005, "CS", "ISO_IR 100")
        outcome = clean.deidentify(an_instance(charset, *IDENTITY, comments), PSEUDONYMS)
        assert isinstance(outcome, DeidentifiedInstance)
        assert b"Allergie iode" in outcome.header


def test_a_name_in_another_alphabet_is_found(leaky: Path) -> None:
    charset = text(0x00080005, "CS", "ISO_IR 192")
    name = Element(0x00100010, "PN", "Yamada^Tarou=山田^太郎".encode())
    comments = Element(COMMENTS, "LT", "連絡先 山田太郎".encode())
    outcome = engine(leaky).deidentify(an_instance(charset, name, comments), PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "residual-identifier"


REPERTOIRES: dict[str, tuple[str, bytes, str, str]] = {
    # Codec, escape sequence before letters beyond ASCII, name, and text around the family name.
    "\\ISO 2022 IR 87": ("iso2022_jp", b"", "YAMADA^TARO=山田^太郎", "東京{}病院"),
    "\\ISO 2022 IR 149": ("euc_kr", b"\x1b$)C", "HONG^GILDONG=홍길동^길동", "서울{}병원"),
    "\\ISO 2022 IR 58": ("gb2312", b"\x1b$)A", "WANG^XIAODONG=王小东^小东", "北京{}医院"),
    "\\ISO 2022 IR 144": ("iso8859_5", b"\x1b-L", "LUXEMBURG^ROSA=Луначарский^Андрей", "город {} больница"),
    "GB18030": ("gb18030", b"", "WANG^XIAODONG=王小东^小东", "北京{}医院"),
    "ISO_IR 126": ("iso8859_7", b"", "Παπαδοπούλου^Μαρία", "νοσοκομείο {} Αθήνα"),
    "ISO_IR 144": ("iso8859_5", b"", "Луначарский^Андрей", "город {} больница"),
    "ISO_IR 192": ("utf-8", b"", "Παπαδοπούλου^Μαρία", "νοσοκομείο {} Αθήνα"),
}


@pytest.mark.parametrize("component", [0, 1], ids=["family", "given"])
@pytest.mark.parametrize("declared", REPERTOIRES)
def test_a_name_inside_longer_text_of_a_private_value_is_found_in_its_character_set(
    leaky_private: Path, declared: str, component: int
) -> None:
    codec, escape, name, around = REPERTOIRES[declared]

    def encoded(said: str) -> bytes:
        return (b"" if said.isascii() else escape) + said.encode(codec)

    source = an_instance(
        text(0x00080005, "CS", declared),
        # A delimiter of person names ends every escape sequence (PS3.5 §6.1.2.5.3).
        Element(0x00100010, "PN", b"".join(encoded(part) for part in re.split(r"([\^=])", name))),
        text(0x00190010, "LO", "SITE"),
        Element(0x00191001, "OB", encoded(around.format(name.split("=")[-1].split("^")[component]))),
    )
    outcome = engine(leaky_private).deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert outcome.reason == "residual-identifier"


def test_the_short_words_of_an_address_in_another_alphabet_name_nobody() -> None:
    """As UTF-16 the letter is two bytes, which any number may have."""
    address = Element(0x00101040, "LO", "г Люберцы ул Мира".encode("iso8859_5"))
    number = Element(0x00280106, "US", "г".encode("utf-16-le"))
    source = an_instance(text(0x00080005, "CS", "ISO_IR 144"), address, number)
    outcome = engine("research-longitudinal").deidentify(source, PSEUDONYMS)
    assert isinstance(outcome, DeidentifiedInstance)


def test_an_identifier_known_from_elsewhere_is_found(leaky: Path) -> None:
    """The pipeline gives what other instances of the study said of the patient."""
    elsewhere = Pseudonyms("S-1", bytes(32), -10, frozenset({"EVRARDOURT^ANNE", "IPP99887766"}))
    for value in ("fille de Evrardourt", "IPP99887766"):
        outcome = engine(leaky).deidentify(an_instance(text(COMMENTS, "LT", value)), elsewhere)
        assert isinstance(outcome, Quarantined)
        assert outcome.reason == "residual-identifier"


def test_a_date_that_should_have_moved_is_found(tmp_path: Path) -> None:
    rule = "rules:\n  - {attribute: AcquisitionDate, action: K}"
    still = engine(written(tmp_path, rule, extends="research-longitudinal"))
    source = an_instance(text(0x00080022, "DA", "20230114"))
    assert still.deidentify(source, PSEUDONYMS) == Quarantined("residual-identifier", "AcquisitionDate", "test:5")


def test_a_private_value_that_a_rule_keeps_is_searched(tmp_path: Path) -> None:
    rule = 'rules:\n  - {private: {creator: "VENDOR DUMP", element: 0x10}, action: K}'
    dump = engine(written(tmp_path, rule))
    creator = text(0x00350010, "LO", "VENDOR DUMP")
    for encoding in ("ascii", "utf-16-le"):
        value = Element(0x00351010, "OB", b"PK" + "Gaeldourt Loic".encode(encoding) + b"\0\0")
        outcome = dump.deidentify(an_instance(creator, value), PSEUDONYMS)
        assert isinstance(outcome, Quarantined)
        assert outcome.reason == "residual-identifier"
    clean = dump.deidentify(an_instance(creator, Element(0x00351010, "OB", b"PK\x01\x02")), PSEUDONYMS)
    assert isinstance(clean, DeidentifiedInstance)


def test_the_reason_names_the_attribute_and_never_the_value(leaky: Path) -> None:
    outcome = engine(leaky).deidentify(an_instance(text(COMMENTS, "LT", "Gaeldourt")), PSEUDONYMS)
    assert "gaeldourt" not in repr(outcome).casefold()


def test_words_of_the_field_are_not_taken_for_names(leaky: Path) -> None:
    """A phantom called HEAD^THORAX is not found in every CT."""
    source = an_instance(text(0x00180015, "CS", "HEAD"), text(0x00080070, "LO", "SIEMENS"), name="HEAD^PHANTOM")
    assert isinstance(engine("research-longitudinal").deidentify(source, PSEUDONYMS), DeidentifiedInstance)


def test_a_number_of_zeros_is_nobody() -> None:
    source = an_instance(text(0x00181000, "LO", "000000000000"), text(0x00180050, "DS", "1.000000000000"))
    assert isinstance(engine("research-longitudinal").deidentify(source, PSEUDONYMS), DeidentifiedInstance)


def test_nothing_but_a_value_is_returned_on_bytes_that_are_no_dataset() -> None:
    for data in (b"", b"\0" * 64, b"GAELDOURT" * 99, bytes(range(256))):
        outcome = engine("basic").deidentify(SourceInstance(data, EXPLICIT), PSEUDONYMS)
        assert isinstance(outcome, Quarantined)


def test_a_number_in_pairs_stays_in_no_coded_string() -> None:
    """A sequence that must stand keeps its terms, and digits by twos are none."""
    flow = sequence(0x00340001, [text(0x00080060, "CS", "CT"), text(0x00180015, "CS", "01 23 45 67 89")])
    outcome = engine("basic").deidentify(an_instance(*IDENTITY, flow), PSEUDONYMS)
    item = first_item(delivered(outcome), 0x00340001)
    assert (value_at(item, 0x00080060), value_at(item, 0x00180015)) == ("CT", "REMOVED")


@pytest.mark.parametrize("said", ["01 23 45 67 89", "01_23_45_67_89"])
def test_a_number_in_pairs_that_a_rule_keeps_in_a_coded_string_is_found(tmp_path: Path, said: str) -> None:
    keeping = written(tmp_path, "rules:\n  - {attribute: BodyPartExamined, action: K}")
    source = an_instance(*IDENTITY, text(0x00180015, "CS", said))
    assert engine(keeping).deidentify(source, PSEUDONYMS) == Quarantined(
        "residual-identifier", "BodyPartExamined", "test:5"
    )
