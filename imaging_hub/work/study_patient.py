"""Patient of a study, from all its headers together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field

from imaging_hub.deidentification.identifiers.collector import IdentifierCollector
from imaging_hub.dicom import part10
from imaging_hub.dicom.elements import Dataset
from imaging_hub.pseudonymisation import ins, traits
from imaging_hub.pseudonymisation.ins import Environment, QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.traits import PatientTraits
from imaging_hub.work.inline_outcome import InlineOutcome
from imaging_hub.work.study_archiver import StudyOriginals


@dataclass(frozen=True)
class PatientOfStudy:
    """The patient as named by the headers of a study."""

    identifiers: frozenset[str] = field(repr=False)
    """Every value that identifies the patient, to be searched in the output."""
    reading: QualifiedIns | UnqualifiedIns
    traits: frozenset[PatientTraits]
    """More than one if the headers contradict each other."""


def read_patient(
    originals: StudyOriginals,
    digests: Iterable[str],
    environment: Environment,
    outcomes: Collection[InlineOutcome] = (),
) -> PatientOfStudy:
    """Read the patient from the originals of a study and from the outcomes of instances without an original.

    For most originals the beginning suffices.
    """
    collector = IdentifierCollector()
    readings: set[QualifiedIns | UnqualifiedIns] = {outcome.reading for outcome in outcomes}
    traits_found: set[PatientTraits] = {outcome.traits for outcome in outcomes if outcome.traits}
    for outcome in outcomes:
        collector.found |= outcome.searched
    for digest in digests:
        dataset = _read_header(collector, originals, digest)
        readings.add(ins.read(dataset, environment))
        if (header_traits := traits.read(dataset)) is not None:
            traits_found.add(header_traits)
    return PatientOfStudy(frozenset(collector.found), _combine(readings), frozenset(traits_found))


def _read_header(collector: IdentifierCollector, originals: StudyOriginals, digest: str) -> Dataset:
    start = originals.read_start(digest)
    meta, encoded = part10.split(start.data)
    before = len(start.data) - len(encoded)
    dataset = collector.read_start(encoded, start.size - before, meta.transfer_syntax_uid)
    if dataset is None:
        whole = start.data if len(start.data) == start.size else originals.read(digest)
        dataset = collector.read(memoryview(whole)[before:], meta.transfer_syntax_uid)
    return dataset


def _combine(readings: Set[QualifiedIns | UnqualifiedIns]) -> QualifiedIns | UnqualifiedIns:
    """Combine the readings of all headers; a contradiction is no qualified INS."""
    qualified = [reading for reading in readings if isinstance(reading, QualifiedIns)]
    if len(qualified) > 1:
        return UnqualifiedIns("ins-conflict")
    if qualified and readings <= {qualified[0], UnqualifiedIns("no-ins")}:
        return qualified[0]
    refused = sorted(r.reason for r in readings if isinstance(r, UnqualifiedIns) and r.reason != "no-ins")
    return UnqualifiedIns(refused[0] if refused else "no-ins")
