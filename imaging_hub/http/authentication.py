"""Authentication of a request, and the request with its authenticated person as routes get it.

Each app defines its people, how a token identifies one, and what a role allows.
"""

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
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.http.recent_audit_entries import RecentAuditEntries
from imaging_hub.http.sessions import BrowserSessions


class NamedPerson(Protocol):
    """A person with a name for the audit trail."""

    @property
    def name(self) -> str:
        """Unique in the app."""


PersonT = TypeVar("PersonT", bound=NamedPerson)


@dataclass(frozen=True)
class AppParts(ABC, Generic[PersonT]):
    """The parts of one app that all its requests share, kept as `app.state.parts`."""

    login: DatabaseLogin
    pages: PageTemplates
    sessions: BrowserSessions
    recent_entries: RecentAuditEntries

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin a transaction as the app's database role."""
        return self.login.begin()

    @abstractmethod
    def authenticate(self, token_hash: str) -> PersonT | None:
        """Return the person with that token hash, or None."""

    @abstractmethod
    def not_authenticated(self) -> ProblemDetails:
        """Return the 401 for a request without a valid token, in the app's language."""

    def may_sign_in(self, token_hash: str) -> bool:
        """Whether the person with that token hash may start a session."""
        return self.authenticate(token_hash) is not None

    def check_database(self) -> None:
        """Raise `SQLAlchemyError` if the database does not answer."""
        self.authenticate("")

    def authenticate_request(self, request: Request) -> tuple[PersonT, str] | None:
        """Return person and session of a request; None without a valid token."""
        credentials = self.sessions.credentials(request)
        person = self.authenticate(credentials.token_hash) if credentials else None
        if person is None or credentials is None:
            return None
        request.state.person = person
        return person, credentials.session


PartsT = TypeVar("PartsT", bound=AppParts[Any])


@dataclass(frozen=True)
class AuthenticatedRequest(Generic[PartsT, PersonT]):
    """A request whose person is known and whose role has been checked."""

    http: Request
    app: PartsT
    person: PersonT
    session: str

    def begin(self) -> AbstractContextManager[Connection]:
        """Begin a transaction as the app's database role."""
        return self.app.begin()

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Render a page for this person."""
        return self.app.pages.render(self.http, template, values, status=status)

    def record_action(
        self, action: AuditAction, obj: str, detail: Mapping[str, str | None], *, every_time: bool = False
    ) -> None:
        """Record an action on `obj` in the audit trail before it happens; by default once per session and day."""
        entry = (self.session, datetime.now(UTC).date().isoformat(), action, obj, *map(str, detail.values()))
        if every_time or self.app.recent_entries.is_new(*entry):
            with self.begin() as connection:
                trail.append(connection, self.person.name, action, obj, detail)
            self.app.recent_entries.add(*entry)


RequestT = TypeVar("RequestT", covariant=True)


class Permission(ABC, Generic[PartsT, PersonT, RequestT]):
    """Dependency of a route that checks what its person may do; tests read from it what each route requires."""

    def __call__(self, request: Request) -> RequestT:
        """Authenticate and authorise the request. Raises `ProblemDetails` 401, or what `admit` raises."""
        app: PartsT = request.app.state.parts
        authenticated = app.authenticate_request(request)
        if authenticated is None:
            raise app.not_authenticated()
        person, session = authenticated
        return self.admit(request, app, person, session)

    @abstractmethod
    def admit(self, request: Request, app: PartsT, person: PersonT, session: str) -> RequestT:
        """Return the request if the person's role allows it. Raises `ProblemDetails` 401 or 403."""
