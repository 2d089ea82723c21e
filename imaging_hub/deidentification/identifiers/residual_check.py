"""A search of the bytes that would leave for identifiers of the patient: an instance that holds one is quarantined.

It does not rely on what the engine did: it searches the encoded header, folded as Latin-1 and with null bytes taken
out (so that UTF-16LE reads as text), the decoded values in the declared character set, and the UIDs and dates that the
source held. Pixel data are not searched; what may have text in its pixels is refused before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.identifiers.collector import IdentifierParts
from imaging_hub.deidentification.identifiers.vocabulary import FOLDED_LATIN_1, fold
from imaging_hub.dicom import values, walk
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.dicom.values import Charset

_UTF_8_LETTER = re.compile(rb"\xc3([\x80-\xbf])")
_UTF_8_ACCENT = re.compile(rb"\xcc[\x80-\xbf]|\xcd[\x80-\xaf]")
_ESCAPE_SEQUENCE = re.compile(rb"\x1b[(-/$]{1,2}[@-Z]")
_SEPARATORS = b" .-/_()+\0"
_UID = re.compile(rb"[0-2](?:\.\d+){3,}")
_DATE_VRS = frozenset(("DA", "DT"))
_MACHINE_VRS = frozenset(("DS", "IS", "UI", "DA", "DT", "TM", "AS"))
_BINARY_VRS = frozenset(
    ("AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV", "UN")
)
# Numbers of the header itself could spell a short number by chance; ten digits do not happen.
_ANYWHERE_DIGITS = 10
# Shorter ones (`1.1`, met in broken files) are part of any other.
_UID_LENGTH = 16


@dataclass(frozen=True)
class SearchedIdentifiers:
    """What is searched for in the output: made once for a patient, used for each instance."""

    substrings: tuple[bytes, ...]
    """Looked for anywhere in the folded header."""
    exact: tuple[bytes, ...]
    """Other spellings in bytes: UTF-8 and UTF-16 of what does not fold to one byte a letter."""
    words: frozenset[bytes]
    """Looked for as whole words of values."""
    coded_words: frozenset[bytes]
    """Likewise in coded strings, where words of the vocabulary are defined terms."""
    short_digits: tuple[bytes, ...]
    """Numbers of six digits and more, looked for in text values."""
    grouped: tuple[bytes, ...]
    """Identifiers looked for with the separators between their groups taken out."""
    letters: frozenset[str] = field(default_factory=frozenset)
    """Words in letters that Latin-1 lacks, looked for in decoded values."""
    foreign: frozenset[str] = frozenset()
    """The same as they are written, looked for in bytes of each character set."""

    @classmethod
    def of(cls, parts: IdentifierParts) -> SearchedIdentifiers:
        """Choose what is searched for of a patient's identifiers."""
        tokens = parts.names | parts.words
        latin = {token for token in tokens if token.isascii()}
        telling = {token for token in latin - parts.terms if len(token) >= 5}
        codes = {code for code in parts.codes if len(code) >= 6}
        digits = {code for code in codes if code.isdigit()}
        far = {code for code in codes if not code.isdigit() or len(code) >= _ANYWHERE_DIGITS}
        words = {token for token in latin if len(token) >= 3} | {code for code in parts.codes if len(code) >= 5}
        return cls(
            substrings=_encoded(telling | far),
            exact=tuple(spelling for word in parts.foreign for spelling in _spellings(word)),
            words=frozenset(_encoded(words)),
            coded_words=frozenset(_encoded(words - parts.terms)),
            short_digits=_encoded(digits - far),
            grouped=_encoded(code for code in codes if len(code) >= 8),
            letters=frozenset(tokens - latin),
            foreign=parts.foreign,
        )


NOTHING_SEARCHED = SearchedIdentifiers((), (), frozenset(), frozenset(), (), ())


def _encoded(tokens: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(sorted(token.encode("ascii") for token in tokens))


def _spellings(word: str) -> Iterator[bytes]:
    for spelling in {word, word.lower(), word.upper(), word.title()}:
        yield spelling.encode("utf-8")
        yield spelling.encode("utf-16-le")


def _in_charset(words: Iterable[str], charset: Charset) -> tuple[bytes, ...]:
    """Words as a dataset would write them, for values that nobody declares to be text.

    Without the escape sequences of ISO 2022 around them: inside a longer text these stand elsewhere.
    """
    spellings = {
        _ESCAPE_SEQUENCE.sub(b"", spelling.encode(codec, "ignore"))
        for codec in charset
        for word in words
        for spelling in (word, word.lower(), word.upper(), word.title())
    }
    return tuple(spelling for spelling in spellings if len(spelling) >= 4)


@dataclass(frozen=True, slots=True)
class ResidualIdentifier:
    """Where something of the patient is left."""

    path: str
    """Path of the attribute; empty when it is between attributes."""


def check(  # noqa: PLR0917
    dataset: Dataset,
    header: bytes,
    charset: Charset,
    searched: SearchedIdentifiers,
    source_uids: Iterable[str],
    source_dates: frozenset[bytes],
) -> ResidualIdentifier | None:
    """Search elements of an output, `header` as they are encoded without pixel data; the first identifier left.

    `source_uids` are those that were remapped; `source_dates` the days, `YYYYMMDD`, that were shifted away
    and that no shifted date happens to equal.
    """
    texts, coded = _joined(dataset, charset)
    if _in_header(header, searched) or _in_values(texts, coded, searched) or _uid_left(header, source_uids):
        return ResidualIdentifier(_where(dataset, searched, frozenset(source_uids)))
    if source_dates:
        path = _date_left(dataset, source_dates, "")
        if path is not None:
            return ResidualIdentifier(path)
    if searched.letters:
        if any(spelling in header for spelling in _in_charset(searched.foreign, charset)):
            return ResidualIdentifier(
                _where(dataset, replace(searched, exact=_in_charset(searched.foreign, charset)), frozenset())
            )
        path = _letters_left(dataset, searched.letters, charset, "")
        if path is not None:
            return ResidualIdentifier(path)
    return None


def check_again(header: bytes, transfer_syntax_uid: str, identifiers: frozenset[str]) -> ResidualIdentifier | None:
    """Search a header that passed before these identifiers were known; the first of them that is in it."""
    dataset = walk.read(header, transfer_syntax_uid)
    return check(dataset, header, values.charset_of(dataset), _searched(identifiers), (), frozenset())


@lru_cache(maxsize=8)
def _searched(identifiers: frozenset[str]) -> SearchedIdentifiers:
    return SearchedIdentifiers.of(IdentifierParts.of(identifiers))


def names_patient(text: str, searched: SearchedIdentifiers) -> bool:
    """Whether text, such as a document's, holds an identifier of the patient; line ends may part it."""
    folded = fold(" ".join(text.split()))
    encoded = folded.encode("utf-8")
    return (
        _in_header(encoded, searched)
        or _in_values(encoded, b"", searched)
        or any(letters in folded for letters in searched.letters)
    )


def check_uids(dataset: Dataset, header: bytes, source_uids: Iterable[str]) -> ResidualIdentifier | None:
    """Search `header`, the encoding of elements of `dataset`, for UIDs of the source; the first one left."""
    uids = frozenset(source_uids)
    return ResidualIdentifier(_where(dataset, NOTHING_SEARCHED, uids)) if uids and _uid_left(header, uids) else None


def _in_header(header: bytes, searched: SearchedIdentifiers) -> bool:
    folded = _folded(header)
    return any(sought in folded for sought in searched.substrings) or any(sought in header for sought in searched.exact)


def _folded(data: bytes) -> bytes:
    """Bytes as folded text, whether they are Latin-1, UTF-16LE or UTF-8."""
    folded = data.translate(FOLDED_LATIN_1, b"\0")
    if b"\xc3" in data or b"\xcc" in data:
        latin = _UTF_8_LETTER.sub(lambda match: bytes((match[1][0] + 0x40,)), _UTF_8_ACCENT.sub(b"", data))
        folded += b"\n" + latin.translate(FOLDED_LATIN_1, b"\0")
    return folded


def _in_values(texts: bytes, coded: bytes, searched: SearchedIdentifiers) -> bool:
    folded = _folded(texts)
    if not searched.words.isdisjoint(folded.split()) or any(sought in folded for sought in searched.short_digits):
        return True
    if not searched.coded_words.isdisjoint(coded.translate(FOLDED_LATIN_1).split()):
        return True
    if searched.grouped:
        grouped = (texts + b"\n" + coded).translate(None, _SEPARATORS).lower()
        return any(sought in grouped for sought in searched.grouped)
    return False


def _joined(dataset: Dataset, charset: Charset) -> tuple[bytes, bytes]:
    """The values that hold words, and those that hold defined terms, each as one run of bytes."""
    texts: list[bytes] = []
    coded: list[bytes] = []
    _gather(dataset, texts, coded)
    whole = b"\n".join(texts)
    if not whole.isascii() and charset != values.LATIN_1:
        # What the declared set makes of the letters, beside what Latin-1 makes of them.
        decoded = values.text(Element(0, "UT", whole), charset)
        whole += b"\n" + fold(decoded).encode("ascii", errors="replace")
    return whole, b"\n".join(coded)


def _gather(dataset: Dataset, texts: list[bytes], coded: list[bytes]) -> None:
    for element in dataset:
        value = element.value
        if isinstance(value, list):
            for item in value:
                _gather(item, texts, coded)
        elif element.tag & 0x1FF00 == 0x10000:
            # A private creator that is still there stands in Table E.3.10-1 or in the profile.
            continue
        elif element.vr == "CS":
            coded.append(value)  # type: ignore[arg-type]
        elif element.vr not in _MACHINE_VRS and (element.vr not in _BINARY_VRS or element.tag & 0x10000):
            texts.append(value)  # type: ignore[arg-type]


def _uid_left(header: bytes, source_uids: Iterable[str]) -> bool:
    wanted = {uid.encode() for uid in source_uids if len(uid) >= _UID_LENGTH}
    header = header.translate(None, b"\0")
    if len(wanted) <= 24:
        return any(uid in header for uid in wanted)
    return not wanted.isdisjoint(_UID.findall(header))


def _date_left(dataset: Dataset, days: frozenset[bytes], path: str) -> str | None:
    """Path of a date that is still one of the source's."""
    for element in dataset:
        here = path + attribute_name(element.tag)
        if isinstance(element.value, list):
            for place, item in enumerate(element.value):
                left = _date_left(item, days, f"{here}[{place}].")
                if left is not None:
                    return left
        elif element.vr in _DATE_VRS and any(
            bytes(value).strip()[:8] in days for value in bytes(element.value).split(b"\\")
        ):
            return here
    return None


def _letters_left(dataset: Dataset, letters: frozenset[str], charset: Charset, path: str) -> str | None:
    charset = values.charset_of(dataset, charset)
    for element in dataset:
        here = path + attribute_name(element.tag)
        if isinstance(element.value, list):
            for place, item in enumerate(element.value):
                left = _letters_left(item, letters, charset, f"{here}[{place}].")
                if left is not None:
                    return left
        elif element.vr not in _MACHINE_VRS and element.vr not in _BINARY_VRS and not bytes(element.value).isascii():
            folded = fold(values.decoded(bytes(element.value), charset))
            if any(token in folded for token in letters):
                return here
    return None


def _where(dataset: Dataset, searched: SearchedIdentifiers, uids: frozenset[str], path: str = "") -> str:
    """Path of the attribute that holds one of them; the slow search, for the report."""
    for element in dataset:
        here = path + attribute_name(element.tag)
        if isinstance(element.value, list):
            for place, item in enumerate(element.value):
                inner = _where(item, searched, uids, f"{here}[{place}].")
                if inner:
                    return inner
            continue
        value = bytes(element.value)
        texts, coded = _joined([element], values.LATIN_1)
        if _in_header(value, searched) or _in_values(texts, coded, searched) or _uid_left(value, uids):
            return here
    return ""
