"""Whom a study shows, as all its headers say together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field

from imaging_hub.deidentification.identifiers.collector import IdentifierCollector
from imaging_hub.dicom import part10
from imaging_hub.dicom.elements import Dataset
from imaging_hub.pseudonymisation import ins, traits
from imaging_hub.pseudonymisation.ins import Environment, QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.traits import PatientTraits
from imaging_hub.work.archiving import StudyOriginals
from imaging_hub.work.inline_outcome import InlineOutcome


@dataclass(frozen=True)
class PatientOfStudy:
    """What the headers of a study hold of its patient."""

    identifiers: frozenset[str] = field(repr=False)
    """Every value that names the patient, to be looked for in what leaves."""
    reading: QualifiedIns | UnqualifiedIns
    traits: frozenset[PatientTraits]
    """More than one where the headers contradict each other."""


def read_patient(
    originals: StudyOriginals, digests: Iterable[str], environment: Environment, passed: Collection[InlineOutcome] = ()
) -> PatientOfStudy:
    """Read the patient from the originals of one study, and from what `passed` tells of those that left none.

    Of most originals, the beginning tells all there is.
    """
    collector = IdentifierCollector()
    readings: set[QualifiedIns | UnqualifiedIns] = {outcome.reading for outcome in passed}
    said: set[PatientTraits] = {outcome.traits for outcome in passed if outcome.traits}
    for outcome in passed:
        collector.found |= outcome.searched
    for digest in digests:
        dataset = _read(collector, originals, digest)
        readings.add(ins.read(dataset, environment))
        if (found := traits.read(dataset)) is not None:
            said.add(found)
    return PatientOfStudy(frozenset(collector.found), _one(readings), frozenset(said))


def _read(collector: IdentifierCollector, originals: StudyOriginals, digest: str) -> Dataset:
    start = originals.start(digest)
    meta, encoded = part10.split(start.data)
    before = len(start.data) - len(encoded)
    dataset = collector.read_start(encoded, start.size - before, meta.transfer_syntax_uid)
    if dataset is None:
        whole = start.data if len(start.data) == start.size else originals.read(digest)
        dataset = collector.read(memoryview(whole)[before:], meta.transfer_syntax_uid)
    return dataset


def _one(readings: Set[QualifiedIns | UnqualifiedIns]) -> QualifiedIns | UnqualifiedIns:
    """What several readings come to; doubt is refusal."""
    qualified = [reading for reading in readings if isinstance(reading, QualifiedIns)]
    if len(qualified) > 1:
        return UnqualifiedIns("ins-conflict")
    if qualified and readings <= {qualified[0], UnqualifiedIns("no-ins")}:
        return qualified[0]
    refused = sorted(r.reason for r in readings if isinstance(r, UnqualifiedIns) and r.reason != "no-ins")
    return UnqualifiedIns(refused[0] if refused else "no-ins")
