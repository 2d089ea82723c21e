"""What the console's routes stand on, and what its visits add to those of every app: roles, and looks at identities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.params import Depends

from imaging_hub.audit.trail import AuditAction
from imaging_hub.gateway import operators
from imaging_hub.gateway.operators import Operator, OperatorRole
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.http.visit import AppParts, Permission, Visit
from imaging_hub.intake.spool import Spool
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings

EVERYBODY = frozenset(OperatorRole)
STAFF = frozenset({OperatorRole.HOSPITAL})


@dataclass(frozen=True)
class Console(AppParts[Operator]):
    """One console's parts, shared by all its requests."""

    settings: Settings
    spool: Spool
    pictures: FrameRenderer

    def authenticate(self, token_hash: str) -> Operator | None:
        """Whose token this is; nobody's when its time is over."""
        with self.begin() as connection:
            return operators.authenticate(connection, token_hash, datetime.now(UTC))

    def not_authenticated(self) -> ProblemDetails:
        """In French, as the whole console."""
        return ProblemDetails(401, "not-authenticated", "Veuillez vous identifier.", hint="connectez-vous à la console")


@dataclass(frozen=True)
class ConsoleVisit(Visit[Console, Operator]):
    """An operator whose role has been checked."""

    def identity_seen(self, obj: str, what: str, *, every_time: bool = False) -> None:
        """Put on the trail, before it happens, that this person sees an identity; once a session, day and object."""
        self.note(AuditAction.IDENTITY_SEEN, obj, {"what": what}, every_time=every_time)


class RolePermission(Permission[Console, Operator, ConsoleVisit]):
    """The dependency behind `For`: knows its roles."""

    def __init__(self, roles: frozenset[OperatorRole]) -> None:
        self.roles = roles

    def admit(self, request: Request, app: Console, person: Operator, session: str) -> ConsoleVisit:
        """Who asks, if the role may; 403 for the other role."""
        if person.role not in self.roles:
            raise ProblemDetails(403, "role-lacks", "Votre rôle ne permet pas cette consultation.")
        return ConsoleVisit(request, app, person, session)


def For(roles: frozenset[OperatorRole]) -> Any:
    """Declares who a route is for."""
    return Depends(RolePermission(roles))


def console_of(request: Request) -> Console:
    """The console that serves this request."""
    console: Console = request.app.state.parts
    return console
