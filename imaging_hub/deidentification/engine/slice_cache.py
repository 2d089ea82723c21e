"""What one instance leaves for the next: slices of a series repeat most of what was decided, encoded and checked.

Only what has passed the residual check is remembered, for one instance, and holds only while all that it depends on
is the same: the bytes of the source, the patient and the decisions of the plan.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain

from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.identifiers import residual_check
from imaging_hub.deidentification.identifiers.patient import PatientContext
from imaging_hub.deidentification.identifiers.residual_check import ResidualIdentifier
from imaging_hub.deidentification.source_and_outcome import AttributeChange, Pseudonyms
from imaging_hub.dicom import tags
from imaging_hub.dicom.element_runs import ElementRun, around
from imaging_hub.dicom.elements import Dataset
from imaging_hub.dicom.values import Charset

PIXELS = around(tags.FloatPixelData, tags.PixelData)
"""The tags from which pixel data begin, and before which they end."""


@dataclass(frozen=True, slots=True, eq=False)
class RunOutput:
    """What is left of neighbouring elements of one instance, and what was done to them."""

    elements: Dataset
    """Those to be written; not to be changed."""
    changes: tuple[AttributeChange, ...]
    uids: dict[str, str]
    """UIDs of the source, and those that replace them."""
    days: frozenset[str]
    """Days of the source that were shifted, `YYYYMMDD`."""
    shifted_days: frozenset[str]
    """Days that were written in their place."""
    options_ran: frozenset[str]
    """Options of PS3.15 §E.3 by which something was kept, cleaned or shifted."""

    @property
    def gone_days(self) -> frozenset[bytes]:
        """Days of the source that must not be left: those that no shifted date happens to equal."""
        return frozenset(day.encode() for day in self.days - self.shifted_days)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRun:
    """A run of the source as it leaves."""

    stop: int
    """The tag before which it ends."""
    output: RunOutput
    encoded: bytes
    """In the transfer syntax of the output; empty for pixel data."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """All that an encoded run depends on, beside the bytes of its source."""

    scope: DecisionScope
    patient: PatientContext
    pseudonyms: Pseudonyms
    charset: Charset
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class SliceCache:
    """What is remembered of the instance before; of one that was quarantined, nothing."""

    context: RunContext | None = None
    runs: dict[ElementRun, EncodedRun] = field(default_factory=dict)
    uids: frozenset[str] = frozenset()
    """UIDs of the source that no run holds."""
    days: frozenset[bytes] = frozenset()
    """Days of the source that no run holds."""

    def unchanged(self, context: RunContext) -> dict[ElementRun, EncodedRun]:
        """Return the runs that leave as before in this context."""
        return self.runs if self.context == context else {}

    def residual_identifier(
        self, runs: dict[ElementRun, EncodedRun], whole: RunOutput, context: RunContext
    ) -> ResidualIdentifier | None:
        """Search `runs`, whose union is `whole`; the first identifier left in them.

        Runs of the instance before were checked then: in these, only what is new of this one is looked for.
        """
        days = whole.gone_days
        checked = self.unchanged(context) if days <= self.days else {}
        texts = {source: run for source, run in runs.items() if run.stop != PIXELS[1]}
        fresh = [run for source, run in texts.items() if source not in checked]
        elements = list(chain.from_iterable(run.output.elements for run in fresh))
        header = b"".join(run.encoded for run in fresh)
        hit = residual_check.check(elements, header, context.charset, context.patient.searched, whole.uids, days)
        if hit is None and len(fresh) < len(texts):
            old = b"".join(run.encoded for source, run in texts.items() if source in checked)
            hit = residual_check.check_uids(whole.elements, old, whole.uids.keys() - self.uids)
        return hit


def joined(runs: Collection[EncodedRun]) -> RunOutput:
    """Join what is left of a whole instance; its elements without pixel data."""
    elements: Dataset = []
    changes: list[AttributeChange] = []
    uids: dict[str, str] = {}
    days: set[str] = set()
    shifted_days: set[str] = set()
    options_ran: set[str] = set()
    for run in runs:
        part = run.output
        if run.stop != PIXELS[1]:
            elements += part.elements
        changes += part.changes
        uids |= part.uids
        days |= part.days
        shifted_days |= part.shifted_days
        options_ran |= part.options_ran
    return RunOutput(elements, tuple(changes), uids, frozenset(days), frozenset(shifted_days), frozenset(options_ran))
