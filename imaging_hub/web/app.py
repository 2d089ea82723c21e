"""The hub's web app, put together: API under /api/v1, DICOMweb under /dicom-web, pages under /."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from imaging_hub import __version__
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicomweb import routes
from imaging_hub.http import health, login
from imaging_hub.http.pages import STATIC, PageTemplates
from imaging_hub.http.protection import protect
from imaging_hub.http.recent_entries import RecentEntries
from imaging_hub.http.sessions import BrowserSessions
from imaging_hub.permits.policy import Action
from imaging_hub.pixels.rendering import FrameRenderer
from imaging_hub.settings import Settings
from imaging_hub.web import (
    client_wheel,
    cohorts,
    documentation,
    figures,
    linkage,
    overview,
    permits,
    quarantine,
    reconciliation,
    releases,
    reviews,
    site,
    studies,
    trail,
)
from imaging_hub.web.hub import ActionPermission, Hub, Needs

_RESOURCES = (overview, studies, quarantine, reconciliation, linkage, reviews, cohorts, releases, permits, trail)


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The app of one hub; it reaches the database as the web's role only."""
    app = FastAPI(
        title="Imaging Hub",
        version=__version__,
        description="De-identified medical images: studies, reviews, cohorts and releases. Errors are RFC 9457.",
        docs_url=None,
        redoc_url=None,
    )
    pages = PageTemplates(Path(__file__).parent / "templates", site.context)
    objects = ObjectStore(settings.objects)
    database_login = database.login(DatabaseRole.WEB)
    hub = app.state.parts = Hub(
        login=database_login,
        pages=pages,
        sessions=BrowserSessions.named("imaging_hub", settings.hub_url),
        remembered=RecentEntries(),
        settings=settings,
        objects=objects,
        pictures=FrameRenderer(objects.get),
    )
    for resource in _RESOURCES:
        app.include_router(resource.api)
        app.include_router(resource.pages)
    app.include_router(login.routes(hub))
    app.include_router(documentation.pages)
    for part in (
        health.alive(),
        health.ready(hub.answers),
        health.figures(lambda: figures.exposition(hub), ActionPermission(Action.METRICS_READ)),
    ):
        app.include_router(part, tags=["operation"])
    app.include_router(client_wheel.pages)
    app.include_router(routes.router(database_login, objects, Needs, origin=settings.hub_url), prefix="/dicom-web")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    protect(app, pages, partner=settings.console_url)
    return app
