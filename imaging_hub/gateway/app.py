"""The gateway's HTTP side: STOW-RS beside the DICOM port, whether it is alive, and its numbers."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import stow
from imaging_hub.gateway.feed_metrics import FeedMetrics
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.http import problems
from imaging_hub.http.peer import is_local
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.http.protection import RequestProtection, content_security_policy
from imaging_hub.settings import Settings


def create_app(settings: Settings, database: Database, server: StorageServer) -> FastAPI:
    """The app; it shares the receiver's spool, journal and limits."""
    app = FastAPI(title="Gateway", docs_url=None, redoc_url=None, openapi_url=None)
    login = database.login(DatabaseRole.GATEWAY)
    app.include_router(stow.router(settings, login, server.reception), prefix="/dicom-web")
    server.metrics.registry.register(FeedMetrics(login))

    @app.get("/healthz")
    def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def ready() -> Response:
        """The journal answers and there is room; 503 until both are so."""
        try:
            accepting = server.reception.accepting() and not server.reception.failed.is_set()
        except SQLAlchemyError:
            return JSONResponse({"status": "database-unavailable"}, 503)
        return JSONResponse({"status": "ready" if accepting else "no-room"}, 200 if accepting else 503)

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        """The gateway's numbers, to collectors on the same machine."""
        if not is_local(request):
            raise ProblemDetails(403, "not-local", "Metrics are given to collectors on the same machine only.")
        return Response(server.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    problems.install(app)
    app.add_middleware(
        RequestProtection,
        policy=content_security_policy(),
        respond=problems.respond,
        body_max_bytes=settings.stow_max_bytes,
    )
    return app
