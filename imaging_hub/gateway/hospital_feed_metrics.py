"""Prometheus metrics of each hospital's feed: last arrival, longest wait, instances in quarantine."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin
from imaging_hub.intake import hospital_feeds


class FeedMetrics(Collector):
    """Collector that reads the journal at each scrape; labels are FINESS numbers and reason codes, never a UID."""

    def __init__(self, login: DatabaseLogin) -> None:
        self._login = login

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, since the registry would otherwise query the journal when it registers."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield whether the journal answers and, if it does, the metrics of each hospital."""
        last = GaugeMetricFamily(
            "imaging_hub_feed_last_received_timestamp_seconds",
            "When a study of this hospital last grew; 0 when nothing ever came.",
            labels=["finess"],
        )
        oldest = GaugeMetricFamily(
            "imaging_hub_feed_oldest_unprocessed_seconds",
            "How long the oldest study that is not processed has had no news; 0 when none waits.",
            labels=["finess"],
        )
        held = GaugeMetricFamily(
            "imaging_hub_feed_quarantined_instances", "Instances in quarantine.", labels=["finess", "reason"]
        )
        try:
            with self._login.begin() as connection:
                for finess, moment in hospital_feeds.last_received_at(connection).items():
                    last.add_metric([finess], moment)
                for finess, seconds in hospital_feeds.longest_wait_seconds(connection).items():
                    oldest.add_metric([finess], seconds)
                for labels, instances in hospital_feeds.count_quarantined(connection).items():
                    held.add_metric(labels, instances)
        except SQLAlchemyError:
            yield _journal_up(0)
        else:
            yield from (_journal_up(1), last, oldest, held)


def _journal_up(value: float) -> Metric:
    return GaugeMetricFamily("imaging_hub_journal_up", "1 while the journal can be read.", value=value)
