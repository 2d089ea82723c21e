"""A second look at what passed the door, for identifiers of its patient that were learnt since."""

from __future__ import annotations

from functools import lru_cache

from imaging_hub.deidentification import residual
from imaging_hub.deidentification.identity import Identity
from imaging_hub.deidentification.residual import Hit, Needles
from imaging_hub.dicom import values, walk


def look(header: bytes, transfer_syntax_uid: str, identifiers: frozenset[str]) -> Hit | None:
    """Where a de-identified header, encoded without pixel data, holds one of them; None where it holds none."""
    dataset = walk.read(header, transfer_syntax_uid)
    return residual.check(dataset, header, values.charset_of(dataset), _needles(identifiers), (), frozenset())


@lru_cache(maxsize=8)
def _needles(identifiers: frozenset[str]) -> Needles:
    return Needles.of(Identity.of(identifiers))
