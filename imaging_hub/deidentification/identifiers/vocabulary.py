"""Words as they are compared, and which of them cannot be a name in practice.

The vocabulary is French and English of radiology (`tables/vocabulary.txt`, `terms.txt`), and what machines write.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

_LIGATURES = str.maketrans(
    {"œ": "oe", "Œ": "oe", "æ": "ae", "Æ": "ae", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "’": "'"}
)
# T1, L5, 3D, B30f, 120kV, x3, 5mm, te90, 1.25, 0.5x0.5: letters and at most four digits in a row.
_TECHNICAL = re.compile(r"[a-z]{0,3}\d{1,4}(?:[.,x]\d{1,4}){0,3}[a-z]{0,4}\Z")
_NUMBERED = re.compile(r"([a-z]{3,})\d{1,3}\Z")
_PARTS = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-zà-ÿ])|\d+")
_YEAR = re.compile(r"(?:19|20)\d\d\Z")


def fold(text: str) -> str:
    """Put `text` in lower case without accents and ligatures: `DUPRÉ-Œuvray` becomes `dupre-oeuvray`."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def _folded_latin_1() -> bytes:
    table = bytearray(b" " * 256)
    for code in range(256):
        folded = fold(chr(code))
        if folded and folded[0].isascii() and folded[0].isalnum():
            table[code] = ord(folded[0])
    return bytes(table)


FOLDED_LATIN_1 = _folded_latin_1()
"""Translation of bytes read as Latin-1: letters folded, digits kept, everything else a space."""


@cache
def words() -> frozenset[str]:
    """Return every word of the vocabulary, folded."""
    found: set[str] = set()
    for name in ("vocabulary.txt", "terms.txt"):
        text = files("imaging_hub.deidentification").joinpath("tables", name).read_text("utf-8")
        for line in text.splitlines():
            if not line.startswith("#"):
                found |= set(line.lower().split())
    return frozenset(found)


def is_term(folded: str) -> bool:
    """Whether a folded word is one of the vocabulary, as it stands, in the plural or with a number behind it."""
    known = words()
    if folded in known:
        return True
    if folded.endswith(("s", "x")) and folded[:-1] in known:
        return True
    numbered = _NUMBERED.match(folded)
    return numbered is not None and numbered[1] in known


def may_stay(token: str, folded: str) -> bool:
    """Whether a token of free text is vocabulary, a measure, or too short to name anybody."""
    if _TECHNICAL.match(folded):
        return not _YEAR.match(folded)
    if len(folded) <= 2 and folded.isascii():
        return True
    if is_term(folded):
        return True
    parts = _PARTS.findall(token)
    # CamelCase of protocol names: ThoraxRoutine, HeadSeq.
    return 1 < len(parts) <= 6 and all(
        is_term(part.lower()) if part.isalpha() and len(part) > 2 else len(part) <= 3 for part in parts
    )
