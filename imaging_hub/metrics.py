"""Numbers for whoever watches the receiver; labels are hospitals, outcomes and reasons, never a UID."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class GatewayMetrics:
    """What one gateway process counts."""

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
            "imaging_hub_hangups", "Connections that ended out of turn.", ["reason"], registry=self.registry
        )
        self.associations = Gauge("imaging_hub_associations", "Associations established.", registry=self.registry)
        self.spool_bytes = Gauge("imaging_hub_spool_bytes", "Bytes in the spool.", registry=self.registry)
        self.alarms = Gauge(
            "imaging_hub_rows_without_file", "Journal rows whose original is missing.", registry=self.registry
        )

    def exposition(self) -> bytes:
        """The numbers in Prometheus' text format."""
        return generate_latest(self.registry)
