"""What the hub's routes stand on, and the visit of one person to one route.

A route names the `Action` it is, as `visit: Annotated[Visit, Needs(Action.X)]`; that is checked before its
body runs, and the body asks again, by `visit.require`, once it knows which hospital, project or permit it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from fastapi import Request
from fastapi.params import Depends
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.audit import trail
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.http.pages import PageTemplates
from imaging_hub.http.problems import ProblemDetails, foreign
from imaging_hub.http.recent_entries import RecentEntries
from imaging_hub.http.sessions import BrowserSessions
from imaging_hub.permits import accounts
from imaging_hub.permits.policy import (
    ANY_RESOURCE,
    Action,
    DenialReason,
    Denied,
    Permit,
    RequestActor,
    RequestedResource,
    decide,
)
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings

T = TypeVar("T")

_AT_THE_DOOR = frozenset({DenialReason.ACCOUNT_EXPIRED, DenialReason.ROLE_LACKS})
"""Denials that need no resource to be known."""

_FOREIGN = frozenset(
    {DenialReason.OTHER_HOSPITAL, DenialReason.NO_PERMIT, DenialReason.NOT_A_HOLDER, DenialReason.OTHER_PROJECT}
)
"""Denials that would tell a stranger that something exists."""

_MESSAGES: dict[DenialReason, str] = {
    DenialReason.ACCOUNT_EXPIRED: "This account has expired.",
    DenialReason.ROLE_LACKS: "This account's role does not do this.",
    DenialReason.PERMIT_REVOKED: "The permit was withdrawn.",
    DenialReason.PERMIT_NOT_YET: "The permit is not in force yet.",
    DenialReason.PERMIT_EXPIRED: "The permit has expired.",
    DenialReason.SCOPE_EXCEEDED: "The permit's scope does not cover this.",
    DenialReason.REJECTED_IN_REVIEW: "A series of it was rejected in review.",
    DenialReason.NOT_REVIEWED: "A series of it is still waiting for review.",
    DenialReason.SUBJECT_OPPOSES: "A person in it has opposed the use of their data.",
    DenialReason.CHANGED_SINCE_FROZEN: "A series of it has changed since it was frozen.",
}


@dataclass(frozen=True)
class Hub:
    """One hub's parts, shared by all its requests."""

    settings: Settings
    database: Database
    objects: ObjectStore
    pages: PageTemplates
    sessions: BrowserSessions
    pictures: FrameRenderer
    remembered: RecentEntries

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction of the de-identified zone."""
        with self.database.begin(DatabaseRole.WEB) as connection:
            yield connection


def hub_of(request: Request) -> Hub:
    """The hub that serves this request."""
    hub: Hub = request.app.state.hub
    return hub


@dataclass(frozen=True)
class Visit:
    """Somebody who may do `action` as far as the role goes."""

    request: Request
    hub: Hub
    actor: RequestActor
    action: Action
    session: str

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction of the de-identified zone."""
        with self.hub.begin() as connection:
            yield connection

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """The page of that template for this person."""
        return self.hub.pages.render(self.request, template, values, status=status)

    def require(self, resource: RequestedResource, permit: Permit | None = None, *, obj: str = "") -> None:
        """Go on, or end the request: 404 for what belongs to others, 403 with a hint otherwise.

        A denial over an object `obj` is put on the trail, once a session.
        """
        decision = decide(self.actor, self.action, resource, permit=permit, today=today())
        if not isinstance(decision, Denied):
            return
        reason = decision.reason
        if obj and self.hub.remembered.is_new(self.session, obj, reason):
            with self.hub.begin() as connection:
                trail.append(
                    connection, self.actor.name, trail.AuditAction.ACCESS_DENIED, obj, {"reason": reason.value}
                )
            self.hub.remembered.done(self.session, obj, reason)
        raise denial(decision)


def denial(decision: Denied) -> ProblemDetails:
    """How a denial is said to the one it concerns."""
    reason = decision.reason
    if reason in _FOREIGN:
        return foreign()
    status = 401 if reason is DenialReason.ACCOUNT_EXPIRED else 403
    return ProblemDetails(status, reason.value, _MESSAGES[reason], hint=decision.hint)


def allowed(outcome: T | Denied) -> T:
    """The outcome of an act that decides for itself, or the end of the request."""
    if isinstance(outcome, Denied):
        raise denial(outcome)
    return outcome


class Permission:
    """The dependency behind `Needs`: knows its action, so that a test can list every route's."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def __call__(self, request: Request) -> Visit:
        """Who asks, if the role has this verb; 401 for nobody, 403 for the wrong role."""
        hub = hub_of(request)
        actor, session = authenticate(hub, request)
        decision = decide(actor, self.action, ANY_RESOURCE, today=today())
        if isinstance(decision, Denied) and decision.reason in _AT_THE_DOOR:
            raise denial(decision)
        return Visit(request, hub, actor, self.action, session)


def Needs(action: Action) -> Any:
    """Declares a route's action."""
    return Depends(Permission(action))


def authenticate(hub: Hub, request: Request) -> tuple[RequestActor, str]:
    """Account and session of a request; 401 when it brings no token or one that nobody has."""
    credentials = hub.sessions.credentials(request)
    if credentials is not None:
        with hub.begin() as connection:
            actor = accounts.authenticate(connection, credentials.token_hash, datetime.now(UTC))
        if actor is not None:
            request.state.person = actor
            return actor, credentials.session
    raise ProblemDetails(
        401,
        "not-authenticated",
        "This needs an account.",
        hint="send `Authorization: Bearer TOKEN`, or sign in at /login",
        headers={"WWW-Authenticate": 'Bearer realm="imaging-hub"'},
    )


def today() -> date:
    """The day in UTC, as permits count."""
    return datetime.now(UTC).date()
