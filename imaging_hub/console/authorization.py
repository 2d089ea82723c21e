"""Authorisation of the console's requests by the operator's role, and the audit of looks at identities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.params import Depends

from imaging_hub.audit.trail import AuditAction
from imaging_hub.gateway import console_operators
from imaging_hub.gateway.console_operators import Operator, OperatorRole
from imaging_hub.http.authentication import AppParts, AuthenticatedRequest, Permission
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.intake.spool import Spool
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings

ALL_ROLES = frozenset(OperatorRole)
STAFF = frozenset({OperatorRole.HOSPITAL})


@dataclass(frozen=True)
class Console(AppParts[Operator]):
    """The parts of one console that all its requests share."""

    settings: Settings
    spool: Spool
    pictures: FrameRenderer

    def authenticate(self, token_hash: str) -> Operator | None:
        """Return the operator with that token hash; None when there is none or the token has expired."""
        with self.begin() as connection:
            return console_operators.authenticate(connection, token_hash, datetime.now(UTC))

    def not_authenticated(self) -> ProblemDetails:
        """Return the 401, in French as the whole console."""
        return ProblemDetails(401, "not-authenticated", "Veuillez vous identifier.", hint="connectez-vous à la console")


@dataclass(frozen=True)
class ConsoleRequest(AuthenticatedRequest[Console, Operator]):
    """A request of an operator whose role has been checked."""

    def record_identity_seen(self, obj: str, what: str, *, every_time: bool = False) -> None:
        """Record in the audit trail that this operator sees an identity: once per session and day, or every time."""
        self.record_action(AuditAction.IDENTITY_SEEN, obj, {"what": what}, every_time=every_time)


class RolePermission(Permission[Console, Operator, ConsoleRequest]):
    """Permission of a route by roles."""

    def __init__(self, roles: frozenset[OperatorRole]) -> None:
        self.roles = roles

    def admit(self, request: Request, app: Console, person: Operator, session: str) -> ConsoleRequest:
        """Return the request if the operator has one of the roles. Raises `ProblemDetails` 403."""
        if person.role not in self.roles:
            raise ProblemDetails(403, "role-lacks", "Votre rôle ne permet pas cette consultation.")
        return ConsoleRequest(request, app, person, session)


def RequiresRole(roles: frozenset[OperatorRole]) -> Any:
    """Declare the roles that a route is for."""
    return Depends(RolePermission(roles))


def get_console(request: Request) -> Console:
    """Return the parts of the console that serves this request."""
    console: Console = request.app.state.parts
    return console
