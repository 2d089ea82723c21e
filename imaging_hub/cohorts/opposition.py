"""Oppositions carried out over the whole research zone: noted, links cut, and told what they hide and stop."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from imaging_hub.archive import opposition
from imaging_hub.audit import trail
from imaging_hub.cohorts import catalogue
from imaging_hub.snds import linkage


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


def apply(connection: Connection, sids: Collection[str], *, by: str) -> AppliedOppositions:
    """Let the oppositions of these subjects stand, cut their links, and say so on the trail."""
    subjects = sorted(set(sids))
    new = opposition.note(connection, subjects)
    applied = AppliedOppositions(
        people=len(subjects),
        new=new,
        links_cut=linkage.delete_links(connection, subjects),
        studies_hidden=opposition.studies_of(connection, subjects),
        releases_stopped=catalogue.releases_with(connection, subjects),
    )
    detail: dict[str, object] = {"people": applied.people, "new": applied.new, "links_cut": applied.links_cut}
    trail.append(connection, by, trail.AuditAction.OPPOSITION_NOTED, "oppositions", detail)
    return applied
