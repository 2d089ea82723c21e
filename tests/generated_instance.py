"""Instances of any kind with the identifiers of an invented patient in any place where text can stand.

Names and numbers are drawn so that none occurs by chance: whatever of them is found in an output came from the input.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from an_instance import EXPLICIT, sequence, text
from dataset_bytes import IMPLICIT
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.source_and_outcome import SourceInstance
from imaging_hub.dicom import encode, values
from imaging_hub.dicom.elements import Dataset, Element

KINDS = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "SR": "1.2.840.10008.5.1.4.1.1.88.22",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
    "ECG": "1.2.840.10008.5.1.4.1.1.9.1.1",
}
CHARSETS = {
    "": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    # The first of two code tables is the default one; names switch to the other by an escape sequence.
    "\\ISO 2022 IR 87": "iso2022_jp",
    "\\ISO 2022 IR 149": "euc_kr",
    "\\ISO 2022 IR 58": "gb2312",
}
_DESIGNATED = {"euc_kr": b"\x1b$)C", "gb2312": b"\x1b$)A"}
_PLAIN = ("xau", "zor", "qui", "vex", "joz", "wur", "yxa")
_ACCENTED = (*_PLAIN, "zké", "gwë", "jön", "quaz", "vyrk")
_CYRILLIC = ("щюк", "жэй", "цую", "ъяч", "фэщ", "юхж")
_GREEK = ("ξάψ", "ωφή", "ζύξ", "ψέθ", "χόφ", "ξίζ")
_KANJI = ("龍郷", "鷹揚", "鶴翔", "麒麟", "鳳凰", "蝦夷")
_SYLLABLES = {
    "ISO_IR 100": _ACCENTED, "ISO_IR 192": _ACCENTED, "ISO_IR 144": _CYRILLIC, "ISO_IR 126": _GREEK,
    "\\ISO 2022 IR 58": ("龙鹰", "鹤翔", "麒麟", "凤凰"), "\\ISO 2022 IR 87": _KANJI,
    "\\ISO 2022 IR 149": ("김희", "류관", "황보", "선우"), "GB18030": ("龙鹰", "鹤翔", "麒麟", "鳳凰"),
}  # fmt: skip
_ESCAPE = re.compile(rb"\x1b[$(][()]?[A-Z]")
_WORDS = (
    "thorax", "scanner", "nodule", "sans", "injection", "coupe", "axiale", "lobe", "droit", "T2", "5 mm", "contrôle",
    "de", "le", "vu",
)  # fmt: skip
_TEXT_VRS = ("CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
_LONGEST = {"CS": 16, "SH": 16, "LO": 64, "PN": 64, "AE": 16}
# Groups of commands, file meta and pixels; attributes by which an instance is refused before anything is tried.
_ELSEWHERE = frozenset(
    (0x00280002, 0x00420011, 0x00280301, 0x00280302, 0x00480010, 0x00080008, 0x00080005, 0x00080016, 0x00080060)
)
_PUBLIC = [
    (tag, entry[0].split(" or ")[0])
    for tag, entry in sorted(DicomDictionary.items())
    if 0x0008 <= tag >> 16 < 0x5000 and tag not in _ELSEWHERE and entry[0] not in ("NONE", "")
]
_IN_TABLE = [(tag, vr) for tag, vr in _PUBLIC if tag in standard_tables.by_tag()]
_DEVICE_UIDS = frozenset(tag for tag, vr in _PUBLIC if vr == "UI" and "Device" in DicomDictionary[tag][4])
"""Of what made the image, and so not also of what it is."""
_PIXELS = 0x7FE00010
_SAFE = sorted(standard_tables.safe_private())


@dataclass(frozen=True)
class Person:
    """Somebody invented, and the physician beside."""

    family: str
    given: str
    physician: str
    patient_id: str
    accession: str
    phone: str
    born: str
    day: str
    uids: tuple[str, ...]

    def spoken(self) -> tuple[str, ...]:
        """Forms in which people write them into text."""
        family, given, born = self.family, self.given, self.born
        pairs = [self.phone[place : place + 2] for place in range(0, 10, 2)]
        return (
            f"{family.upper()} {given.title()}",
            f"{given} {family}",
            family,
            _plain(family).upper(),
            f"Mme {family.title()}",
            f"Dr {self.physician.title()}",
            self.physician.upper(),
            self.patient_id,
            f"IPP {self.number}",
            self.number,
            self.accession,
            self.phone,
            " ".join(pairs),
            ".".join(pairs),
            f"né le {born[6:]}/{born[4:6]}/{born[:4]}",
            self.uids[0],
        )

    @property
    def number(self) -> str:
        """The digits of the Patient ID, which people write alone."""
        return self.patient_id.removeprefix("IPP")

    def needles(self) -> set[str]:
        """What must not be found, folded and without separators."""
        words = [self.family, self.given, self.physician, self.number, self.accession, self.phone]
        words += [self.born, self.born[6:] + self.born[4:6] + self.born[:4]]
        return {_plain(word).lower() for word in words} | set(self.uids)


def encoded(words: str, codec: str) -> bytes:
    """Text in a character set; what it lacks is left out."""
    if codec not in _DESIGNATED:
        return words.encode(codec, "ignore")
    # Such a table is designated anew after each delimiter (PS3.5 §6.1.2.5.3), here before each word.
    return b"".join(
        run.encode("ascii", "ignore") if run.isascii() else _DESIGNATED[codec] + run.encode(codec, "ignore")
        for run in re.findall(r"[\x00-\x7f]+|[^\x00-\x7f]+", words)
    )


def _plain(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


@st.composite
def persons(draw: st.DrawFn, charset: str) -> Person:
    """An invented patient whose names can be written in a character set."""
    name = st.lists(st.sampled_from(_SYLLABLES.get(charset, _PLAIN)), min_size=3, max_size=4).map("".join)
    digits = st.text("0123456789", min_size=7, max_size=7)
    month, day = st.integers(1, 9), st.integers(10, 28)
    root = draw(st.integers(100_000_000, 999_999_999))
    return Person(
        family=draw(name),
        given=draw(name),
        physician=draw(name),
        patient_id=f"{draw(st.sampled_from(('', 'IPP')))}8{draw(digits)}7",
        accession=f"A{draw(digits)}5",
        phone=f"06{draw(digits)}3",
        born=f"{draw(st.integers(1931, 2004))}0{draw(month)}{draw(day)}",
        day=f"202{draw(st.integers(0, 4))}0{draw(month)}{draw(day)}",
        uids=tuple(f"1.2.250.1.99999.{root}.{number}" for number in range(4)),
    )


@st.composite
def generated(draw: st.DrawFn) -> tuple[SourceInstance, Person, str]:
    """An instance, who is in it, and its character set."""
    charset = draw(st.sampled_from(sorted(CHARSETS)))
    person = draw(persons(charset))
    fill = _filling(draw, person, CHARSETS[charset])
    kind, syntax = draw(st.sampled_from(sorted(KINDS))), draw(st.sampled_from((EXPLICIT, IMPLICIT)))
    dataset = {element.tag: element for element in _header(person, kind, charset)}
    if kind in ("CT", "MR", "PT") and draw(st.booleans()):
        dataset[_PIXELS] = Element(_PIXELS, "OW", draw(st.binary(min_size=8, max_size=8)))
    for pool in (_IN_TABLE, _PUBLIC):
        for tag, vr in draw(st.lists(st.sampled_from(pool), max_size=12)):
            if tag not in dataset:
                dataset[tag] = fill(tag, vr, 0)
    for element in _private(draw, fill):
        dataset[element.tag] = element
    ordered = [dataset[tag] for tag in sorted(dataset)]
    return SourceInstance(b"".join(encode.write(ordered, syntax)), syntax), person, charset


def _header(person: Person, modality: str, charset: str) -> list[Element]:
    codec = CHARSETS[charset]
    return [
        *([text(0x00080005, "CS", charset)] if charset else []),
        text(0x00080016, "UI", KINDS[modality]),
        text(0x00080018, "UI", person.uids[0]),
        text(0x00080020, "DA", person.day),
        text(0x00080050, "SH", person.accession),
        text(0x00080060, "CS", modality),
        Element(0x00080090, "PN", encoded(person.physician, codec)),
        Element(0x00100010, "PN", encoded(f"{person.family}^{person.given}", codec)),
        text(0x00100020, "LO", person.patient_id),
        text(0x00100030, "DA", person.born),
        text(0x00102154, "SH", person.phone),
        text(0x0020000D, "UI", person.uids[1]),
        text(0x0020000E, "UI", person.uids[2]),
    ]


def _filling(draw: st.DrawFn, person: Person, codec: str) -> Callable[[int, str, int], Element]:
    spoken = person.spoken()

    def words(vr: str) -> bytes:
        parts = draw(st.lists(st.sampled_from(_WORDS), max_size=3))
        if draw(st.booleans()):
            parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from(spoken)))
        said = " ".join(parts)[: _LONGEST.get(vr, 200)].strip()
        return encoded(said.upper() if vr == "CS" else said, codec)

    def fill(tag: int, vr: str, depth: int) -> Element:
        if vr == "SQ":
            return sequence(tag, *[items(depth + 1) for _ in range(draw(st.integers(0, 2)))])
        if vr in _TEXT_VRS:
            return Element(tag, vr, words(vr))
        plain = {
            "AE": "STATION1", "AS": "067Y", "DA": person.day, "DT": person.day + "101530", "TM": "101530", "DS": "1.5",
            "IS": "7", "UI": person.uids[3], "UR": f"https://chu.example/{person.patient_id}",
        }  # fmt: skip
        if tag in _DEVICE_UIDS:
            return text(tag, vr, f"1.2.250.1.88888.{tag}")
        if vr in plain:
            return text(tag, vr, plain[vr])
        return Element(tag, vr, draw(st.binary(min_size=8, max_size=8)))

    def items(depth: int) -> Dataset:
        kinds = draw(st.lists(st.sampled_from(_IN_TABLE if draw(st.booleans()) else _PUBLIC), max_size=4, unique=True))
        return [fill(tag, vr, depth) for tag, vr in sorted(kinds) if depth < 4 or vr != "SQ"]

    return fill


def _private(draw: st.DrawFn, fill: Callable[[int, str, int], Element]) -> list[Element]:
    elements = []
    for block in range(draw(st.integers(0, 2))):
        group, creator, number = draw(st.sampled_from(_SAFE))
        vr = standard_tables.safe_private()[group, creator, number].vr or "LO"
        if draw(st.integers(0, 3)) == 0:
            creator, vr = "SITE NOTES", "LO"
        base = group << 16 | 0x10 + block
        elements += [text(base, "LO", creator), fill(group << 16 | (0x10 + block) << 8 | number, vr, 3)]
    return elements


def left_of(person: Person, header: bytes, charset: str) -> set[str]:
    """What of a person can be read in bytes, in any of the encodings that a reader might try."""
    readings = {header.decode(codec, "ignore") for codec in ("latin-1", "utf-8", CHARSETS[charset])}
    readings.add(header.replace(b"\0", b"").decode("latin-1"))
    folded = [_plain(reading).lower() for reading in readings]
    spelled = {encoded(name, CHARSETS[charset]) for name in (person.family, person.given, person.physician)}
    if any(_ESCAPE.sub(b"", spelling) in header for spelling in spelled):
        return {"a name as its character set has it"}
    bare = [reading.translate({ord(c): None for c in " .-/_"}) for reading in folded]
    return {needle for needle in person.needles() if any(needle in reading for reading in (*folded, *bare))}


def days_of(dataset: Dataset) -> set[str]:
    """The days in dates, at every depth."""
    found = set()
    for element in dataset:
        if isinstance(element.value, list):
            for item in element.value:
                found |= days_of(item)
        elif element.vr in ("DA", "DT"):
            found |= {value[:8] for value in values.texts(element)}
    return found
