"""What the engine knows of one patient while it works on that patient's instances."""

from __future__ import annotations

import codecs
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import chain

from imaging_hub.deidentification.attribute import ONE_VALUE_VRS
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.identifiers.collector import IdentifierParts, RawIdentifier
from imaging_hub.deidentification.identifiers.residual_check import SearchedIdentifiers
from imaging_hub.deidentification.identifiers.text_cleaning import TextCleaner
from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term
from imaging_hub.deidentification.source_and_outcome import Pseudonyms
from imaging_hub.dicom import uid, values
from imaging_hub.dicom.element_runs import ElementRun
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.values import Charset

_PATIENTS_REMEMBERED = 4
_CACHED_MAX = 4096
_UNCHANGED = b"\0unchanged"


class UndecodableText(Exception):
    """A text that is none in its declared character set; the argument is the attribute's path."""


class RecentPatients:
    """The patients of the last instances: slices of a series share one, while every identifier is the same."""

    def __init__(self, retained: frozenset[int]) -> None:
        """`retained`: tags of identifying attributes whose values the profile keeps, such as those of a device."""
        self._retained = retained
        self._known: OrderedDict[object, PatientContext] = OrderedDict()
        self._charset: Charset | None = None
        self._read: dict[ElementRun, list[RawIdentifier]] = {}

    def of(self, runs: Sequence[ElementRun], charset: Charset, pseudonyms: Pseudonyms) -> PatientContext:
        """Find or make the patient of an instance of these `runs`, by its header and `pseudonyms.identifiers`."""
        read = self._read if self._charset == charset else {}
        self._charset = charset
        self._read = {run: read[run] if run in read else collector.raw(run.elements, charset) for run in runs}
        identifying = tuple(chain.from_iterable(self._read.values()))
        key = (identifying, pseudonyms)
        patient = self._known.get(key)
        if patient is None:
            patient = self._known[key] = self._made(identifying, pseudonyms)
            while len(self._known) > _PATIENTS_REMEMBERED:
                self._known.popitem(last=False)
        return patient

    def _made(self, identifying: Sequence[RawIdentifier], pseudonyms: Pseudonyms) -> PatientContext:
        own = set(collector.read([element for element in identifying if element[0] not in self._retained]))
        kept = set(collector.read([element for element in identifying if element[0] in self._retained]))
        # A source that was de-identified before may hold the very pseudonym that is written again.
        own -= {pseudonyms.patient, f"{pseudonyms.patient}^"}
        return PatientContext(own | (pseudonyms.identifiers - kept), pseudonyms.uid_key)


class PatientContext:
    """The identifiers of one patient, and cleaned values remembered while they are the same from slice to slice.

    Never shared: another patient has another one.
    """

    def __init__(self, identifiers: Iterable[str], uid_key: bytes) -> None:
        """`identifiers` as `collector.read` gives them; `uid_key` as in `Pseudonyms`."""
        self._uid_key = uid_key
        self._uids: dict[str, str] = {}
        parts = IdentifierParts.of(identifiers)
        self._cleaner = TextCleaner(parts)
        self.searched = SearchedIdentifiers.of(parts)
        self._cleaned: dict[tuple[bytes, str, Charset, bool], bytes] = {}

    def remapped(self, source: str) -> str:
        """Replace a UID of the source; those of a series are asked for once a slice, and remembered."""
        known = self._uids.get(source)
        if known is None:
            if len(self._uids) >= _CACHED_MAX:
                self._uids.clear()
            known = self._uids[source] = uid.remap(source, self._uid_key)
        return known

    def cleaned(self, value: bytes, vr: str, charset: Charset, strict: bool) -> bytes | None:
        """Clean a value of what identifies; None when it may stay as it is, empty when nothing of it may.

        `strict` is for free text, where unknown words go too. Raises `UndecodableText`.
        """
        key = (value, vr, charset, strict)
        known = self._cleaned.get(key)
        if known is None:
            known = self._clean(value, vr, charset, strict)
            if len(self._cleaned) >= _CACHED_MAX:
                self._cleaned.clear()
            self._cleaned[key] = known
        return None if known is _UNCHANGED else known

    def _clean(self, value: bytes, vr: str, charset: Charset, strict: bool) -> bytes:
        text = _decoded(value, charset)
        parts = [text] if vr in ONE_VALUE_VRS else text.split("\\")
        if strict:
            cleaned = [self._cleaner.clean(part) for part in parts]
        else:
            coded = vr == "CS"
            cleaned = [self._cleaner.scan(part, vocabulary_stays=coded) for part in parts]
            if coded:
                # A defined term is whole or nothing.
                cleaned = [after if after == before else "" for before, after in zip(parts, cleaned, strict=True)]
        if cleaned == parts:
            return _UNCHANGED
        return _encoded("\\".join(cleaned), charset)

    def free_text(self, text: str) -> str:
        """Clean text of any length of what identifies and of unknown words; it is not remembered."""
        return self._cleaner.clean(text)

    def is_vocabulary(self, value: Buffer) -> bool:
        """Whether a coded string consists of words of the vocabulary."""
        words = fold(str(value, "latin-1")).replace("\\", " ").replace("_", " ").split()
        return all(is_term(word) or (len(word) <= 2 and word.isalpha()) for word in words)


def _decoded(value: bytes, charset: Charset) -> str:
    """Text as the dataset declares it, also of a VR that has no letters beyond ASCII: others write them there."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").rstrip(" \0")
    text = values.decoded(value, charset)
    if "\ufffd" in text:
        raise UndecodableText
    return text


def _encoded(text: str, charset: Charset) -> bytes:
    """Cleaned text in the dataset's character set; nothing when it cannot be said in the first of its code tables."""
    try:
        return codecs.encode(text, charset[0])
    except (UnicodeEncodeError, LookupError):
        return b""
