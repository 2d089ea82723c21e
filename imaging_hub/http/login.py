"""Signing in and out of an app's pages. The token comes by POST; a link may bring it in its fragment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from imaging_hub.http.access_token import token_hash
from imaging_hub.http.sessions import local_path, refuse_foreign
from imaging_hub.http.visit import AppParts


def routes(app: AppParts[Any]) -> APIRouter:
    """`/login` and `/logout` of one app, with its own words around the form."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def form(request: Request, next: str = "/") -> Response:
        """The form; a program has no use for it."""
        return app.pages.render(request, "login.html", {"refused": False, "next": local_path(next)})

    @router.post("/login")
    def sign_in(
        request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form()] = "/"
    ) -> Response:
        """Begin a session, or say that nobody has this token: not whose it was, nor why."""
        refuse_foreign(request)
        if not app.may_sign_in(token_hash(token.strip())):
            return app.pages.render(request, "login.html", {"refused": True, "next": local_path(next)}, status=401)
        response = RedirectResponse(local_path(next), 303)
        app.sessions.open(response, token.strip())
        return response

    @router.post("/logout")
    def sign_out(request: Request) -> Response:
        """End the session in this browser."""
        refuse_foreign(request)
        response = RedirectResponse("/login", 303)
        app.sessions.close(response)
        return response

    return router
