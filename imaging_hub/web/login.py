"""Signing in and out of the pages. The token comes by POST; a link may bring it in its fragment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from imaging_hub.http.sessions import local_path, refuse_foreign, token_hash
from imaging_hub.permits import accounts
from imaging_hub.web.hub import hub_of

pages = APIRouter(include_in_schema=False)


@pages.get("/login")
def form(request: Request, next: str = "/") -> Response:
    """The form; a program has no use for it."""
    return hub_of(request).pages.render(request, "login.html", {"refused": False, "next": local_path(next)})


@pages.post("/login")
def sign_in(
    request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form()] = "/"
) -> Response:
    """Begin a session, or say that nobody has this token: not whose it was, nor why."""
    refuse_foreign(request)
    hub = hub_of(request)
    with hub.begin() as connection:
        actor = accounts.authenticate(connection, token_hash(token.strip()), datetime.now(UTC))
    if actor is None or actor.expired:
        return hub.pages.render(request, "login.html", {"refused": True, "next": local_path(next)}, status=401)
    response = RedirectResponse(local_path(next), 303)
    hub.sessions.open(response, token.strip())
    return response


@pages.post("/logout")
def sign_out(request: Request) -> Response:
    """End the session in this browser."""
    refuse_foreign(request)
    response = RedirectResponse("/login", 303)
    hub_of(request).sessions.close(response)
    return response
