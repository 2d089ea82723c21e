"""Who is at the console, and what the role may see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fastapi import Request
from fastapi.params import Depends
from sqlalchemy import Connection, text
from starlette.responses import Response

from imaging_hub.audit import trail
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.http.pages import PageTemplates
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.http.recent_entries import RecentEntries
from imaging_hub.http.sessions import BrowserSessions
from imaging_hub.intake.spool import Spool
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings


class OperatorRole(StrEnum):
    """What an operator of the identifying zone is for."""

    HOSPITAL = "hospital"  # sees what came and what is held
    RADIOLOGIST = "radiologist"  # sees the BEFORE of a review


EVERYBODY = frozenset(OperatorRole)
STAFF = frozenset({OperatorRole.HOSPITAL})


@dataclass(frozen=True)
class Operator:
    """An operator of the identifying zone."""

    name: str
    role: OperatorRole


@dataclass(frozen=True)
class Console:
    """One console's parts, shared by all its requests."""

    settings: Settings
    database: Database
    spool: Spool
    pages: PageTemplates
    sessions: BrowserSessions
    pictures: FrameRenderer
    remembered: RecentEntries

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction as the console's role."""
        with self.database.begin(DatabaseRole.CONSOLE) as connection:
            yield connection

    def person(self, hashed_token: str) -> Operator | None:
        """Whose token this is; nobody's when its time is over."""
        with self.begin() as connection:
            row = connection.execute(
                text("SELECT name, role FROM identifying.operator WHERE token_hash = :hash AND expires_at > :now"),
                {"hash": hashed_token, "now": datetime.now(UTC)},
            ).one_or_none()
        return Operator(row.name, OperatorRole(row.role)) if row else None


@dataclass(frozen=True)
class Visit:
    """Somebody whose role has been checked."""

    request: Request
    console: Console
    person: Operator
    session: str

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction as the console's role."""
        with self.console.begin() as connection:
            yield connection

    def page(self, template: str, **values: Any) -> Response:
        """The page of that template for this person."""
        return self.console.pages.render(self.request, template, values)

    def identity_seen(self, obj: str, what: str, *, every_time: bool = False) -> None:
        """Put on the trail, before it happens, that this person sees an identity; once a session and object."""
        if every_time or self.console.remembered.is_new(self.session, obj, what):
            with self.begin() as connection:
                trail.append(connection, self.person.name, trail.AuditAction.IDENTITY_SEEN, obj, {"what": what})
            self.console.remembered.done(self.session, obj, what)


class Permission:
    """The dependency behind `For`: knows its roles, so that a test can list every route's."""

    def __init__(self, roles: frozenset[OperatorRole]) -> None:
        self.roles = roles

    def __call__(self, request: Request) -> Visit:
        """Who asks, if the role may; 401 for nobody, 403 for the other role."""
        console = console_of(request)
        found = recognise(console, request)
        if found is None:
            raise ProblemDetails(
                401, "not-authenticated", "Veuillez vous identifier.", hint="connectez-vous à la console"
            )
        person, session = found
        if person.role not in self.roles:
            raise ProblemDetails(403, "role-lacks", "Votre rôle ne permet pas cette consultation.")
        return Visit(request, console, person, session)


def For(roles: frozenset[OperatorRole]) -> Any:
    """Declares who a route is for."""
    return Depends(Permission(roles))


def console_of(request: Request) -> Console:
    """The console that serves this request."""
    console: Console = request.app.state.console
    return console


def recognise(console: Console, request: Request) -> tuple[Operator, str] | None:
    """Person and session of a request, if it brings a token that somebody has."""
    credentials = console.sessions.credentials(request)
    person = console.person(credentials.token_hash) if credentials else None
    if person is None or credentials is None:
        return None
    request.state.person = person
    return person, credentials.session
