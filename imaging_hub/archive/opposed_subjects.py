"""Register of subjects who opposed the use of their data (*droit d'opposition*), in the de-identified zone.

An opposition has five effects: new instances of the subject are not archived, the subject is not linked, counted or
frozen, and no release with its series is prepared or downloaded. `cohorts.applied_oppositions` applies it, and
deletes the subject's link at once. Lifting it restores nothing; later instances are archived and linked again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, text

from imaging_hub.audit import trail


def record(connection: Connection, sids: Sequence[str]) -> int:
    """Record the oppositions of these subjects, and return the number of new ones."""
    inserted = connection.execute(
        text(
            "INSERT INTO hub.opposition (sid) SELECT unnest(CAST(:sids AS text[]))"
            " ON CONFLICT (sid) WHERE lifted_at IS NULL DO NOTHING"
        ),
        {"sids": list(sids)},
    )
    return inserted.rowcount


def count_studies(connection: Connection, sids: Sequence[str]) -> int:
    """Return the number of archived studies of these subjects."""
    count = connection.execute(text("SELECT count(*) FROM hub.study WHERE sid = ANY(:sids)"), {"sids": list(sids)})
    return int(count.scalar_one())


def lift(connection: Connection, sids: Collection[str], *, by: str) -> int:
    """Lift the oppositions of these subjects, with an entry in the trail; returns the number lifted."""
    lifted = connection.execute(
        text("UPDATE hub.opposition SET lifted_at = now() WHERE lifted_at IS NULL AND sid = ANY(:sids)"),
        {"sids": sorted(set(sids))},
    ).rowcount
    trail.append(connection, by, trail.AuditAction.OPPOSITION_LIFTED, "oppositions", {"people": lifted})
    return lifted


def list_opposed(connection: Connection) -> frozenset[str]:
    """Return the sids of all subjects with an opposition in force."""
    return frozenset(connection.execute(text("SELECT sid FROM hub.opposed")).scalars())


def is_opposed(connection: Connection, sid: str) -> bool:
    """Return whether the subject has an opposition in force."""
    return connection.execute(text("SELECT 1 FROM hub.opposed WHERE sid = :sid"), {"sid": sid}).first() is not None
