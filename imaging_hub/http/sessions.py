"""Who sends a request: a token in the Authorization header, or a browser session that holds it in a cookie.

The cookie is HttpOnly and SameSite=Strict and carries `nonce.token`: nothing is kept on the server, so a
revoked or expired account ends its sessions at the next request. Cookies ignore ports, so hub and console
name theirs differently; give the two zones host names of their own in production, and neither ever
receives the other's cookie.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.http.access_token import token_hash
from imaging_hub.http.problems import ProblemDetails

HOURS = 12  # a working day; closing the browser ends it sooner


@dataclass(frozen=True)
class RequestCredentials:
    """What a request brought to say who it is."""

    token_hash: str
    session: str
    """Tells two sessions of one person apart; of a bearer token, the token itself is the session."""


@dataclass(frozen=True)
class BrowserSessions:
    """The browser sessions of one app."""

    cookie: str
    secure: bool

    @classmethod
    def named(cls, cookie: str, origin: str) -> BrowserSessions:
        """Sessions under `cookie`, sent over TLS only where `origin` is https."""
        return cls(cookie, origin.startswith("https://"))

    def credentials(self, request: Request) -> RequestCredentials | None:
        """Token of the request, or None. Raises `ProblemDetails` on a change by cookie that came from elsewhere."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            digest = token_hash(token.strip())
            return RequestCredentials(digest, digest)
        nonce, _, token = request.cookies.get(self.cookie, "").partition(".")
        if not token:
            return None
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            refuse_foreign(request)
        digest = token_hash(token)
        return RequestCredentials(digest, hashlib.sha256(f"{nonce}.{digest}".encode()).hexdigest())

    def open(self, response: Response, token: str) -> None:
        """Begin a session for the bearer of `token`, who has been checked."""
        response.set_cookie(
            self.cookie,
            f"{secrets.token_urlsafe(12)}.{token}",
            max_age=HOURS * 3600,
            httponly=True,
            secure=self.secure,
            samesite="strict",
        )

    def close(self, response: Response) -> None:
        """End the session in this browser."""
        response.delete_cookie(self.cookie, httponly=True, secure=self.secure, samesite="strict")


def refuse_foreign(request: Request) -> None:
    """Refuse a change that another origin's page asked for (CSRF).

    Our own pages send no referrer, and a form of such a page sends `Origin: null`: there the browser's
    `Sec-Fetch-Site` speaks. Hub and console are one *site*, so `same-site` is not enough.
    """
    if request.headers.get("sec-fetch-site") == "same-origin":
        return
    if urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host"):
        return
    raise ProblemDetails(
        403, "foreign-origin", "This change was asked for by another site's page.", hint="use our own page"
    )


def local_path(path: str) -> str:
    """Where to go after signing in: a path of this app, never another site (`//host`, `https:`, `\\host`)."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
