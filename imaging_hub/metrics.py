"""Prometheus metrics of the gateway; labels are FINESS numbers, outcomes and reasons, never a UID."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class GatewayMetrics:
    """The metrics of one gateway process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instances = Counter(
            "imaging_hub_instances", "Instances answered.", ["finess", "outcome"], registry=self.registry
        )
        self.received_bytes = Counter(
            "imaging_hub_received_bytes", "Bytes of datasets received.", ["finess"], registry=self.registry
        )
        self.rejections = Counter(
            "imaging_hub_rejections", "Associations and contexts refused.", ["reason"], registry=self.registry
        )
        self.hangups = Counter(
            "imaging_hub_hangups",
            "Connections that ended otherwise than by a release.",
            ["reason"],
            registry=self.registry,
        )
        self.associations = Gauge("imaging_hub_associations", "Associations established.", registry=self.registry)
        self.spool_bytes = Gauge("imaging_hub_spool_bytes", "Bytes in the spool.", registry=self.registry)
        self.alarms = Gauge(
            "imaging_hub_rows_without_file", "Journal rows whose original is missing.", registry=self.registry
        )

    def exposition(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
