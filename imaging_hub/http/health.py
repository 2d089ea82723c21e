"""For the machinery around an app: alive, ready, and figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from imaging_hub.http.peer import is_local
from imaging_hub.http.problems import database_unavailable


def alive() -> APIRouter:
    """`/healthz`."""
    router = APIRouter()

    @router.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    return router


def ready(probe: Callable[[], object]) -> APIRouter:
    """`/readyz`: ready where `probe` raises nothing; its problem otherwise, and 503 for a database that is away."""
    router = APIRouter()

    @router.get("/readyz")
    def readyz() -> dict[str, str]:
        """What the process stands on answers too; 503 until it does."""
        try:
            probe()
        except SQLAlchemyError:
            raise database_unavailable() from None
        return {"status": "ready"}

    return router


def figures(exposition: Callable[[], bytes], guard: Callable[[Request], object]) -> APIRouter:
    """`/metrics` in Prometheus' form: to collectors on the same machine, and to whom `guard` does not refuse."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        """Figures for Prometheus, to collectors on the same machine; without any UID or name."""
        if not is_local(request):
            guard(request)
        return Response(exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
