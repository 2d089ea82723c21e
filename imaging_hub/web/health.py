"""For the machinery around the hub: alive, ready, and figures without any UID or name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from imaging_hub.archive import reception, totals
from imaging_hub.cohorts import catalogue
from imaging_hub.http.peer import is_local
from imaging_hub.permits.policy import Action
from imaging_hub.review import verdicts
from imaging_hub.web.hub import Permission, hub_of

router = APIRouter(tags=["operation"])

_KIND = re.compile(r"[A-Za-z][A-Za-z_-]{1,39}")  # a code; a modality comes from data and might be anything

_FIGURES: dict[str, tuple[str, Callable[[Connection], Mapping[str, int]]]] = {
    "imaging_hub_instances": ("Instances by journal state.", reception.by_state),
    "imaging_hub_quarantined": ("Instances in quarantine by reason.", reception.quarantined_by_reason),
    "imaging_hub_studies": ("Archived studies by state.", totals.studies_by_state),
    "imaging_hub_series": ("Archived series by modality.", totals.series_by_modality),
    "imaging_hub_reviews": ("Series by review state.", verdicts.count_by_state),
    "imaging_hub_releases": ("Releases by state.", catalogue.releases_by_state),
}


@router.get("/healthz")
def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(request: Request) -> Response:
    """The database answers too; 503 until it does."""
    try:
        with hub_of(request).begin() as connection:
            connection.execute(text("SELECT 1 FROM hub.study LIMIT 1"))
    except SQLAlchemyError:
        return JSONResponse({"status": "database-unavailable"}, 503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Figures for Prometheus; to an operator, or to a collector on the same machine."""
    if not is_local(request):
        Permission(Action.METRICS_READ)(request)
    with hub_of(request).begin() as connection:
        return Response(generate_latest(_collected(connection)), media_type=CONTENT_TYPE_LATEST)


def _collected(connection: Connection) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, (help_text, counts) in _FIGURES.items():
        gauge = Gauge(name, help_text, ["kind"], registry=registry)
        for kind, count in counts(connection).items():
            gauge.labels(kind if _KIND.fullmatch(kind or "") else "other").set(count)
    return registry
