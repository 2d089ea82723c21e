"""What one instance leaves for the next: slices of a series repeat most of what was decided, encoded and proven.

Only what has passed the residual check is remembered, for one instance, and holds only while all that it depends on
is the same: the bytes of the source, the patient and the decisions of the plan.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain

from imaging_hub.deidentification.engine.scope import Scope
from imaging_hub.deidentification.identifiers import residual_check
from imaging_hub.deidentification.identifiers.collector import RawIdentifier
from imaging_hub.deidentification.identifiers.patient import PatientContext
from imaging_hub.deidentification.identifiers.residual_check import ResidualIdentifier
from imaging_hub.deidentification.instance import AttributeChange, Pseudonyms
from imaging_hub.dicom import tags
from imaging_hub.dicom.element_runs import ElementRun, around
from imaging_hub.dicom.elements import Dataset
from imaging_hub.dicom.values import Charset

PIXELS = around(tags.FloatPixelData, tags.PixelData)
"""The tags from which pixel data begin, and before which they end."""


@dataclass(frozen=True, slots=True, eq=False)
class RunOutput:
    """What became of neighbouring elements of one instance."""

    elements: Dataset
    """Those to be written; not to be changed."""
    changes: tuple[AttributeChange, ...]
    uids: dict[str, str]
    """UIDs of the source and what stands for them."""
    days: frozenset[str]
    """Days of the source that were shifted, `YYYYMMDD`."""
    shifted_days: frozenset[str]
    """Days that were written in their place."""
    options_ran: frozenset[str]
    """Options of PS3.15 §E.3 by which something was kept, cleaned or moved."""

    @property
    def gone_days(self) -> frozenset[bytes]:
        """Days of the source that must not be left: those that no shifted date happens to equal."""
        return frozenset(day.encode() for day in self.days - self.shifted_days)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRun:
    """A passage of the source as it leaves."""

    stop: int
    """The tag before which it ends."""
    settled: RunOutput
    encoded: bytes
    """In the transfer syntax of the output; empty for pixel data."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """All that a piece depends on, beside the bytes of its passage."""

    scope: Scope
    patient: PatientContext
    pseudonyms: Pseudonyms
    charset: Charset
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class SliceCache:
    """What is remembered of the instance before; of one that was quarantined, nothing."""

    charset: Charset | None = None
    identifying: dict[ElementRun, list[RawIdentifier]] = field(default_factory=dict)
    """The identifying elements of each passage, as read in `charset`."""
    circumstances: RunContext | None = None
    pieces: dict[ElementRun, EncodedRun] = field(default_factory=dict)
    uids: frozenset[str] = frozenset()
    """UIDs of the source that no piece holds."""
    days: frozenset[bytes] = frozenset()
    """Days of the source that no piece holds."""

    def unchanged(self, circumstances: RunContext) -> dict[ElementRun, EncodedRun]:
        """The pieces that hold in these circumstances too."""
        return self.pieces if self.circumstances == circumstances else {}

    def left(
        self, pieces: dict[ElementRun, EncodedRun], whole: RunOutput, circumstances: RunContext
    ) -> ResidualIdentifier | None:
        """The first identifier left in `pieces`, whose union is `whole`.

        Pieces of the instance before were proven then: in these, only what is new of this one is looked for.
        """
        days = whole.gone_days
        proven = self.unchanged(circumstances) if days <= self.days else {}
        texts = {passage: piece for passage, piece in pieces.items() if piece.stop != PIXELS[1]}
        fresh = [piece for passage, piece in texts.items() if passage not in proven]
        elements = list(chain.from_iterable(piece.settled.elements for piece in fresh))
        header = b"".join(piece.encoded for piece in fresh)
        charset, needles = circumstances.charset, circumstances.patient.needles
        hit = residual_check.check(elements, header, charset, needles, whole.uids, days)
        if hit is None and len(fresh) < len(texts):
            old = b"".join(piece.encoded for passage, piece in texts.items() if passage in proven)
            hit = residual_check.check_uids(whole.elements, old, whole.uids.keys() - self.uids)
        return hit


def joined(pieces: Collection[EncodedRun]) -> RunOutput:
    """What became of a whole instance; its elements without pixel data."""
    elements: Dataset = []
    changes: list[AttributeChange] = []
    uids: dict[str, str] = {}
    days: set[str] = set()
    shifted_days: set[str] = set()
    options_ran: set[str] = set()
    for piece in pieces:
        part = piece.settled
        if piece.stop != PIXELS[1]:
            elements += part.elements
        changes += part.changes
        uids |= part.uids
        days |= part.days
        shifted_days |= part.shifted_days
        options_ran |= part.options_ran
    return RunOutput(elements, tuple(changes), uids, frozenset(days), frozenset(shifted_days), frozenset(options_ran))
