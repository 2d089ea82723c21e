"""The audit trail, for operators: its newest entries, and whether the chain holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.audit import trail
from imaging_hub.audit.trail import TrailEntry
from imaging_hub.permits.policy import Action
from imaging_hub.web.hub import HubVisit, Needs

PAGE = 100

api = APIRouter(prefix="/api/v1/audit", tags=["audit"])
pages = APIRouter(include_in_schema=False)

TrailReader = Annotated[HubVisit, Needs(Action.AUDIT_READ)]
EntrySequence = Annotated[int | None, Query(ge=1, lt=1 << 62)]


@dataclass(frozen=True)
class ChainVerification:
    """Whether the chain holds, and where it breaks first."""

    ok: bool
    entries: int | None = None
    sequence: int | None = None
    reason: str | None = None


def verified(connection: Connection) -> ChainVerification:
    """Recompute every seal."""
    result = trail.verify(connection)
    if isinstance(result, trail.BrokenChain):
        return ChainVerification(False, sequence=result.sequence, reason=result.reason)
    return ChainVerification(True, entries=result)


@api.get("/entries")
def list_entries(visit: TrailReader, before: EntrySequence = None) -> list[TrailEntry]:
    """The newest entries of the trail, a hundred at a time."""
    with visit.begin() as connection:
        return list(trail.entries(connection, before, limit=PAGE))


@api.get("/verification")
def verification(visit: TrailReader) -> ChainVerification:
    """Whether the chain holds."""
    with visit.begin() as connection:
        return verified(connection)


@pages.get("/audit")
def trail_page(visit: TrailReader, before: EntrySequence = None) -> Response:
    """Newest entries and the state of the chain."""
    with visit.begin() as connection:
        found, state = trail.entries(connection, before, limit=PAGE), verified(connection)
    return visit.page("audit.html", entries=found, verification=state, more=len(found) == PAGE)
