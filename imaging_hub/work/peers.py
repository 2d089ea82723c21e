"""What ails the hub's neighbours: hospitals that could not get in lately, PACS that cannot be asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import rejections, senders
from imaging_hub.gateway.rejections import RefusalReason
from imaging_hub.reasons import refusals
from imaging_hub.work.problem import Problem

_PATIENCE_SECONDS = 3.0


def of_peers(database: Database, ours: str) -> Iterator[Problem]:
    """Hospitals that could not get in lately, and PACS that cannot be asked; `ours` is our AE title.

    A hub that is well may have both.
    """
    with database.begin(DatabaseRole.OWNER) as connection:
        refused = rejections.of_last_day(connection)
        known = senders.list_senders(connection)
    for row in refused:
        who = " ".join(filter(None, (row.calling_ae_title, f"from {row.address}")))
        peer = {"calling": row.calling_ae_title, "address": row.address, "ours": ours}
        why = refusals.explain(row.reason, **peer).english
        called = f", called {row.called_ae_title}" if row.reason == RefusalReason.WRONG_CALLED_AE_TITLE else ""
        syntax = f" {row.syntax}" if row.syntax else ""
        yield Problem("refusals", f"{row.reason}: {who}{called}: {why.meaning}{syntax}", why.remedy, False)
    for query in {sender.query for sender in known if sender.query}:
        if not listens(query.host, query.port):
            where = f"{query.host}:{query.port}"
            yield Problem("query", f"no PACS listens at {where}", "start it, or correct `sender add --query`", False)


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
