"""What a watcher asks of the hospitals' feeds: is each alive, how long has work waited, what is held and why."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin

_LAST = """
    SELECT n.finess, extract(epoch FROM max(s.last_received_at))
    FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n
    LEFT JOIN identifying.study s ON s.hospital = n.hospital GROUP BY n.finess
"""
_OLDEST = """
    SELECT n.finess, extract(epoch FROM clock_timestamp() - min(s.last_received_at))
    FROM (SELECT DISTINCT hospital, finess FROM identifying.sender) AS n
    LEFT JOIN identifying.study s ON s.hospital = n.hospital AND s.state <> 'PROCESSED' GROUP BY n.finess
"""
_HELD = """
    SELECT finess, reason, count(*) FROM identifying.instance WHERE state = 'QUARANTINED' GROUP BY finess, reason
"""


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
                for family, query in ((last, _LAST), (oldest, _OLDEST), (held, _HELD)):
                    for *labels, value in connection.execute(text(query)):
                        family.add_metric(labels, float(value or 0))
        except SQLAlchemyError:
            yield _journal_up(0)
        else:
            yield from (_journal_up(1), last, oldest, held)


def _journal_up(value: float) -> Metric:
    return GaugeMetricFamily("imaging_hub_journal_up", "1 while the journal can be read.", value=value)
