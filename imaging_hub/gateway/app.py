"""HTTP app of the gateway: STOW-RS, health and metrics."""

from __future__ import annotations

from typing import NoReturn

from fastapi import FastAPI, Request

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import stow
from imaging_hub.gateway.hospital_feed_metrics import FeedMetrics
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.http import health
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.http.protection import protect
from imaging_hub.settings import Settings


def create_app(settings: Settings, database: Database, server: StorageServer) -> FastAPI:
    """Create the app, which shares spool, journal and limits with the DICOM receiver."""
    app = FastAPI(title="Gateway", docs_url=None, redoc_url=None, openapi_url=None)
    login = database.login(DatabaseRole.GATEWAY)
    app.include_router(stow.router(settings, login, server.reception), prefix="/dicom-web")
    server.metrics.registry.register(FeedMetrics(login))
    for part in (
        health.liveness_route(),
        health.readiness_route(lambda: _refuse_unless_accepting(server)),
        health.metrics_route(server.metrics.exposition, _refuse_remote),
    ):
        app.include_router(part)
    protect(app, body_max_bytes=settings.stow_max_bytes)
    return app


def _refuse_unless_accepting(server: StorageServer) -> None:
    """Raise unless the journal answers and there is room."""
    if not server.reception.is_accepting() or server.reception.failed.is_set():
        raise ProblemDetails(503, "no-room", "There is no room for more at the moment.", hint="see imaging-hub doctor")


def _refuse_remote(request: Request) -> NoReturn:
    raise ProblemDetails(403, "not-local", "Metrics are given to collectors on the same machine only.")
