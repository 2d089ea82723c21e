"""What the engine knows of one patient while it works on that patient's instances."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from imaging_hub.deidentification.attribute import ONE_VALUE_VRS
from imaging_hub.deidentification.identifiers.folding import fold
from imaging_hub.deidentification.identifiers.parts import IdentifierParts
from imaging_hub.deidentification.identifiers.residual_check import SearchedIdentifiers
from imaging_hub.deidentification.identifiers.text_cleaning import TextCleaner
from imaging_hub.deidentification.identifiers.vocabulary import is_term
from imaging_hub.dicom import uid, values
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.values import Charset

_CACHED_MAX = 4096
_UNCHANGED = b"\0unchanged"


class UndecodableText(Exception):
    """A text that is none in its declared character set; the argument is the attribute's path."""


class PatientContext:
    """The identifiers of one patient, and cleaned values remembered while they are the same from slice to slice.

    Never shared: another patient has another one.
    """

    def __init__(self, identifiers: Iterable[str], uid_key: bytes) -> None:
        self._uid_key = uid_key
        self._uids: dict[str, str] = {}
        identity = IdentifierParts.of(identifiers)
        self._cleaner = TextCleaner(identity)
        self.needles = SearchedIdentifiers.of(identity)
        self._cleaned: dict[tuple[bytes, str, Charset, bool], bytes] = {}

    def remapped(self, source: str) -> str:
        """The UID that stands for one of the source's; those of a series are asked for once a slice."""
        known = self._uids.get(source)
        if known is None:
            if len(self._uids) >= _CACHED_MAX:
                self._uids.clear()
            known = self._uids[source] = uid.remap(source, self._uid_key)
        return known

    def cleaned(self, value: bytes, vr: str, charset: Charset, strict: bool) -> bytes | None:
        """The value without what identifies, None when it may stay as it is, empty when nothing of it may.

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
        """Text of any length without what identifies and without unknown words; it is not remembered."""
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
