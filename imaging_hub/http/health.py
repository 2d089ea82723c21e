"""Routes for monitoring: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from imaging_hub.http.problem_details import database_unavailable


def liveness_route() -> APIRouter:
    """Create `/healthz`, which answers 200 while the process lives."""
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    return router


def readiness_route(probe: Callable[[], object]) -> APIRouter:
    """Create `/readyz`, which answers 200 if `probe` raises nothing, and 503 if the database does not answer."""
    router = APIRouter()

    @router.get("/readyz")
    def readyz() -> dict[str, str]:
        """The process and what it depends on answer."""
        try:
            probe()
        except SQLAlchemyError:
            raise database_unavailable() from None
        return {"status": "ready"}

    return router


def metrics_route(exposition: Callable[[], bytes], guard: Callable[[Request], object]) -> APIRouter:
    """Create `/metrics` in Prometheus' format; `guard` is called for a remote request, and raises to refuse it."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        """Metrics for Prometheus, without any UID or name."""
        if not _is_local(request):
            guard(request)
        return Response(exposition(), media_type=CONTENT_TYPE_LATEST)

    return router


def _is_local(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy, where every request would seem to."""
    forwarded = {"x-forwarded-for", "forwarded", "x-real-ip"} & set(request.headers)
    return request.client is not None and request.client.host in ("127.0.0.1", "::1") and not forwarded
