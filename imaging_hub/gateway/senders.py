"""The hospitals that may send: an application entity title, from an address or network, is one hospital."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import Action
from imaging_hub.errors import HubError

ACTOR = "operator"
_FINESS = re.compile(r"[0-9][0-9AB][0-9]{7}\Z")
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


def identify(connection: Connection, calling_ae_title: str, address: str) -> Sender | None:
    """The sender that calls itself so from there; of two networks that hold the address, the narrower one."""
    row = connection.execute(
        text(
            "SELECT calling_ae_title, CAST(address AS text) AS address, hospital, finess, profile"
            " FROM identifying.sender WHERE calling_ae_title = :title AND address >>= CAST(:address AS inet)"
            " ORDER BY masklen(address) DESC LIMIT 1"
        ),
        {"title": calling_ae_title, "address": plain_address(address)},
    ).one_or_none()
    return Sender(**row._mapping) if row else None


def add(
    connection: Connection, *, calling_ae_title: str, address: str, hospital: str, finess: str, profile: str
) -> Sender:
    """Let a sender in, or describe a known one anew; raises `HubError`."""
    title = calling_ae_title.strip()
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise HubError("an AE title has 1 to 16 printable ASCII characters", code="ae-title")
    if not _FINESS.match(finess):
        raise HubError("a FINESS number has nine digits (2A, 2B for Corsica)", code="finess")
    name = hospital.strip()
    if not name or not name.isprintable() or len(name.encode()) > _HOSPITAL_BYTES:
        raise HubError("a hospital's short name has 1 to 100 bytes", code="hospital-name")
    try:
        network = str(ip_network(address))
    except ValueError:
        raise HubError(
            "the address is neither an IP address nor a network",
            code="address",
            hint="10.1.2.3, 10.1.2.0/24 or 2001:db8::/64",
        ) from None
    sender = Sender(title, network, name, finess, profile)
    connection.execute(
        text(
            "INSERT INTO identifying.sender (calling_ae_title, address, hospital, finess, profile)"
            " VALUES (:title, CAST(:address AS inet), :hospital, :finess, :profile)"
            " ON CONFLICT (calling_ae_title, address) DO UPDATE"
            " SET hospital = excluded.hospital, finess = excluded.finess, profile = excluded.profile"
        ),
        {"title": title, "address": network, "hospital": name, "finess": finess, "profile": profile},
    )
    trail.append(connection, ACTOR, Action.SENDER_ADDED, f"finess:{finess}", {"profile": profile})
    return sender


def list_senders(connection: Connection) -> list[Sender]:
    """Every sender, by hospital."""
    rows = connection.execute(
        text(
            "SELECT calling_ae_title, CAST(address AS text) AS address, hospital, finess, profile"
            " FROM identifying.sender ORDER BY hospital, calling_ae_title, address"
        )
    )
    return [Sender(**row._mapping) for row in rows]


def plain_address(address: str) -> str:
    """The address as people write it: an IPv4 address that came through an IPv6 socket is IPv4."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
