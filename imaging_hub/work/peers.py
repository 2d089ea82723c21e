"""What ails the hub's neighbours: hospitals that could not get in lately, PACS that cannot be asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import rejections, senders
from imaging_hub.gateway.rejections import RefusalReason
from imaging_hub.work.problem import Problem

_PATIENCE_SECONDS = 3.0


def of_peers(database: Database) -> Iterator[Problem]:
    """Hospitals that could not get in lately, and PACS that cannot be asked; a hub that is well may have both."""
    with database.begin(DatabaseRole.OWNER) as connection:
        refused = rejections.of_last_day(connection)
        known = senders.list_senders(connection)
    for cause in refused:
        who = " ".join(filter(None, (cause.calling_ae_title, f"from {cause.address}")))
        message, cure = _REFUSALS[cause.reason]
        called = f", called {cause.called_ae_title}" if cause.reason is RefusalReason.WRONG_CALLED_AE_TITLE else ""
        syntax = f" {cause.syntax}" if cause.syntax else ""
        yield Problem("refusals", f"{cause.reason}: {who}{called}: {message}{syntax}", cure, False)
    for query in {sender.query for sender in known if sender.query}:
        if not listens(query.host, query.port):
            where = f"{query.host}:{query.port}"
            yield Problem("query", f"no PACS listens at {where}", "start it, or correct `sender add --query`", False)


_REFUSALS: dict[RefusalReason, tuple[str, str]] = {
    RefusalReason.UNKNOWN_SENDER: ("nobody of that AE title may send", "imaging-hub sender add"),
    RefusalReason.WRONG_ADDRESS: (
        "that AE title is known at another address",
        "imaging-hub sender add, with this address",
    ),
    RefusalReason.WRONG_CERTIFICATE: ("not its own certificate", "imaging-hub sender add --certificate"),
    RefusalReason.MAY_NOT_RETRIEVE: ("it may not ask back", "imaging-hub sender add --retrieve, if it should"),
    RefusalReason.WRONG_CALLED_AE_TITLE: ("that is not our AE title", "set ours at the PACS, or change ae_title"),
    RefusalReason.NOT_DICOM_CONTEXT: ("no DICOM application context", "is it a DICOM node?"),
    RefusalReason.SPOOL_FULL: ("there was no room", "free space, or raise spool_max_bytes"),
    RefusalReason.DATABASE_AWAY: ("the journal could not be reached", "is PostgreSQL well?"),
    RefusalReason.SHUTTING_DOWN: ("the gateway was stopping", "nothing: it comes again"),
    RefusalReason.TOO_MANY_ASSOCIATIONS: (
        "too many associations at once",
        "fewer there, or raise associations_per_peer",
    ),
    RefusalReason.NOT_DICOM: ("another protocol on the DICOM port", "correct the port there"),
    RefusalReason.UNEXPECTED_TLS: (
        "it speaks TLS and this port does not",
        "none at the PACS, or set dicom_tls_certificate",
    ),
    RefusalReason.MISSING_TLS: ("it speaks no TLS and this port does", "switch TLS on at the PACS"),
    RefusalReason.TLS_VERSION: ("no TLS version or cipher in common", "TLS 1.2 or 1.3 with ECDHE at the PACS"),
    RefusalReason.CERTIFICATE_MISSING: ("it showed no certificate", "give it one that dicom_tls_client_ca signed"),
    RefusalReason.CERTIFICATE_EXPIRED: ("its certificate has expired", "renew it at the PACS; check both clocks"),
    RefusalReason.CERTIFICATE_UNTRUSTED: (
        "its certificate is of no authority of ours",
        "add that one to dicom_tls_client_ca",
    ),
    RefusalReason.OUR_CERTIFICATE: (
        "it does not trust our certificate",
        "give it the authority of dicom_tls_certificate",
    ),
    RefusalReason.SOP_CLASS: ("no storage SOP Class:", "take it out of what the PACS sends; the rest passes"),
    RefusalReason.TRANSFER_SYNTAX: (
        "no transfer syntax that can be kept:",
        "have Explicit VR Little Endian proposed too",
    ),
}


def listens(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host(address).strip("[]"), port), _PATIENCE_SECONDS):
            return True
    except OSError:
        return False


def host(address: str) -> str:
    """An address to call oneself by."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    return f"[{own}]" if ":" in own else own
