"""Health check of a hub's peers: senders that were refused, and PACS that accept no connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import rejection_log, senders
from imaging_hub.gateway.rejection_log import RefusalReason
from imaging_hub.intake.last_diagnosis import Problem
from imaging_hub.reasons import association_refusals

_TIMEOUT_SECONDS = 3.0


def peer_problems(database: Database, our_title: str) -> Iterator[Problem]:
    """Yield a problem for each refusal of the last day and each PACS that accepts no connection.

    None is an error of the hub itself. `our_title` is its AE title.
    """
    with database.begin(DatabaseRole.OWNER) as connection:
        refused = rejection_log.list_causes_of_last_day(connection)
        known = senders.list_senders(connection)
    for cause in refused:
        peer_name = " ".join(filter(None, (cause.calling_ae_title, f"from {cause.address}")))
        facts = {"calling": cause.calling_ae_title, "address": cause.address, "ours": our_title}
        explanation = association_refusals.explain(cause.reason, **facts).english
        called = f", called {cause.called_ae_title}" if cause.reason == RefusalReason.WRONG_CALLED_AE_TITLE else ""
        syntax = f" {cause.syntax}" if cause.syntax else ""
        yield Problem(
            "refusals", f"{cause.reason}: {peer_name}{called}: {explanation.meaning}{syntax}", explanation.remedy, False
        )
    for query in {sender.query for sender in known if sender.query}:
        if not accepts_connections(query.host, query.port):
            where = f"{query.host}:{query.port}"
            yield Problem("query", f"no PACS listens at {where}", "start it, or correct `sender add --query`", False)


def accepts_connections(address: str, port: int) -> bool:
    """Whether a TCP connection to that address and port is accepted."""
    try:
        with socket.create_connection((reachable_host(address).strip("[]"), port), _TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def reachable_host(address: str) -> str:
    """Return a host to reach a listening address by, with IPv6 in brackets."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    return f"[{own}]" if ":" in own else own
