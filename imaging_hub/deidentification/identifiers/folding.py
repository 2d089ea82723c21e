"""Text as it is compared: without accents, case and ligatures."""

from __future__ import annotations

import unicodedata

_LIGATURES = str.maketrans(
    {"œ": "oe", "Œ": "oe", "æ": "ae", "Æ": "ae", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "’": "'"}
)


def fold(text: str) -> str:
    """`text` in lower case without diacritics; `DUPRÉ-Œuvray` becomes `dupre-oeuvray`."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def _byte_fold() -> bytes:
    """For each byte read as Latin-1: its folded letter or digit, or a space."""
    table = bytearray(b" " * 256)
    for code in range(256):
        folded = fold(chr(code))
        if folded and folded[0].isascii() and folded[0].isalnum():
            table[code] = ord(folded[0])
    return bytes(table)


BYTES = _byte_fold()
"""Translation of bytes: Latin-1 letters folded, digits kept, everything else a space."""
