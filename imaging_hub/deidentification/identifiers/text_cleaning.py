"""Clean Descriptors (PS3.15 §E.3.5): text kept without the patient's identifiers and without unknown words.

In three steps. The patient's own identifiers go wherever they stand. So do forms that identify somebody: NIR,
telephone, e-mail, UID, dates, addresses, `Dr X`, `né(e) le`. Of free text only words of the vocabulary, measures and
words of two letters stay: an unknown word may be a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Set

from imaging_hub.deidentification.identifiers.collector import PARTICLES, IdentifierParts
from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term, may_stay

_TOKEN = re.compile(r"[^\W_]+(?:[.,](?=\d)\d+)*")
_SEPARATOR = r"[ .\-/_\r\n]{0,2}"
_MONTH = (
    r"(?:janv(?:ier)?|f[ée]v(?:r(?:ier)?)?|mars|avr(?:il)?|mai|juin|juil(?:let)?|ao[ûu]t|sept(?:embre)?|oct(?:obre)?"
    r"|nov(?:embre)?|d[ée]c(?:embre)?|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep"
    r"|october|november|december|dec)"
)
_STREET = (
    r"(?:rue|avenue|av|bd|boulevard|chemin|ch|impasse|imp|place|all[ée]e|route|rte|quai|cours|square|passage|ruelle"
    r"|r[ée]sidence|lotissement|lot|hameau|sentier|villa|cit[ée]|esplanade|street|road|lane|drive)"
)
_NIR = r"(?<!\d)[12][ .]?\d{2}[ .]?\d{2}[ .]?(?:\d{2}|2[AaBb])[ .]?\d{3}[ .]?\d{3}(?:[ .]?\d{2})?(?!\d)"
_EMAIL = r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)*"
# A UID names an instance, a study or a device, here or where the instance came from; shorter ones are versions.
_UID = r"(?<![\w.])(?=[\d.]{16})[0-2](?:\.\d+){3,}(?!\w)"
_PHONE = r"(?<!\d)(?:\+33|0033|0)[ .\-]?[1-9](?:[ .\-]?\d{2}){4}(?!\d)"

_DAY, _MONTH_NUMBER, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:(?:19|20)\d\d|\d\d)"
_AFTER = r"(?!\w|[.,]\d)"
_ORDINAL = r"(?:er|ère|e|st|nd|rd|th)?"
_NUMERIC_DATES = (
    # 14.01.2023, 3/2/23, 14-01-2023, 01/14/2023, 14/I/2023; 2023-01-14, also with a time of day behind it
    rf"\d{{1,2}}\s?[/.\-]\s?(?:\d{{1,2}}|[IVX]{{1,4}})\s?[/.\-]\s?{_YEAR}{_AFTER}",
    r"(?:19|20)\d\d\s?[/.\-]\s?\d{1,2}\s?[/.\-]\s?\d{1,2}(?!\d)(?:T[\d:.]+Z?)?",
    # 17 02 56, 17 02 1956, 1956 02 17
    rf"(?:0[1-9]|[12]\d|3[01]) (?:0[1-9]|1[0-2]) {_YEAR}{_AFTER}",
    rf"(?:19|20)\d\d (?:0[1-9]|1[0-2]) (?:0[1-9]|[12]\d|3[01]){_AFTER}",
    # 17/02, 01/2023
    r"(?:0[1-9]|[12]\d|3[01])/(?:0[1-9]|1[0-2])(?!\w|[/.,]\d)",
    rf"{_MONTH_NUMBER}[/.\-](?:19|20)\d\d{_AFTER}",
    # 14 janvier 2023, 1er mars, 14-Jan-23
    rf"{_DAY}{_ORDINAL}(?:\s+of\s)?[\s.\-/]*{_MONTH}(?!\w)\.?(?:[\s,.\-/]*{_YEAR}{_AFTER})?",
)
# January 14th, 2023; mars 2023
_MONTH_DATES = (
    rf"[\s\-/]*{_DAY}{_ORDINAL}(?!\w)(?:[\s,.\-/]*{_YEAR}{_AFTER})?",
    rf"[\s,.\-/]*(?:19|20)\d\d{_AFTER}",
)
_DATES = (
    # What cannot begin a date is passed at its first character.
    rf"(?<![\w])(?<!\d[.,])(?=\d)(?:{'|'.join(_NUMERIC_DATES)})",
    rf"(?<!\w)(?=[adfjmnos]){_MONTH}(?!\w)\.?(?:{'|'.join(_MONTH_DATES)})",
)

_ANYWHERE = re.compile("|".join((_NIR, _EMAIL, _UID)))
_FREE_TEXT = re.compile(
    "|".join(
        (
            _NIR,
            _EMAIL,
            _UID,
            _PHONE,
            *_DATES,
            rf"(?<!\w)\d{{1,4}}\s?(?:bis|ter|quater|[a-d])?,?\s+{_STREET}\b\.?[^,;\n\\|]*",
            r"(?<!\d)\d{5}\s+(?=[^\W\d_])[^\d,;\n\\|]*",
        )
    ),
    re.IGNORECASE,
)
# Case tells a person from a word here: `Dr Petit`, `M. LEGRAND Jean`.
_NAME = r"[^\W\d_][^\W\d_]*(?:['’\-][^\W\d_]+)*"
_CAPITALISED = r"[A-ZÀ-ÖØ-Þ][^\W\d_]*(?:['’\-][^\W\d_]+)*"
_PERSON = re.compile(
    rf"\b(?:[Dd][Rr]|DOCTEUR|[Dd]octeur|Pr|Prof|[Pp]rofesseur|Mr|Mme|MME|Mlle|MLLE|[Mm]onsieur|[Mm]adame|Mrs|Ms)\b\.?\s*{_NAME}"
    rf"(?:\s+{_CAPITALISED})?|\bM\.\s*{_CAPITALISED}(?:\s+{_CAPITALISED})?"
)
# Not `mr`, `dr`, `pr`, `sr`: in this field they are modalities.
_LINKS = frozenset(
    ("e", "a", "au", "aux", "d", "l", "n", "ne", "nee", "ns", "nom", "prenom", "tel", "ins", "ipp", "nir",
     "pat", "patient", "patiente", "id", "by", "par", "pour", "le", "dob", "ddn")
) | (PARTICLES - {"mr", "dr", "pr", "sr"})  # fmt: skip


class TextCleaner:
    """Cleans text of one patient's identifiers. Belongs to that patient and is not kept for another."""

    def __init__(self, identity: IdentifierParts) -> None:
        self.identity = identity
        self._long_names = frozenset(name for name in identity.names if len(name) >= 3)
        long = [name for name in (identity.names | identity.words) - identity.terms if len(name) >= 5]
        long += [code for code in identity.codes if len(code) >= 6]
        self._inside = _any_of(re.escape(part) for part in sorted(long, key=len, reverse=True))
        self._spaced = _any_of(
            rf"(?<![^\W_]){_SEPARATOR.join(code)}(?![^\W_])"
            for code in sorted(identity.codes, key=len, reverse=True)
            if len(code) >= 8
        )

    def scan(self, text: str, *, vocabulary_stays: bool = False) -> str:
        """Take this patient's identifiers out of `text`; everything else stays.

        `vocabulary_stays`: for coded strings, where a word of the vocabulary is a defined term even for
        a patient who is called so.
        """
        text = _composed(text)
        drop = [match.span() for match in _ANYWHERE.finditer(text)]
        exempt = is_term if vocabulary_stays else _nothing
        return self._cleaned(text, drop, self._long_names, exempt, _anything)

    def clean(self, text: str) -> str:
        """Take identifiers, identifying forms and words outside the vocabulary out of `text`."""
        text = _composed(text)
        drop = [match.span() for match in _FREE_TEXT.finditer(text)]
        drop += [match.span() for match in _PERSON.finditer(text)]
        return self._cleaned(text, drop, self.identity.names, _nothing, may_stay)

    def _cleaned(
        self,
        text: str,
        drop: list[tuple[int, int]],
        names: Set[str],
        exempt: Callable[[str], bool],
        may_stay: Callable[[str, str], bool],
    ) -> str:
        if self._spaced is not None:
            drop += [match.span() for match in self._spaced.finditer(text)]
        tokens = [(match.start(), match.end()) for match in _TOKEN.finditer(text)]
        folded = [fold(text[start:end]) for start, end in tokens]
        kept = []
        for (start, end), word in zip(tokens, folded, strict=True):
            covered = any(first < end and start < last for first, last in drop)
            if covered:
                kept.append(False)
            elif exempt(word):
                kept.append(True)
            else:
                kept.append(not self._identifies(word, names) and may_stay(text[start:end], word))
        if all(kept):
            return "" if drop and not tokens else text
        return _joined(text, tokens, _without_links(folded, kept))

    def _identifies(self, word: str, names: Set[str]) -> bool:
        identity = self.identity
        if word in names or word in identity.words or word in identity.codes:
            return True
        return self._inside is not None and self._inside.search(word) is not None


def _composed(text: str) -> str:
    """Letters and their accents as one character: a token must not end at an accent."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _nothing(word: str) -> bool:
    return False


def _anything(token: str, word: str) -> bool:
    return True


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(patterns)
    return re.compile(joined, re.IGNORECASE) if joined else None


def _without_links(folded: list[str], kept: list[bool]) -> list[bool]:
    """Take away the small words that led to what was dropped: `né le`, `tél`, `de`."""
    kept = list(kept)
    for order in (range(len(kept)), range(len(kept) - 1, -1, -1)):
        dropped = False
        for place in order:
            if kept[place] and dropped and folded[place] in _LINKS:
                kept[place] = False
            dropped = not kept[place]
    return kept


def _joined(text: str, tokens: list[tuple[int, int]], kept: list[bool]) -> str:
    """The tokens kept, with what stood between them, or a space where something between is gone."""
    parts: list[str] = []
    last_end = 0
    gap_is_whole = True
    for (start, end), stays in zip(tokens, kept, strict=True):
        if not stays:
            gap_is_whole = False
            continue
        if gap_is_whole:
            parts.append(text[last_end:start])
        elif parts:
            parts.append(" ")
        parts.append(text[start:end])
        last_end, gap_is_whole = end, True
    if gap_is_whole:
        parts.append(text[last_end:])
    return "".join(parts).strip()
