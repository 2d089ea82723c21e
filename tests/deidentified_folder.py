"""A folder of DICOM files put through the de-identification engine, patient by patient."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.identifiers.collector import collect
from imaging_hub.deidentification.profile.profile import load
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms, SourceInstance
from imaging_hub.dicom import part10, values, walk
from imaging_hub.dicom.elements import Buffer
from imaging_hub.errors import MalformedDataset

_SOP_INSTANCE, _PATIENT_ID = 0x00080018, 0x00100020


@dataclass
class Outcome:
    """Outcome of each file."""

    written: dict[Path, Path] = field(default_factory=dict)
    """Source to output."""
    uids: dict[str, str] = field(default_factory=dict)
    """SOP Instance UID before to after."""
    quarantined: Counter[str] = field(default_factory=Counter)
    """Reason to count, with the path of the attribute that decided."""


def deidentify_folder(source: Path, destination: Path, profile: str) -> Outcome:
    """Every DICOM file below `source`, under `profile`; outputs are numbered, so no name goes with them."""
    files = [(path, meta, dataset) for path in sorted(source.rglob("*")) for meta, dataset in _opened(path)]
    patients = _identifiers(files)
    engine = Deidentifier(compile_plan(load(profile)))
    outcome = Outcome()
    destination.mkdir(parents=True, exist_ok=True)
    for number, (path, meta, encoded) in enumerate(files):
        try:
            dataset = walk.read(encoded, meta.transfer_syntax_uid)
        except MalformedDataset as fault:
            outcome.quarantined[f"malformed-{fault.code}"] += 1
            continue
        patient = values.text_at(dataset, _PATIENT_ID)
        pseudonyms = _pseudonyms(patient, frozenset(patients[patient]))
        result = engine.deidentify(SourceInstance(encoded, meta.transfer_syntax_uid), pseudonyms)
        if not isinstance(result, DeidentifiedInstance):
            outcome.quarantined[f"{result.reason} {result.attribute}".strip()] += 1
            continue
        output = destination / f"{number:05d}.dcm"
        output.write_bytes(b"".join(result.part10))
        outcome.written[path] = output
        outcome.uids[values.text_at(dataset, _SOP_INSTANCE)] = result.sop_instance_uid
    return outcome


def _opened(path: Path) -> Iterator[tuple[part10.FileMeta, Buffer]]:
    if path.is_file():
        try:
            yield part10.split(path.read_bytes())
        except MalformedDataset:
            return


def _identifiers(files: list[tuple[Path, part10.FileMeta, Buffer]]) -> dict[str, set[str]]:
    """Each patient's identifiers, united over all instances, as the pipeline does over a study."""
    patients: dict[str, set[str]] = defaultdict(set)
    for _, meta, encoded in files:
        try:
            dataset = walk.read(encoded, meta.transfer_syntax_uid)
        except MalformedDataset:
            continue
        patients[values.text_at(dataset, _PATIENT_ID)] |= collect(dataset)
    return patients


def _pseudonyms(patient: str, identifiers: frozenset[str]) -> Pseudonyms:
    digest = hashlib.sha256(patient.encode()).digest()
    return Pseudonyms(
        patient=f"P{digest.hex()[:16]}",
        uid_key=b"k" * 32,
        date_shift_days=-(1 + digest[0]),
        identifiers=identifiers,
    )
