"""The audit trail, for operators: its newest entries, and whether the chain holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection, text
from starlette.responses import Response

from imaging_hub.audit import trail
from imaging_hub.permits.policy import Action
from imaging_hub.web.hub import HubVisit, Needs

PAGE = 100

api = APIRouter(prefix="/api/v1/audit", tags=["audit"])
pages = APIRouter(include_in_schema=False)

TrailReader = Annotated[HubVisit, Needs(Action.AUDIT_READ)]
EntrySequence = Annotated[int | None, Query(ge=1, lt=1 << 62)]


@dataclass(frozen=True)
class TrailEntry:
    """One entry of the trail."""

    sequence: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class ChainVerification:
    """Whether the chain holds, and where it breaks first."""

    ok: bool
    entries: int | None = None
    sequence: int | None = None
    reason: str | None = None


def entries(connection: Connection, before: int | None = None) -> list[TrailEntry]:
    """The newest entries, or those older than `before`."""
    rows = connection.execute(
        text(
            "SELECT sequence, at, actor, action, object, detail FROM audit.entry"
            " WHERE CAST(:before AS bigint) IS NULL OR sequence < :before ORDER BY sequence DESC LIMIT :limit"
        ),
        {"before": before, "limit": PAGE},
    )
    return [TrailEntry(*row) for row in rows]


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
        return entries(connection, before)


@api.get("/verification")
def verification(visit: TrailReader) -> ChainVerification:
    """Whether the chain holds."""
    with visit.begin() as connection:
        return verified(connection)


@pages.get("/audit")
def trail_page(visit: TrailReader, before: EntrySequence = None) -> Response:
    """Newest entries and the state of the chain."""
    with visit.begin() as connection:
        found, state = entries(connection, before), verified(connection)
    return visit.page("audit.html", entries=found, verification=state, more=len(found) == PAGE)
