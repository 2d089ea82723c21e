"""Log of refused associations and presentation contexts with their causes, bounded in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import DatabaseLogin
from imaging_hub.gateway.connection import EndReason, PeerConnection
from imaging_hub.log import log
from imaging_hub.metrics import GatewayMetrics

REPEAT_SECONDS = 60.0
"""The same cause is recorded once in this time."""
REMEMBERED_CAUSES = 256
"""Causes remembered; further ones within `REPEAT_SECONDS` are counted and not recorded."""
KEPT_DAYS = 30


class RefusalReason(StrEnum):
    """Why an association or a presentation context was refused; meaning and remedy: `reasons.association_refusals`."""

    UNKNOWN_SENDER = "unknown-sender"
    WRONG_CALLED_AE_TITLE = "wrong-called-ae-title"
    WRONG_ADDRESS = "wrong-address"
    WRONG_CERTIFICATE = "wrong-certificate"
    MAY_NOT_RETRIEVE = "may-not-retrieve"
    NOT_DICOM_CONTEXT = "application-context"
    SPOOL_FULL = "spool-full"
    DATABASE_AWAY = "database-away"
    SHUTTING_DOWN = "shutting-down"
    TOO_MANY_ASSOCIATIONS = "too-many-associations"
    NOT_DICOM = "not-dicom"
    UNEXPECTED_TLS = "unexpected-tls"
    MISSING_TLS = "missing-tls"
    TLS_VERSION = "tls-version"
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    OUR_CERTIFICATE = "our-certificate-refused"
    SOP_CLASS = "sop-class-refused"
    TRANSFER_SYNTAX = "transfer-syntax-refused"


_REFUSAL_OF_END = {
    EndReason.EVICTED: RefusalReason.TOO_MANY_ASSOCIATIONS,
    EndReason.NOT_DICOM: RefusalReason.NOT_DICOM,
    EndReason.UNEXPECTED_TLS: RefusalReason.UNEXPECTED_TLS,
    EndReason.MISSING_TLS: RefusalReason.MISSING_TLS,
    EndReason.TLS_VERSION: RefusalReason.TLS_VERSION,
    EndReason.CERTIFICATE_MISSING: RefusalReason.CERTIFICATE_MISSING,
    EndReason.CERTIFICATE_EXPIRED: RefusalReason.CERTIFICATE_EXPIRED,
    EndReason.CERTIFICATE_UNTRUSTED: RefusalReason.CERTIFICATE_UNTRUSTED,
    EndReason.OUR_CERTIFICATE: RefusalReason.OUR_CERTIFICATE,
}
"""Ends of a connection, before the peer was identified, that are recorded as refusals."""


@dataclass(frozen=True, slots=True)
class RefusalCause:
    """A refusal: the peer, the reason, and what was refused."""

    address: str
    calling_ae_title: str
    called_ae_title: str
    reason: RefusalReason
    syntax: str = ""
    """The SOP Class or Transfer Syntax that was refused."""


@dataclass(frozen=True)
class RefusalSummary:
    """A recorded refusal of an association or presentation context."""

    at: datetime
    address: str
    calling_ae_title: str
    called_ae_title: str
    reason: str
    syntax: str


_SUMMARY = "SELECT at, abbrev(address), calling_ae_title, called_ae_title, reason, syntax FROM identifying.rejection"


def list_recent(connection: Connection, *, limit: int) -> Sequence[RefusalSummary]:
    """List refusals, the latest first."""
    rows = connection.execute(text(f"{_SUMMARY} ORDER BY id DESC LIMIT :limit"), {"limit": limit})
    return [RefusalSummary(*row) for row in rows]


def find_last(connection: Connection, calling_ae_title: str, since: datetime) -> RefusalSummary | None:
    """Return the last refusal of a calling AE title after `since`, or None."""
    row = connection.execute(
        text(f"{_SUMMARY} WHERE calling_ae_title = :title AND at > :since ORDER BY id DESC LIMIT 1"),
        {"title": calling_ae_title, "since": since},
    ).one_or_none()
    return RefusalSummary(*row) if row else None


def list_causes_of_last_day(connection: Connection) -> Sequence[RefusalCause]:
    """List the distinct causes of the last 24 hours, 50 at most, by address."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT abbrev(address) AS address, calling_ae_title, called_ae_title, reason, syntax"
            " FROM identifying.rejection WHERE at > now() - interval '1 day' ORDER BY 1, 2, 4 LIMIT 50"
        )
    )
    return [
        RefusalCause(row.address, row.calling_ae_title, row.called_ae_title, RefusalReason(row.reason), row.syntax)
        for row in rows
    ]


class RejectionLog:
    """Records refusals, each cause at most once in `REPEAT_SECONDS`."""

    def __init__(
        self, login: DatabaseLogin, metrics: GatewayMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._login = login
        self._metrics = metrics
        self._clock = clock
        self._recent: OrderedDict[RefusalCause, float] = OrderedDict()
        self._lock = Lock()

    def record(self, *causes: RefusalCause) -> None:
        """Record refusals; a database that does not answer is logged, not raised."""
        for cause in causes:
            self._metrics.rejections.labels(cause.reason).inc()
        new = [cause for cause in causes if self._is_new(cause)]
        if not new:
            return
        for cause in new:
            log.warning("rejected", reason=cause.reason.value, address=cause.address)
        try:
            with self._login.begin() as connection:
                connection.execute(
                    text(
                        "INSERT INTO identifying.rejection (address, calling_ae_title, called_ae_title, reason, syntax)"
                        " VALUES (CAST(:address AS inet), :calling, :called, :reason, :syntax)"
                    ),
                    [
                        {
                            "address": cause.address,
                            "calling": cause.calling_ae_title,
                            "called": cause.called_ae_title,
                            "reason": cause.reason.value,
                            "syntax": cause.syntax,
                        }
                        for cause in new
                    ],
                )
                connection.execute(
                    text("DELETE FROM identifying.rejection WHERE at < now() - make_interval(days => :days)"),
                    {"days": KEPT_DAYS},
                )
        except SQLAlchemyError as fault:
            log.warning("rejection-not-recorded", fault=type(fault).__name__)

    def record_end(self, connection: PeerConnection, reason: EndReason) -> None:
        """Count a connection that ended otherwise than by a release, and record it if it has a remedy."""
        self._metrics.hangups.labels(reason.value).inc()
        log.warning("hangup", reason=reason.value, address=connection.address)
        if reason in _REFUSAL_OF_END:
            self.record(RefusalCause(connection.address, "", "", _REFUSAL_OF_END[reason]))

    def _is_new(self, cause: RefusalCause) -> bool:
        now = self._clock()
        with self._lock:
            while self._recent and now - next(iter(self._recent.values())) >= REPEAT_SECONDS:
                self._recent.popitem(last=False)
            if cause in self._recent or len(self._recent) >= REMEMBERED_CAUSES:
                return False
            self._recent[cause] = now
            return True
