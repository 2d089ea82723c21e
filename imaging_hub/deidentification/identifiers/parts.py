"""A patient's identifiers taken apart into what can be compared with text and with bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import normalize

from imaging_hub.deidentification.identifiers.folding import fold
from imaging_hub.deidentification.identifiers.vocabulary import is_term

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

    @classmethod
    def of(cls, identifiers: Iterable[str]) -> IdentifierParts:
        """Sort identifiers as `identifiers.collect` gives them."""
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
        return cls(frozenset(names), frozenset(words), frozenset(codes), frozenset(telling))


def _is_name(word: str) -> bool:
    """Two letters, or one of a script that writes syllables or words."""
    return len(word) >= 2 or ord(word) > 0x2E80


def _codes(folded: str) -> set[str]:
    """Identifiers with digits in a folded text: its parts, and the whole when it is one number written in groups."""
    found: set[str] = set()
    whole = _NOT_ALNUM.sub("", folded)
    chunks = [_NOT_ALNUM.sub("", chunk) for chunk in _CHUNK.findall(folded)]
    if whole.isdigit() or len(chunks) == 1:
        chunks.append(whole)
    for chunk in chunks:
        # 0000000000 stands in many fields, and in every number: it identifies nobody.
        if len(chunk) >= 4 and len(set(chunk)) > 2 and chunk.isascii() and any(map(str.isdigit, chunk)):
            found |= {chunk} | _number_of(chunk)
    if len(whole) == 15 and whole[1:].isdigit() and whole[0] in "12":
        found.add(whole[:13])
    date = _DATE.match(whole)
    if date is not None:
        found.add(date[3] + date[2] + date[1])
    if len(whole) == 10 and whole.isdigit() and whole[0] == "0":
        found.add("33" + whole[1:])
    return found


def _number_of(code: str) -> set[str]:
    """The number of a code that has letters before or behind it; none when it is a day or says nothing."""
    match = _LETTERED.fullmatch(code)
    number = "" if match is None else match[1] or match[2]
    return {number} if len(set(number)) > 2 and not _DATE.match(number) else set()
