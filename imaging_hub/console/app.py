"""Web app of the console."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from imaging_hub.console import receipt_downloads, review_originals, sender_onboarding, staff_actions, staff_pages
from imaging_hub.console.authorization import Console
from imaging_hub.console.page_texts import TEXTS
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway.console_operators import Operator, OperatorRole
from imaging_hub.http import health, login
from imaging_hub.http.pages import STATIC, PageTemplates
from imaging_hub.http.protection import protect
from imaging_hub.http.recent_audit_entries import RecentAuditEntries
from imaging_hub.http.sessions import BrowserSessions
from imaging_hub.intake.spool import open_spool
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings

_STAFF_NAVIGATION = (
    ("/", "Réception"),
    ("/quarantine", "Quarantaine"),
    ("/senders", "Expéditeurs"),
    ("/refusals", "Refus"),
    ("/retrievals", "Récupérations"),
    ("/health", "État"),
)


def create_console(settings: Settings, database: Database) -> FastAPI:
    """Create the app, which uses the database role `console` only."""
    app = FastAPI(title="Console", docs_url=None, redoc_url=None, openapi_url=None)
    pages = PageTemplates(Path(__file__).parent / "templates", _context)
    database_login = database.login(DatabaseRole.CONSOLE)
    spool = open_spool(settings, database_login)
    console = app.state.parts = Console(
        login=database_login,
        pages=pages,
        sessions=BrowserSessions.named("imaging_hub_console", settings.console_url),
        recent_entries=RecentAuditEntries(),
        settings=settings,
        spool=spool,
        pictures=FrameRenderer(lambda digest: bytes(spool.read(digest))),
    )
    pages_of = (
        part.router for part in (receipt_downloads, staff_actions, staff_pages, sender_onboarding, review_originals)
    )
    for router in (
        *pages_of,
        login.routes(console),
        health.liveness_route(),
        health.readiness_route(console.check_database),
    ):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.middleware("http")(_allow_hub_origin(settings.hub_url))
    protect(app, pages)
    return app


def _allow_hub_origin(
    hub: str,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Let pages of the hub's origin, and of no other, read the originals under review."""

    async def answer(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        if request.url.path.startswith(("/before/", "/session")):
            response.headers["Vary"] = "Origin"
            if request.headers.get("origin") == hub:
                response.headers["Access-Control-Allow-Origin"] = hub
                response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    return answer


def _context(request: Request) -> dict[str, Any]:
    person: Operator | None = getattr(request.state, "person", None)
    navigation = _STAFF_NAVIGATION if person and person.role is OperatorRole.HOSPITAL else ()
    return {"site": TEXTS, "person": person, "navigation": navigation}
