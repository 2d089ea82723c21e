"""The console put together: its routes, its sign-in, and who else may ask it something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from imaging_hub.console import before_images, first_study, lists, reports, staff_actions
from imaging_hub.console.reason_texts import SITE
from imaging_hub.console.visit import Console, Operator, OperatorRole, console_of
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.http import problems
from imaging_hub.http.pages import STATIC, PageTemplates
from imaging_hub.http.protection import RequestProtection, content_security_policy
from imaging_hub.http.recent_entries import RecentEntries
from imaging_hub.http.sessions import BrowserSessions, local_path, refuse_foreign, token_hash
from imaging_hub.intake.spool import open_spool
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings

router = APIRouter(include_in_schema=False)

_STAFF_NAVIGATION = (
    ("/", "Réception"),
    ("/quarantine", "Quarantaine"),
    ("/senders", "Expéditeurs"),
    ("/refusals", "Refus"),
    ("/retrievals", "Récupérations"),
    ("/health", "État"),
)


def create_console(settings: Settings, database: Database) -> FastAPI:
    """The console's app; it reaches the database as the console's role only."""
    app = FastAPI(title="Console", docs_url=None, redoc_url=None, openapi_url=None)
    pages = PageTemplates(Path(__file__).parent / "templates", _context)
    spool = open_spool(settings, database.login(DatabaseRole.CONSOLE))
    sessions = BrowserSessions.named("imaging_hub_console", settings.console_url)
    app.state.console = Console(
        settings,
        database,
        spool,
        pages,
        sessions,
        FrameRenderer(lambda digest: bytes(spool.read(digest))),
        RecentEntries(),
    )
    for part in (reports, staff_actions, lists, first_study, before_images):
        app.include_router(part.router)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    problems.install(app, pages)
    app.middleware("http")(_answer_the_hub(settings.hub_url))
    app.add_middleware(
        RequestProtection,
        policy=content_security_policy(),
        respond=lambda request, problem: problems.respond(request, problem, pages),
    )
    return app


def _answer_the_hub(
    hub: str,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Let pages of the hub's origin, and no others, read what `before` answers."""

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
    return {"site": SITE, "person": person, "navigation": navigation}


@router.get("/login")
def form(request: Request, next: str = "/") -> Response:
    """The form."""
    return console_of(request).pages.render(request, "login.html", {"refused": False, "next": local_path(next)})


@router.post("/login")
def sign_in(
    request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form()] = "/"
) -> Response:
    """Begin a session, or say that nobody has this token."""
    refuse_foreign(request)
    console = console_of(request)
    if console.person(token_hash(token.strip())) is None:
        return console.pages.render(request, "login.html", {"refused": True, "next": local_path(next)}, status=401)
    response = RedirectResponse(local_path(next), 303)
    console.sessions.open(response, token.strip())
    return response


@router.post("/logout")
def sign_out(request: Request) -> Response:
    """End the session in this browser."""
    refuse_foreign(request)
    response = RedirectResponse("/login", 303)
    console_of(request).sessions.close(response)
    return response


@router.get("/healthz")
def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(request: Request) -> Response:
    """The database answers too; 503 until it does."""
    try:
        with console_of(request).begin() as connection:
            connection.execute(text("SELECT 1 FROM identifying.study LIMIT 1"))
    except SQLAlchemyError:
        return JSONResponse({"status": "database-unavailable"}, 503)
    return JSONResponse({"status": "ready"})
