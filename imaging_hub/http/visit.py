"""One person's visit to one route. Each app says who its people are, how they are known and what a role allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import DatabaseLogin
from imaging_hub.http.pages import PageTemplates
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.http.recent_entries import RecentEntries
from imaging_hub.http.sessions import BrowserSessions


class NamedPerson(Protocol):
    """Somebody with a name for the trail."""

    @property
    def name(self) -> str:
        """Unique in the app."""


PersonT = TypeVar("PersonT", bound=NamedPerson)


@dataclass(frozen=True)
class AppParts(ABC, Generic[PersonT]):
    """What all requests of one app share; the app keeps it as `state.parts`."""

    login: DatabaseLogin
    pages: PageTemplates
    sessions: BrowserSessions
    remembered: RecentEntries

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction as the app's database role."""
        return self.login.begin()

    @abstractmethod
    def authenticate(self, token_hash: str) -> PersonT | None:
        """The bearer of the token with this hash; None when nobody has it."""

    @abstractmethod
    def not_authenticated(self) -> ProblemDetails:
        """The 401 for a request without a token that somebody has, in the app's language."""

    def may_sign_in(self, token_hash: str) -> bool:
        """Whether the bearer of this token may begin a session."""
        return self.authenticate(token_hash) is not None

    def answers(self) -> None:
        """Raise `SQLAlchemyError` where nobody could be recognised, because the database is away."""
        self.authenticate("")

    def recognise(self, request: Request) -> tuple[PersonT, str] | None:
        """Person and session of a request; None when it brings no token that somebody has."""
        credentials = self.sessions.credentials(request)
        person = self.authenticate(credentials.token_hash) if credentials else None
        if person is None or credentials is None:
            return None
        request.state.person = person
        return person, credentials.session


PartsT = TypeVar("PartsT", bound=AppParts[Any])


@dataclass(frozen=True)
class Visit(Generic[PartsT, PersonT]):
    """Somebody whose role has been checked, at one route."""

    request: Request
    app: PartsT
    person: PersonT
    session: str

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction as the app's database role."""
        return self.app.begin()

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """The page of that template for this person."""
        return self.app.pages.render(self.request, template, values, status=status)

    def note(
        self, action: AuditAction, obj: str, detail: Mapping[str, str | None], *, every_time: bool = False
    ) -> None:
        """Put on the trail, before it happens, what this person does to `obj`; once a session and day by default."""
        what = (self.session, datetime.now(UTC).date().isoformat(), action, obj, *map(str, detail.values()))
        if every_time or self.app.remembered.is_new(*what):
            with self.begin() as connection:
                trail.append(connection, self.person.name, action, obj, detail)
            self.app.remembered.done(*what)


VisitT = TypeVar("VisitT", covariant=True)


class Permission(ABC, Generic[PartsT, PersonT, VisitT]):
    """The dependency that a route declares once: an object, so that a test can list what every route asks for."""

    def __call__(self, request: Request) -> VisitT:
        """The visit of whoever asks; raises the 401 for nobody, and what `admit` raises."""
        app: PartsT = request.app.state.parts
        found = app.recognise(request)
        if found is None:
            raise app.not_authenticated()
        person, session = found
        return self.admit(request, app, person, session)

    @abstractmethod
    def admit(self, request: Request, app: PartsT, person: PersonT, session: str) -> VisitT:
        """The visit of a person whose role allows it; raises `ProblemDetails` (401 or 403) for others."""
