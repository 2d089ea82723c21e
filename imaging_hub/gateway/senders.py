"""Senders: a calling AE title from an address or network stands for one hospital."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.errors import HubError
from imaging_hub.gateway.rejection_log import RefusalReason
from imaging_hub.http import access_token
from imaging_hub.intake import retention
from imaging_hub.intake.retention import RetentionPolicy

ACTOR = "operator"
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}\Z")
_HOSPITAL_BYTES = 100
"""Longest name of a hospital, since the preamble of its files has 128 bytes."""


@dataclass(frozen=True, slots=True)
class Sender:
    """One application entity of one hospital."""

    calling_ae_title: str
    address: str
    """An address, or a network in CIDR notation."""
    hospital: str
    finess: str
    profile: str
    certificate: str | None = None
    """SHA-256, in hexadecimal, of the certificate it must show over TLS; None for any that is trusted."""
    query: QueryRetrieveAddress | None = None
    """Where its query/retrieve SCP listens, if it has one."""
    retrieves: bool = False
    """Whether it may query and retrieve what it sent."""
    keep_originals: RetentionPolicy | None = None
    """How long after archiving; None for the settings' value."""
    quiet_seconds: float | None = None
    """A study that receives nothing for so long is complete; None for the settings' value."""


@dataclass(frozen=True)
class SenderSummary:
    """A sender in the console's list; a single address has no mask."""

    calling_ae_title: str
    address: str
    hospital: str
    finess: str
    profile: str


def as_text(sender: Sender) -> dict[str, Any]:
    """Return a sender's fields by name, `keep_originals` as text."""
    kept = sender.keep_originals
    return asdict(sender) | {"keep_originals": None if kept is None else str(kept)}


@dataclass(frozen=True, slots=True)
class QueryRetrieveAddress:
    """Where a hospital's own query/retrieve SCP listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> QueryRetrieveAddress:
        """Parse `HOST:PORT`. Raises `HubError`."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise HubError("this is not HOST:PORT", code="query-address", hint="pacs.example.fr:104")
        return cls(host.strip("[]"), int(port))


_COLUMNS = (
    "calling_ae_title, CAST(address AS text) AS address, hospital, finess, profile, certificate, retrieves,"
    " keep_originals, quiet_seconds,"
    " query_host, query_port"
)


def find_sender(connection: Connection, calling_ae_title: str, address: str) -> Sender | None:
    """Return the sender with that title at the address, in the narrowest matching network, or None."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " WHERE calling_ae_title = :title AND address >>= CAST(:address AS inet)"
            " ORDER BY masklen(address) DESC LIMIT 1"
        ),
        {"title": calling_ae_title, "address": normalise_address(address)},
    ).one_or_none()
    return _from_row(row) if row else None


def admit(
    connection: Connection, calling_ae_title: str, address: str, certificate: str | None
) -> Sender | RefusalReason:
    """Return the sender with that title, address and, if it needs one, certificate; otherwise the reason to refuse."""
    sender = find_sender(connection, calling_ae_title, address)
    if sender is None:
        return (
            RefusalReason.WRONG_ADDRESS
            if is_known_title(connection, calling_ae_title)
            else RefusalReason.UNKNOWN_SENDER
        )
    return sender if sender.certificate in (None, certificate) else RefusalReason.WRONG_CERTIFICATE


def is_known_title(connection: Connection, calling_ae_title: str) -> bool:
    """Whether a sender with this AE title exists at any address."""
    rows = connection.execute(
        text("SELECT 1 FROM identifying.sender WHERE calling_ae_title = :title LIMIT 1"), {"title": calling_ae_title}
    )
    return rows.first() is not None


def find_by_token(connection: Connection, token_hash: str, now: datetime) -> Sender | None:
    """Return the sender with that token hash; None when there is none or the token has expired."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " WHERE token_hash = :hash AND token_expires_at > :now"
        ),
        {"hash": token_hash, "now": now},
    ).one_or_none()
    return _from_row(row) if row else None


def find_by_title(connection: Connection, calling_ae_title: str) -> Sender:
    """Return the sender of that AE title. Raises `HubError` when none exists, or it stands for several hospitals."""
    senders = [sender for sender in list_senders(connection) if sender.calling_ae_title == calling_ae_title]
    if not senders:
        raise HubError("no sender has this AE title", code="unknown-sender", hint="imaging-hub sender list")
    if len({(sender.hospital, sender.finess, sender.profile) for sender in senders}) > 1:
        raise HubError(
            "this AE title stands for several hospitals", code="ambiguous-sender", hint="give each a title of its own"
        )
    return next((sender for sender in senders if sender.query), senders[0])


def add(connection: Connection, described: Sender, *, by: str = ACTOR) -> Sender:
    """Add or change a sender, and return it as stored. Raises `HubError` for an invalid field."""
    sender = replace(
        described,
        calling_ae_title=_check_title(described.calling_ae_title),
        address=_check_network(described.address),
        hospital=_check_hospital(described.hospital),
    )
    if not _FINESS.match(sender.finess):
        raise HubError("a FINESS number has nine digits (2A, 2B for Corsica)", code="finess")
    query = sender.query
    values = as_text(sender) | {"host": query.host if query else None, "port": query.port if query else None}
    connection.execute(
        text(
            "INSERT INTO identifying.sender"
            " (calling_ae_title, address, hospital, finess, profile, certificate, query_host, query_port,"
            " retrieves, keep_originals, quiet_seconds) VALUES (:calling_ae_title, CAST(:address AS inet), :hospital,"
            " :finess, :profile, :certificate, :host, :port, :retrieves, :keep_originals, :quiet_seconds)"
            " ON CONFLICT (calling_ae_title, address) DO UPDATE"
            " SET hospital = excluded.hospital, finess = excluded.finess, profile = excluded.profile,"
            " certificate = excluded.certificate, query_host = excluded.query_host, query_port = excluded.query_port,"
            " retrieves = excluded.retrieves, keep_originals = excluded.keep_originals,"
            " quiet_seconds = excluded.quiet_seconds"
        ),
        {name: value for name, value in values.items() if name != "query"},
    )
    trail.append(connection, by, AuditAction.SENDER_ADDED, f"finess:{sender.finess}", {"profile": sender.profile})
    return sender


def _check_title(value: str) -> str:
    title = value.strip()
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise HubError("an AE title has 1 to 16 printable ASCII characters", code="ae-title")
    return title


def _check_hospital(value: str) -> str:
    name = value.strip()
    if not name or not name.isprintable() or len(name.encode()) > _HOSPITAL_BYTES:
        raise HubError("a hospital's short name has 1 to 100 bytes", code="hospital-name")
    return name


def _check_network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise HubError(
            "the address is neither an IP address nor a network",
            code="address",
            hint="10.1.2.3, 10.1.2.0/24 or 2001:db8::/64",
        ) from None


def issue_token(connection: Connection, sender: Sender, expires_at: datetime, *, by: str = ACTOR) -> str:
    """Return a new token for STOW-RS, which replaces the previous one; only its hash is stored."""
    token = access_token.generate_token()
    connection.execute(
        text(
            "UPDATE identifying.sender SET token_hash = :hash, token_expires_at = :expires"
            " WHERE calling_ae_title = :title AND address = CAST(:address AS inet)"
        ),
        {
            "hash": access_token.token_hash(token),
            "expires": expires_at,
            "title": sender.calling_ae_title,
            "address": sender.address,
        },
    )
    detail = {"expires": expires_at.isoformat()}
    trail.append(connection, by, AuditAction.SENDER_MAY_STOW, f"finess:{sender.finess}", detail)
    return token


def list_senders(connection: Connection) -> list[Sender]:
    """List the senders, by hospital."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [_from_row(row) for row in rows]


def list_summaries(connection: Connection) -> Sequence[SenderSummary]:
    """List the senders in short, by hospital."""
    rows = connection.execute(
        text(
            "SELECT calling_ae_title, abbrev(address), hospital, finess, profile FROM identifying.sender"
            " ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [SenderSummary(*row) for row in rows]


def _from_row(row: Row[Any]) -> Sender:
    values = dict(row._mapping)
    kept = values.pop("keep_originals")
    host, port = values.pop("query_host"), values.pop("query_port")
    return Sender(
        **values,
        query=QueryRetrieveAddress(host, port) if host else None,
        keep_originals=None if kept is None else retention.parse_policy(kept),
    )


def normalise_address(address: str) -> str:
    """Return an IPv4-mapped IPv6 address as IPv4, and any address without its zone."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
