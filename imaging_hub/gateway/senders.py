"""The hospitals that may send: an application entity title, from an address or network, is one hospital."""

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
from imaging_hub.gateway.rejections import RefusalReason
from imaging_hub.http import access_token

ACTOR = "operator"
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}\Z")
_KEEP = re.compile(r"never|until-released|always|[0-9]{1,5}")
_HOSPITAL_BYTES = 100
"""A hospital's name stands in the preamble of its files, which has 128 bytes."""


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
    """Where it can be asked for studies."""
    retrieves: bool = False
    """Whether it may ask for what it sent."""
    keep_originals: str | None = None
    """After archiving: `never`, `until-released`, `always`, a number of days; None for what the settings say."""
    quiet_seconds: float | None = None
    """Without news for so long, a study is complete; None for what the settings say."""


@dataclass(frozen=True)
class SenderSummary:
    """An application entity that may send, as the console lists it; an address of one machine without its mask."""

    calling_ae_title: str
    address: str
    hospital: str
    finess: str
    profile: str


@dataclass(frozen=True, slots=True)
class QueryRetrieveAddress:
    """Where a hospital's own query/retrieve SCP listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, written: str) -> QueryRetrieveAddress:
        """`HOST:PORT`; raises `HubError`."""
        host, _, port = written.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise HubError("this is not HOST:PORT", code="query-address", hint="pacs.example.fr:104")
        return cls(host.strip("[]"), int(port))


_COLUMNS = (
    "calling_ae_title, CAST(address AS text) AS address, hospital, finess, profile, certificate, retrieves,"
    " keep_originals, quiet_seconds,"
    " query_host, query_port"
)


def identify(connection: Connection, calling_ae_title: str, address: str) -> Sender | None:
    """The sender that calls itself so from there; of two networks that hold the address, the narrower one."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " WHERE calling_ae_title = :title AND address >>= CAST(:address AS inet)"
            " ORDER BY masklen(address) DESC LIMIT 1"
        ),
        {"title": calling_ae_title, "address": plain_address(address)},
    ).one_or_none()
    return _sender(row) if row else None


def admit(
    connection: Connection, calling_ae_title: str, address: str, certificate: str | None
) -> Sender | RefusalReason:
    """The sender that calls itself so from there, showing the certificate it is known by, if any; or why not."""
    sender = identify(connection, calling_ae_title, address)
    if sender is None:
        return RefusalReason.WRONG_ADDRESS if is_known(connection, calling_ae_title) else RefusalReason.UNKNOWN_SENDER
    return sender if sender.certificate in (None, certificate) else RefusalReason.WRONG_CERTIFICATE


def is_known(connection: Connection, calling_ae_title: str) -> bool:
    """Whether any address may use this AE title."""
    found = connection.execute(
        text("SELECT 1 FROM identifying.sender WHERE calling_ae_title = :title LIMIT 1"), {"title": calling_ae_title}
    )
    return found.first() is not None


def bearer(connection: Connection, token_hash: str, now: datetime) -> Sender | None:
    """The sender whose token this is; nobody when its time is over."""
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " WHERE token_hash = :hash AND token_expires_at > :now"
        ),
        {"hash": token_hash, "now": now},
    ).one_or_none()
    return _sender(row) if row else None


def named(connection: Connection, calling_ae_title: str) -> Sender:
    """The one sender of that AE title; raises `HubError` when there is none, or more than one."""
    found = [sender for sender in list_senders(connection) if sender.calling_ae_title == calling_ae_title]
    if not found:
        raise HubError("no sender has this AE title", code="unknown-sender", hint="imaging-hub sender list")
    if len({(sender.hospital, sender.finess, sender.profile) for sender in found}) > 1:
        raise HubError(
            "this AE title stands for several hospitals", code="ambiguous-sender", hint="give each a title of its own"
        )
    return next((sender for sender in found if sender.query), found[0])


def add(connection: Connection, described: Sender, *, by: str = ACTOR) -> Sender:
    """Let a sender in, or describe a known one anew; the sender as it is kept. Raises `HubError`."""
    sender = replace(
        described,
        calling_ae_title=_title(described.calling_ae_title),
        address=_network(described.address),
        hospital=_hospital(described.hospital),
    )
    if not _FINESS.match(sender.finess):
        raise HubError("a FINESS number has nine digits (2A, 2B for Corsica)", code="finess")
    if sender.keep_originals is not None and not _KEEP.fullmatch(sender.keep_originals):
        raise HubError("originals are kept never, until-released, always or some days", code="keep-originals")
    query = sender.query
    values = asdict(sender) | {"host": query.host if query else None, "port": query.port if query else None}
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


def _title(given: str) -> str:
    title = given.strip()
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise HubError("an AE title has 1 to 16 printable ASCII characters", code="ae-title")
    return title


def _hospital(given: str) -> str:
    name = given.strip()
    if not name or not name.isprintable() or len(name.encode()) > _HOSPITAL_BYTES:
        raise HubError("a hospital's short name has 1 to 100 bytes", code="hospital-name")
    return name


def _network(given: str) -> str:
    try:
        return str(ip_network(given))
    except ValueError:
        raise HubError(
            "the address is neither an IP address nor a network",
            code="address",
            hint="10.1.2.3, 10.1.2.0/24 or 2001:db8::/64",
        ) from None


def give_token(connection: Connection, sender: Sender, expires_at: datetime, *, by: str = ACTOR) -> str:
    """A new token with which the sender may use STOW-RS, in place of any it had; nobody can see it again."""
    token = access_token.draw()
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
    """Every sender, by hospital."""
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM identifying.sender"  # noqa: S608 - constant columns
            " ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [_sender(row) for row in rows]


def summaries(connection: Connection) -> Sequence[SenderSummary]:
    """Who may send, in short, by hospital."""
    rows = connection.execute(
        text(
            "SELECT calling_ae_title, abbrev(address), hospital, finess, profile FROM identifying.sender"
            " ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [SenderSummary(*row) for row in rows]


def _sender(row: Row[Any]) -> Sender:
    values = dict(row._mapping)
    host, port = values.pop("query_host"), values.pop("query_port")
    return Sender(**values, query=QueryRetrieveAddress(host, port) if host else None)


def plain_address(address: str) -> str:
    """The address as people write it: an IPv4 address that came through an IPv6 socket is IPv4."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
