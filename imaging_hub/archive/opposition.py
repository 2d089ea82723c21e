"""Subjects who have opposed the use of their data (droit d'opposition), as the de-identified zone knows them.

An opposition is heeded at five points: nothing new of the subject is taken in, it is not linked, not counted, not
frozen, and no release that holds it is prepared or downloaded. `cohorts.opposition` carries one out, which cuts the
subject's link at once. Lifting it restores nothing: what comes later is taken in and linked again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, text

from imaging_hub.audit import trail


def note(connection: Connection, sids: Sequence[str]) -> int:
    """Let the oppositions of these subjects stand; how many did not stand before."""
    noted = connection.execute(
        text(
            "INSERT INTO hub.opposition (sid) SELECT unnest(CAST(:sids AS text[]))"
            " ON CONFLICT (sid) WHERE lifted_at IS NULL DO NOTHING"
        ),
        {"sids": list(sids)},
    )
    return noted.rowcount


def studies_of(connection: Connection, sids: Sequence[str]) -> int:
    """How many studies of these subjects the archive holds."""
    count = connection.execute(text("SELECT count(*) FROM hub.study WHERE sid = ANY(:sids)"), {"sids": list(sids)})
    return int(count.scalar_one())


def lift(connection: Connection, sids: Collection[str], *, by: str) -> int:
    """End the oppositions of these subjects, who changed their mind; returns how many stood."""
    lifted = connection.execute(
        text("UPDATE hub.opposition SET lifted_at = now() WHERE lifted_at IS NULL AND sid = ANY(:sids)"),
        {"sids": sorted(set(sids))},
    ).rowcount
    trail.append(connection, by, trail.AuditAction.OPPOSITION_LIFTED, "oppositions", {"people": lifted})
    return lifted


def standing(connection: Connection) -> frozenset[str]:
    """Every subject whose opposition stands."""
    return frozenset(connection.execute(text("SELECT sid FROM hub.opposed")).scalars())


def stands(connection: Connection, sid: str) -> bool:
    """Whether this subject's opposition stands."""
    return connection.execute(text("SELECT 1 FROM hub.opposed WHERE sid = :sid"), {"sid": sid}).first() is not None
