"""What a watcher asks of the hospitals' feeds: is each alive, how long has work waited, what is held and why."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin
from imaging_hub.intake import feed_status


class FeedMetrics(Collector):
    """Read from the journal at each scrape; labels are FINESS numbers and reason codes, never a UID."""

    def __init__(self, login: DatabaseLogin) -> None:
        self._login = login

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the registry would ask the journal."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Whether the journal answers and, when it does, what it says of each hospital."""
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
                for finess, moment in feed_status.last_received_at(connection).items():
                    last.add_metric([finess], moment)
                for finess, seconds in feed_status.longest_wait_seconds(connection).items():
                    oldest.add_metric([finess], seconds)
                for labels, instances in feed_status.count_quarantined(connection).items():
                    held.add_metric(labels, instances)
        except SQLAlchemyError:
            yield _journal_up(0)
        else:
            yield from (_journal_up(1), last, oldest, held)


def _journal_up(value: float) -> Metric:
    return GaugeMetricFamily("imaging_hub_journal_up", "1 while the journal can be read.", value=value)
