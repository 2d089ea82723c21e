"""A profile tried on stored files, nothing written: what it would do, what it would keep, what it would hold back.

Values that stay are shown by their shape, `Aaaa 99 aa`, so that the result may be shown to anybody; with
`show_values=True` as they are, for the hospital's own eyes. The riskiest come first: words that are no vocabulary, then
what only few patients have.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imaging_hub.deidentification.attribute import TEXT_VRS, WRITTEN_BY_ENGINE, attribute_name
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile
from imaging_hub.deidentification.folder import pseudonyms
from imaging_hub.deidentification.identifiers.collector import collect
from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.source_and_outcome import Pseudonyms, Quarantined, SourceInstance
from imaging_hub.dicom import part10, tags, values, walk
from imaging_hub.dicom.elements import Dataset, Element
from imaging_hub.errors import MalformedDataset

_WORDY = TEXT_VRS - {"CS"}
_OWN = WRITTEN_BY_ENGINE | {tags.PatientName, tags.PatientID}
_WORD = re.compile(r"[^\W\d_]{2,}")
_LISTED_MAX = 20


@dataclass(frozen=True, slots=True)
class KeptValue:
    """A text that would leave."""

    attribute: str
    value: str
    """Its shape, or itself."""
    unknown_words: int
    subjects: int
    """Patients that have it."""


@dataclass(frozen=True, slots=True)
class ProfileDryRun:
    """What a profile would do to some files."""

    delivered: int
    actions: Counter[str]
    """Attributes changed, by action."""
    rules: Counter[str]
    quarantined: Counter[str]
    """Files held back, by reason and the attribute that decides."""
    kept: list[KeptValue]
    """The riskiest values of each attribute, the riskiest first."""


def rehearse(paths: Iterable[Path], profile: Profile, *, show_values: bool = False) -> ProfileDryRun:
    """Try a profile on files. Reads each once more than it de-identifies it; writes nothing."""
    actions, rules, quarantined = Counter[str](), Counter[str](), Counter[str]()
    subjects: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    engine, delivered = Deidentifier(compile(profile)), 0
    for path, subject, known in _patients(paths, quarantined):
        meta, encoded = part10.split(path.read_bytes())
        outcome = engine.deidentify(SourceInstance(encoded, meta.transfer_syntax_uid), known)
        if isinstance(outcome, Quarantined):
            quarantined[f"{outcome.reason} {outcome.attribute or outcome.fault or ''}".strip()] += 1
            continue
        delivered += 1
        actions.update(change.action for change in outcome.changes)
        rules.update(change.rule for change in outcome.changes)
        for text in _texts(walk.read(outcome.header, outcome.transfer_syntax_uid)):
            subjects[text].add(subject)
    return ProfileDryRun(delivered, actions, rules, quarantined, _riskiest(subjects, show_values))


def _patients(paths: Iterable[Path], quarantined: Counter[str]) -> Iterator[tuple[Path, str, Pseudonyms]]:
    """The readable files with their patients, of whom every file is asked first."""
    readable: list[tuple[Path, str]] = []
    identifiers: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        try:
            meta, encoded = part10.split(path.read_bytes())
            dataset = walk.read(encoded, meta.transfer_syntax_uid)
        except MalformedDataset as fault:
            quarantined[f"malformed-{fault.code}"] += 1
            continue
        subject = values.text_at(dataset, tags.PatientID, values.charset_of(dataset)) or str(path)
        readable.append((path, subject))
        identifiers[subject] |= collect(dataset)
    made = {subject: pseudonyms(bytes(32), subject, frozenset(found)) for subject, found in identifiers.items()}
    for path, subject in readable:
        yield path, subject, made[subject]


def _texts(dataset: Dataset, charset: values.Charset = values.LATIN_1) -> Iterator[tuple[str, str]]:
    """Attribute and value of each text, at every depth, that the source and not the engine put there."""
    charset = values.charset_of(dataset, charset)
    for element in dataset:
        if element.tag in _OWN or _is_creator(element):
            continue
        if isinstance(element.value, list):
            for item in element.value:
                yield from _texts(item, charset)
        elif element.vr in _WORDY:
            yield from ((_name(element), text) for text in values.texts(element, charset) if text)


def _is_creator(element: Element) -> bool:
    """Whether an element reserves a private block; the profile or the Standard names those that are kept."""
    return element.tag & 0x1FF00 == 0x10000


def _name(element: Element) -> str:
    private = element.tag & 0x10000
    return f"private ({element.tag >> 16:04X},xx{element.tag & 0xFF:02X})" if private else attribute_name(element.tag)


def _riskiest(subjects: dict[tuple[str, str], set[str]], show_values: bool) -> list[KeptValue]:
    texts = [
        KeptValue(attribute, value, sum(not is_term(fold(word)) for word in _WORD.findall(value)), len(who))
        for (attribute, value), who in subjects.items()
    ]
    texts.sort(key=lambda kept: (-kept.unknown_words, kept.subjects, kept.attribute, kept.value))
    listed: Counter[str] = Counter()
    result = []
    for kept in texts:
        listed[kept.attribute] += 1
        if listed[kept.attribute] <= _LISTED_MAX:
            value = kept.value if show_values else _shape(kept.value)
            result.append(KeptValue(kept.attribute, value, kept.unknown_words, kept.subjects))
    return result


def _shape(value: str) -> str:
    """A value without what it says: letters as `A` and `a`, digits as `9`."""
    return "".join("9" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in value)
