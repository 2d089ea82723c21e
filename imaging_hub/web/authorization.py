"""Authorisation of the hub's requests by the policy of `permits`.

A route declares its `Action`, as `request: Annotated[HubRequest, RequiresAction(Action.X)]`, which is checked before
its body runs. The body calls `request.require` once it knows the hospital, project or permit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from fastapi import Request
from fastapi.params import Depends

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.audit.trail import AuditAction
from imaging_hub.http.authentication import AppParts, AuthenticatedRequest, Permission
from imaging_hub.http.problem_details import ProblemDetails, not_found_or_foreign
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

_RESOURCE_INDEPENDENT = frozenset({DenialReason.ACCOUNT_EXPIRED, DenialReason.ROLE_LACKS})
"""Reasons that do not depend on a resource."""

_CONCEALED = frozenset(
    {DenialReason.OTHER_HOSPITAL, DenialReason.NO_PERMIT, DenialReason.NOT_A_HOLDER, DenialReason.OTHER_PROJECT}
)
"""Reasons that would tell a stranger that something exists, answered as not found."""


@dataclass(frozen=True)
class Hub(AppParts[RequestActor]):
    """The parts of one hub that all its requests share."""

    settings: Settings
    objects: ObjectStore
    pictures: FrameRenderer

    def authenticate(self, token_hash: str) -> RequestActor | None:
        """Return the account with that token hash, expired or not, or None."""
        with self.begin() as connection:
            return accounts.authenticate(connection, token_hash, datetime.now(UTC))

    def may_sign_in(self, token_hash: str) -> bool:
        """Whether the account with that token hash exists and has not expired."""
        actor = self.authenticate(token_hash)
        return actor is not None and not actor.expired

    def not_authenticated(self) -> ProblemDetails:
        """Return the 401 for programs and people."""
        return ProblemDetails(
            401,
            "not-authenticated",
            "This needs an account.",
            hint="send `Authorization: Bearer TOKEN`, or sign in at /login",
            headers={"WWW-Authenticate": 'Bearer realm="imaging-hub"'},
        )


@dataclass(frozen=True)
class HubRequest(AuthenticatedRequest[Hub, RequestActor]):
    """A request whose account's role allows `action`."""

    action: Action

    def require(self, resource: RequestedResource, permit: Permit | None = None, *, obj: str = "") -> None:
        """Raise `ProblemDetails` unless the policy allows the action: 404 for what belongs to others, otherwise 403.

        A denial over the object `obj` is recorded in the audit trail, once a session.
        """
        decision = decide(self.person, self.action, resource, permit=permit, today=today())
        if not isinstance(decision, Denied):
            return
        if obj:
            self.record_action(AuditAction.ACCESS_DENIED, obj, {"reason": decision.reason.value})
        raise denial_problem(decision)


def denial_problem(decision: Denied) -> ProblemDetails:
    """Return the problem for a denial."""
    reason = decision.reason
    if reason in _CONCEALED:
        return not_found_or_foreign()
    status = 401 if reason is DenialReason.ACCOUNT_EXPIRED else 403
    return ProblemDetails(status, reason.value, decision.message, hint=decision.hint)


def allowed_or_raise(outcome: T | Denied) -> T:
    """Return the outcome of a function that decides itself. Raises `ProblemDetails` for a denial."""
    if isinstance(outcome, Denied):
        raise denial_problem(outcome)
    return outcome


class ActionPermission(Permission[Hub, RequestActor, HubRequest]):
    """Permission of a route by its action."""

    def __init__(self, action: Action) -> None:
        self.action = action

    def admit(self, request: Request, app: Hub, person: RequestActor, session: str) -> HubRequest:
        """Return the request if the role allows the action. Raises `ProblemDetails` 401 or 403."""
        decision = decide(person, self.action, ANY_RESOURCE, today=today())
        if isinstance(decision, Denied) and decision.reason in _RESOURCE_INDEPENDENT:
            raise denial_problem(decision)
        return HubRequest(request, app, person, session, self.action)


def RequiresAction(action: Action) -> Any:
    """Declare the action of a route."""
    return Depends(ActionPermission(action))


def today() -> date:
    """Return the date in UTC, by which permits are valid."""
    return datetime.now(UTC).date()


def get_hub(request: Request) -> Hub:
    """Return the parts of the hub that serves this request."""
    hub: Hub = request.app.state.parts
    return hub
