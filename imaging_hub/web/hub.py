"""What the hub's routes stand on, and what its visits add to those of every app: the policy.

A route names the `Action` it is, as `visit: Annotated[HubVisit, Needs(Action.X)]`; that is checked before its
body runs, and the body asks again, by `visit.require`, once it knows which hospital, project or permit it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from fastapi import Request
from fastapi.params import Depends

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.audit.trail import AuditAction
from imaging_hub.http.problems import ProblemDetails, foreign
from imaging_hub.http.visit import AppParts, Permission, Visit
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


@dataclass(frozen=True)
class Hub(AppParts[RequestActor]):
    """One hub's parts, shared by all its requests."""

    settings: Settings
    objects: ObjectStore
    pictures: FrameRenderer

    def authenticate(self, token_hash: str) -> RequestActor | None:
        """The account whose token this is; an expired one too, so that its owner learns the cause."""
        with self.begin() as connection:
            return accounts.authenticate(connection, token_hash, datetime.now(UTC))

    def may_sign_in(self, token_hash: str) -> bool:
        """Whether this is the token of an account whose time is not over."""
        actor = self.authenticate(token_hash)
        return actor is not None and not actor.expired

    def not_authenticated(self) -> ProblemDetails:
        """For programs and people alike."""
        return ProblemDetails(
            401,
            "not-authenticated",
            "This needs an account.",
            hint="send `Authorization: Bearer TOKEN`, or sign in at /login",
            headers={"WWW-Authenticate": 'Bearer realm="imaging-hub"'},
        )


@dataclass(frozen=True)
class HubVisit(Visit[Hub, RequestActor]):
    """Somebody who may do `action` as far as the role goes."""

    action: Action

    def require(self, resource: RequestedResource, permit: Permit | None = None, *, obj: str = "") -> None:
        """Go on, or end the request: 404 for what belongs to others, 403 with a hint otherwise.

        A denial over an object `obj` is put on the trail, once a session.
        """
        decision = decide(self.person, self.action, resource, permit=permit, today=today())
        if not isinstance(decision, Denied):
            return
        if obj:
            self.note(AuditAction.ACCESS_DENIED, obj, {"reason": decision.reason.value})
        raise denial(decision)


def denial(decision: Denied) -> ProblemDetails:
    """How a denial is said to the one it concerns."""
    reason = decision.reason
    if reason in _FOREIGN:
        return foreign()
    status = 401 if reason is DenialReason.ACCOUNT_EXPIRED else 403
    return ProblemDetails(status, reason.value, decision.message, hint=decision.hint)


def allowed(outcome: T | Denied) -> T:
    """The outcome of an act that decides for itself, or the end of the request."""
    if isinstance(outcome, Denied):
        raise denial(outcome)
    return outcome


class ActionPermission(Permission[Hub, RequestActor, HubVisit]):
    """The dependency behind `Needs`: knows its action."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def admit(self, request: Request, app: Hub, person: RequestActor, session: str) -> HubVisit:
        """Who asks, if the role has this verb; 401 for an expired account, 403 for the wrong role."""
        decision = decide(person, self.action, ANY_RESOURCE, today=today())
        if isinstance(decision, Denied) and decision.reason in _AT_THE_DOOR:
            raise denial(decision)
        return HubVisit(request, app, person, session, self.action)


def Needs(action: Action) -> Any:
    """Declares a route's action."""
    return Depends(ActionPermission(action))


def today() -> date:
    """The day in UTC, as permits count."""
    return datetime.now(UTC).date()


def hub_of(request: Request) -> Hub:
    """The hub that serves this request."""
    hub: Hub = request.app.state.parts
    return hub
