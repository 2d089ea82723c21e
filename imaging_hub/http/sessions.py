"""Credentials of a request: a bearer token, or a browser session that has the token in a cookie.

The cookie is HttpOnly and SameSite=Strict and carries `nonce.token`. Nothing is kept on the server, so that a revoked
or expired account ends its sessions at the next request. Cookies ignore ports, so hub and console name theirs
differently; in production, give them host names of their own, and neither receives the other's cookie.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.http.access_token import token_hash
from imaging_hub.http.problem_details import ProblemDetails

COOKIE_HOURS = 12  # a working day


@dataclass(frozen=True)
class RequestCredentials:
    """Hash of the token in a request, and an id of the session."""

    token_hash: str
    session: str
    """Tells the sessions of one person apart; with a bearer token, the token's hash."""


@dataclass(frozen=True)
class BrowserSessions:
    """Browser sessions of one app."""

    cookie: str
    secure: bool

    @classmethod
    def named(cls, cookie: str, origin: str) -> BrowserSessions:
        """Create sessions with the cookie `cookie`, which is sent over TLS only if `origin` is https."""
        return cls(cookie, origin.startswith("https://"))

    def credentials(self, request: Request) -> RequestCredentials | None:
        """Return the credentials of a request, or None.

        Raises `ProblemDetails` 403 for a change by cookie that another origin's page requests.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = token_hash(token.strip())
            return RequestCredentials(digest, digest)
        nonce, _, token = request.cookies.get(self.cookie, "").partition(".")
        if not token:
            return None
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            refuse_cross_origin(request)
        digest = token_hash(token)
        return RequestCredentials(digest, hashlib.sha256(f"{nonce}.{digest}".encode()).hexdigest())

    def open(self, response: Response, token: str) -> None:
        """Start a session for `token`, which has been verified."""
        response.set_cookie(
            self.cookie,
            f"{secrets.token_urlsafe(12)}.{token}",
            max_age=COOKIE_HOURS * 3600,
            httponly=True,
            secure=self.secure,
            samesite="strict",
        )

    def close(self, response: Response) -> None:
        """End the session of this browser."""
        response.delete_cookie(self.cookie, httponly=True, secure=self.secure, samesite="strict")


def refuse_cross_origin(request: Request) -> None:
    """Raise `ProblemDetails` 403 for a change that another origin's page requests (CSRF).

    Our pages send no referrer, so that their forms send `Origin: null`; then `Sec-Fetch-Site` decides. Hub and console
    are one *site*, so that `same-site` does not suffice.
    """
    if request.headers.get("sec-fetch-site") == "same-origin":
        return
    if urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host"):
        return
    raise ProblemDetails(
        403, "foreign-origin", "This change was asked for by another site's page.", hint="use our own page"
    )


def local_path(path: str) -> str:
    """Return `path` if it is a path of this app, otherwise `/`: never another site (`//host`, `https:`, `\\host`)."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
