"""Prometheus metrics of the hub, without any UID or name."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from imaging_hub.archive import reception_counts, totals
from imaging_hub.cohorts import catalogue
from imaging_hub.review import verdicts
from imaging_hub.web.authorization import Hub

_KIND = re.compile(r"[A-Za-z][A-Za-z_-]{1,39}")  # a code; a modality comes from data and might be anything


def exposition(hub: Hub) -> bytes:
    """Count instances, studies, series and releases by kind, in Prometheus' text format."""
    with hub.begin() as connection:
        gauges = (
            ("imaging_hub_instances", "Instances by journal state.", reception_counts.count_by_state(connection, None)),
            (
                "imaging_hub_quarantined",
                "Quarantined by reason.",
                reception_counts.count_quarantined_by_reason(connection),
            ),
            ("imaging_hub_studies", "Archived studies by state.", totals.count_studies_by_state(connection)),
            ("imaging_hub_series", "Archived series by modality.", totals.count_series_by_modality(connection)),
            ("imaging_hub_reviews", "Series by review state.", verdicts.count_by_state(connection)),
            ("imaging_hub_releases", "Releases by state.", catalogue.count_releases_by_state(connection)),
        )
    registry = CollectorRegistry()
    for name, description, counts in gauges:
        gauge = Gauge(name, description, ["kind"], registry=registry)
        for kind, count in counts.items():
            gauge.labels(kind if _KIND.fullmatch(kind or "") else "other").inc(count)
    return generate_latest(registry)
