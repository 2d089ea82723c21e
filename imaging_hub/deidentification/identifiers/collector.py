"""A patient's own identifiers, as the header tells them: whatever they are found in later is not theirs to keep.

Which attributes identify is read off Table E.1-1: those of text that no option of cleaning or of patient
characteristics would keep, every Person Name, every identifier, address, telephone, institution and device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.attribute import vr_of
from imaging_hub.deidentification.identifiers.folding import fold
from imaging_hub.deidentification.identifiers.parts import NOBODY
from imaging_hub.deidentification.identifiers.vocabulary import is_term
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


@cache
def identifying() -> frozenset[int]:
    """Tags of the public attributes whose values identify the patient or those around them."""
    found = {
        tag
        for tag, row in standard.by_tag().items()
        if vr_of(tag) in _IDENTIFYING_VRS
        and not _DESCRIBING & row.options.keys()
        and not any(option.startswith("retain-longitudinal") for option in row.options)
    }
    return frozenset(found | {tags.PatientBirthDate}) - _GENERIC


RawIdentifier = tuple[int, str, bytes, Charset]
"""Tag, VR, value and character set of an identifying element, not decoded yet."""


def raw(dataset: Dataset, charset: Charset = values.LATIN_1) -> list[RawIdentifier]:
    """The identifying elements of a dataset, at every depth."""
    found: list[RawIdentifier] = []
    _gather(dataset, charset, found)
    return found


def _gather(dataset: Dataset, charset: Charset, found: list[RawIdentifier]) -> None:
    wanted = identifying()
    if dataset and dataset[0].tag <= tags.SpecificCharacterSet:
        charset = values.charset_of(dataset, charset)
    for element in dataset:
        if element.vr == "SQ":
            for item in element.value:
                _gather(item, charset, found)  # type: ignore[arg-type]
        elif (element.tag in wanted or element.vr == "PN") and len(element.value):
            found.append((element.tag, element.vr, bytes(element.value), charset))  # type: ignore[arg-type]


def collect(dataset: Dataset) -> frozenset[str]:
    """The patient's own identifiers in a header, at every depth.

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
        """The dataset of an instance, its identifiers collected; raises `MalformedDataset` as `walk.read` does."""
        return self._collected(self._reader.read(encoded, transfer_syntax_uid))

    def read_start(self, start: Buffer, size: int, transfer_syntax_uid: str) -> Dataset | None:
        """As `read`, without pixel data, from the beginning of an instance; None where it takes the whole."""
        passages = self._reader.read_start(start, size, transfer_syntax_uid)
        return None if passages is None else self._collected(passages)

    def _collected(self, passages: list[ElementRun]) -> Dataset:
        dataset = elements_of(passages)
        charset = values.charset_of(dataset)
        for passage in passages:
            if self._seen.get(passage) != charset:
                self.found.update(read(raw(passage.elements, charset)))
        self._seen = dict.fromkeys(passages, charset)
        return dataset


def read(elements: Iterable[RawIdentifier]) -> Iterator[str]:
    """The identifiers that identifying elements hold; values that name nobody are left out."""
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
