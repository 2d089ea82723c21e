"""The audit trail for operators: its newest entries, and whether its hash chain is intact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.audit import trail
from imaging_hub.audit.trail import TrailEntry
from imaging_hub.permits.policy import Action
from imaging_hub.web.authorization import HubRequest, RequiresAction

PAGE = 100

api = APIRouter(prefix="/api/v1/audit", tags=["audit"])
pages = APIRouter(include_in_schema=False)

TrailReader = Annotated[HubRequest, RequiresAction(Action.AUDIT_READ)]
EntrySequence = Annotated[int | None, Query(ge=1, lt=1 << 62)]


@dataclass(frozen=True)
class ChainVerification:
    """Whether the hash chain is intact, and its first broken entry."""

    ok: bool
    entries: int | None = None
    sequence: int | None = None
    reason: str | None = None


def verify_chain(connection: Connection) -> ChainVerification:
    """Recompute the hash of every entry."""
    result = trail.verify(connection)
    if isinstance(result, trail.BrokenChain):
        return ChainVerification(False, sequence=result.sequence, reason=result.reason)
    return ChainVerification(True, entries=result)


@api.get("/entries")
def list_entries(request: TrailReader, before: EntrySequence = None) -> list[TrailEntry]:
    """The newest entries of the trail, a hundred at a time."""
    with request.begin() as connection:
        return list(trail.entries(connection, before, limit=PAGE))


@api.get("/verification")
def verification(request: TrailReader) -> ChainVerification:
    """Whether the hash chain is intact."""
    with request.begin() as connection:
        return verify_chain(connection)


@pages.get("/audit")
def trail_page(request: TrailReader, before: EntrySequence = None) -> Response:
    """Newest entries and the state of the chain."""
    with request.begin() as connection:
        entries, verification = trail.entries(connection, before, limit=PAGE), verify_chain(connection)
    return request.page("audit.html", entries=entries, verification=verification, more=len(entries) == PAGE)
