"""A second look at what passed the door, for identifiers of its patient that were learnt since."""

from __future__ import annotations

from functools import lru_cache

from imaging_hub.deidentification.identifiers import residual_check
from imaging_hub.deidentification.identifiers.parts import IdentifierParts
from imaging_hub.deidentification.identifiers.residual_check import ResidualIdentifier, SearchedIdentifiers
from imaging_hub.dicom import values, walk


def look(header: bytes, transfer_syntax_uid: str, identifiers: frozenset[str]) -> ResidualIdentifier | None:
    """Where a de-identified header, encoded without pixel data, holds one of them; None where it holds none."""
    dataset = walk.read(header, transfer_syntax_uid)
    return residual_check.check(dataset, header, values.charset_of(dataset), _needles(identifiers), (), frozenset())


@lru_cache(maxsize=8)
def _needles(identifiers: frozenset[str]) -> SearchedIdentifiers:
    return SearchedIdentifiers.of(IdentifierParts.of(identifiers))
