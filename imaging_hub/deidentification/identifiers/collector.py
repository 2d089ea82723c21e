"""The identifiers of a patient: collected from headers, and taken apart into what can be compared with text.

Which attributes identify is read off Table E.1-1: those of text that no option of cleaning or of patient
characteristics would keep, every Person Name, every identifier, address, telephone, institution and device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from unicodedata import normalize

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import vr_of
from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term
from imaging_hub.dicom import tags, values
from imaging_hub.dicom.element_runs import ElementRun, ElementRunReader, elements_of
from imaging_hub.dicom.elements import Buffer, Dataset, Element
from imaging_hub.dicom.values import Charset

_IDENTIFYING_VRS = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_DESCRIBING = frozenset(("clean-descriptors", "retain-patient-characteristics", "clean-graphics"))
_PATIENT_NAMES = frozenset(
    (tags.PatientName, tags.OtherPatientNames, tags.PatientBirthName, tags.PatientMotherBirthName)
)
# Makers, models and remarks: their words would take vocabulary away and name nobody.
_GENERIC = frozenset(
    (
        tags.DeviceDescription,
        tags.LensSpecification,
        tags.LensMake,
        tags.LensModel,
        tags.SourceManufacturer,
        tags.ModifyingSystem,
        tags.ImagePresentationComments,
        tags.ModifiedImageDescription,
        tags.GPSMapDatum,
    )
)
_UTF_8: Charset = ("UTF8",)
_MARKS = str.maketrans("^=", "  ")

PARTICLES = frozenset(
    ("de", "du", "des", "da", "do", "dos", "di", "del", "della", "le", "la", "les", "el", "al", "ben", "bin",
     "abu", "ibn", "von", "van", "der", "den", "ter", "ten", "und", "et", "saint", "sainte", "st", "ste", "mr",
     "mme", "mlle", "mrs", "dr", "pr", "prof", "jr", "sr")
)  # fmt: skip
"""Parts of names that everybody shares."""

NOBODY = frozenset(
    ("anon", "anonym", "anonymous", "anonymized", "anonyme", "anonymise", "removed", "unknown", "none", "null",
     "inconnu", "inconnue", "test", "user", "operator", "admin", "default", "deidentified", "redacted",
     "patient", "xxx", "yes", "non", "not")
)  # fmt: skip
"""What stands in the place of a name when nobody is meant."""

_WORD = re.compile(r"[^\W\d_]+")
_CHUNK = re.compile(r"[^\s,;|]+")
_NOT_ALNUM = re.compile(r"[\W_]+")
# IPP77120934, 77120934A: people write the number alone.
_LETTERED = re.compile(r"[a-z]{1,8}(\d{7,})|(\d{7,})[a-z]{1,8}")
_DATE = re.compile(r"(1[89]\d\d|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\Z")


@cache
def identifying() -> frozenset[int]:
    """Read off Table E.1-1 the tags of public attributes that identify the patient or those around them."""
    tags_of_table = {
        tag
        for tag, row in standard_tables.by_tag().items()
        if vr_of(tag) in _IDENTIFYING_VRS
        and not _DESCRIBING & row.options.keys()
        and not any(option.startswith("retain-longitudinal") for option in row.options)
    }
    return frozenset(tags_of_table | {tags.PatientBirthDate}) - _GENERIC


RawIdentifier = tuple[int, str, bytes, Charset]
"""Tag, VR, value and character set of an identifying element, not decoded yet."""


def raw(dataset: Dataset, charset: Charset = values.LATIN_1) -> list[RawIdentifier]:
    """Gather the identifying elements of a dataset, at every depth."""
    identifiers: list[RawIdentifier] = []
    _gather(dataset, charset, identifiers)
    return identifiers


def _gather(dataset: Dataset, charset: Charset, identifiers: list[RawIdentifier]) -> None:
    wanted = identifying()
    if dataset and dataset[0].tag <= tags.SpecificCharacterSet:
        charset = values.charset_of(dataset, charset)
    for element in dataset:
        if element.vr == "SQ":
            for item in element.value:
                _gather(item, charset, identifiers)  # type: ignore[arg-type]
        elif (element.tag in wanted or element.vr == "PN") and len(element.value):
            identifiers.append((element.tag, element.vr, bytes(element.value), charset))  # type: ignore[arg-type]


def collect(dataset: Dataset) -> frozenset[str]:
    """Collect the patient's own identifiers in a header, at every depth.

    Person names keep their `^` (a single component gets one), so that they can be told from other words;
    dates of birth are `YYYYMMDD`. The caller unites them over a study or a patient, and gives them to the
    engine as `Pseudonyms.identifiers`.
    """
    return frozenset(read(raw(dataset)))


class IdentifierCollector:
    """Collects over the instances of a patient; what slices have in common is looked at once."""

    def __init__(self) -> None:
        self._reader = ElementRunReader()
        self._seen: dict[ElementRun, Charset] = {}
        self.found: set[str] = set()
        """The identifiers, as `collect` gives them."""

    def read(self, encoded: Buffer, transfer_syntax_uid: str) -> Dataset:
        """Read an instance and collect its identifiers; raises `MalformedDataset` as `walk.read` does."""
        return self._collected(self._reader.read(encoded, transfer_syntax_uid))

    def read_start(self, start: Buffer, size: int, transfer_syntax_uid: str) -> Dataset | None:
        """Do as `read`, without pixel data, from the beginning of an instance; None where it takes the whole."""
        runs = self._reader.read_start(start, size, transfer_syntax_uid)
        return None if runs is None else self._collected(runs)

    def _collected(self, runs: list[ElementRun]) -> Dataset:
        dataset = elements_of(runs)
        charset = values.charset_of(dataset)
        for run in runs:
            if self._seen.get(run) != charset:
                self.found.update(read(raw(run.elements, charset)))
        self._seen = dict.fromkeys(runs, charset)
        return dataset


def read(elements: Iterable[RawIdentifier]) -> Iterator[str]:
    """Yield the identifiers that identifying elements hold; values that name nobody are left out."""
    for tag, vr, value, charset in elements:
        for text in _texts(vr, value, charset):
            if vr == "PN":
                yield from _names(text, own=tag in _PATIENT_NAMES)
            elif fold(text) not in NOBODY and any(character.isalnum() for character in text):
                yield text


def _names(text: str, own: bool) -> Iterator[str]:
    """The component groups of a Person Name; another person's that consists of vocabulary only is a role or a room."""
    for group in text.split("="):
        words = fold(group).translate(_MARKS).split()
        if not words or all(word in NOBODY for word in words):
            continue
        if not own and all(is_term(word) or len(word) < 3 for word in words):
            continue
        yield group if "^" in group else f"{group.strip()}^"


def _texts(vr: str, value: Buffer, charset: Charset) -> list[str]:
    """The values as text: as declared, and as they were probably meant where the declared set does not fit."""
    readings = [values.texts(Element(0, vr, value), charset)]
    data = bytes(value)
    if not data.isascii() and b"\x1b" not in data:
        failed = any("\ufffd" in text for text in readings[0])
        if failed:
            readings = [values.texts(Element(0, vr, value), values.LATIN_1)]
        elif charset != _UTF_8 and _is_utf_8(data):
            readings.append(values.texts(Element(0, vr, value), _UTF_8))
    return [text for reading in readings for text in reading]


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class IdentifierParts:
    """Identifiers by the way they are recognised; all folded."""

    names: frozenset[str]
    """Parts of person names, two letters or more, even where they are words of the vocabulary."""
    words: frozenset[str]
    """Words of addresses, institutions, devices that are not vocabulary, three letters or more."""
    codes: frozenset[str]
    """Identifiers with digits, letters and digits only, four or more."""
    foreign: frozenset[str] = frozenset()
    """Names and words in letters that do not fold to ASCII, as they are written: the one thing here not folded."""
    terms: frozenset[str] = frozenset()
    """Which of the names and codes are words of the vocabulary too."""

    @classmethod
    def of(cls, identifiers: Iterable[str]) -> IdentifierParts:
        """Sort identifiers as `collect` gives them."""
        names: set[str] = set()
        words: set[str] = set()
        codes: set[str] = set()
        foreign: set[str] = set()
        for identifier in identifiers:
            folded = fold(identifier)
            if not folded.isascii():
                foreign |= {word for word in _WORD.findall(normalize("NFC", identifier)) if not fold(word).isascii()}
            if "^" in identifier:
                names |= {word for word in _WORD.findall(folded) if word not in PARTICLES | NOBODY and _is_name(word)}
                codes |= _codes(folded)
                continue
            codes |= _codes(folded)
            words |= {
                word
                for word in _WORD.findall(folded)
                if len(word) >= 3 and word not in PARTICLES | NOBODY and not is_term(word)
            }
        # Shorter ones, the `г` of a Russian address, are in every other text.
        telling = {word for word in foreign if fold(word) in names | words}
        terms = frozenset(part for part in names | codes if is_term(part))
        return cls(frozenset(names), frozenset(words), frozenset(codes), frozenset(telling), terms)


def _is_name(word: str) -> bool:
    """Two letters, or one of a script that writes syllables or words."""
    return len(word) >= 2 or ord(word) > 0x2E80


def _codes(folded: str) -> set[str]:
    """Identifiers with digits in a folded text: its parts, and the whole when it is one number written in groups."""
    codes: set[str] = set()
    whole = _NOT_ALNUM.sub("", folded)
    chunks = [_NOT_ALNUM.sub("", chunk) for chunk in _CHUNK.findall(folded)]
    if whole.isdigit() or len(chunks) == 1:
        chunks.append(whole)
    for chunk in chunks:
        # 0000000000 stands in many fields, and in every number: it identifies nobody.
        if len(chunk) >= 4 and len(set(chunk)) > 2 and chunk.isascii() and any(map(str.isdigit, chunk)):
            codes |= {chunk} | _number_of(chunk)
    if len(whole) == 15 and whole[1:].isdigit() and whole[0] in "12":
        codes.add(whole[:13])
    date = _DATE.match(whole)
    if date is not None:
        codes.add(date[3] + date[2] + date[1])
    if len(whole) == 10 and whole.isdigit() and whole[0] == "0":
        codes.add("33" + whole[1:])
    return codes


def _number_of(code: str) -> set[str]:
    """The number of a code that has letters before or behind it; none when it is a day or says nothing."""
    match = _LETTERED.fullmatch(code)
    number = "" if match is None else match[1] or match[2]
    return {number} if len(set(number)) > 2 and not _DATE.match(number) else set()
