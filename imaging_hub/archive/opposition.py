"""Subjects who have opposed the use of their data (droit d'opposition), as the de-identified zone knows them.

An opposition is heeded at five points: nothing new of the subject is taken in, it is not linked, not counted, not
frozen, and no release that holds it is prepared or downloaded. Noting one cuts the subject's link at once. Lifting it
restores nothing: what comes later is taken in and linked again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.audit import trail


@dataclass(frozen=True, slots=True)
class AppliedOppositions:
    """What became of oppositions: the proof that they were carried out."""

    people: int
    new: int
    links_cut: int
    studies_hidden: int
    """Studies of theirs in the archive, which no cohort sees any more."""
    releases_stopped: int
    """Releases that hold something of theirs: no longer prepared nor downloaded."""


def note(connection: Connection, sids: Collection[str], *, by: str) -> AppliedOppositions:
    """Let the oppositions of these subjects stand, cut their links, and say so on the trail."""
    who = {"sids": sorted(set(sids))}
    new = connection.execute(
        text(
            "INSERT INTO hub.opposition (sid) SELECT unnest(CAST(:sids AS text[]))"
            " ON CONFLICT (sid) WHERE lifted_at IS NULL DO NOTHING"
        ),
        who,
    ).rowcount
    connection.execute(text("DELETE FROM hub.link_proposal WHERE sid = ANY(:sids)"), who)
    connection.execute(text("DELETE FROM hub.link_opinion WHERE sid = ANY(:sids)"), who)
    links = connection.execute(text("DELETE FROM hub.link WHERE sid = ANY(:sids)"), who).rowcount
    studies = connection.execute(text("SELECT count(*) FROM hub.study WHERE sid = ANY(:sids)"), who).scalar_one()
    releases = connection.execute(
        text(
            "SELECT count(DISTINCT r.id) FROM hub.release r JOIN hub.cohort_member m USING (cohort)"
            " WHERE m.sid = ANY(:sids) AND r.state <> 'FAILED'"
        ),
        who,
    ).scalar_one()
    noted = AppliedOppositions(len(who["sids"]), new, links, studies, releases)
    detail: dict[str, object] = {"people": noted.people, "new": noted.new, "links_cut": noted.links_cut}
    trail.append(connection, by, trail.AuditAction.OPPOSITION_NOTED, "oppositions", detail)
    return noted


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
