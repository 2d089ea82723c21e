"""Oppositions applied in the research zone: recorded, with links deleted and releases stopped."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from imaging_hub.archive import opposed_subjects
from imaging_hub.audit import trail
from imaging_hub.cohorts import catalogue
from imaging_hub.snds import direct_linkage


@dataclass(frozen=True, slots=True)
class AppliedOppositions:
    """Effects of applied oppositions, as proof that they were carried out."""

    people: int
    new: int
    links_cut: int
    studies_hidden: int
    """Archived studies of these people, which cohorts no longer see."""
    releases_stopped: int
    """Releases with series of these people, which are no longer prepared or downloaded."""


def apply(connection: Connection, sids: Collection[str], *, by: str) -> AppliedOppositions:
    """Record the oppositions of these subjects and delete their links, with an entry in the trail."""
    subjects = sorted(set(sids))
    new = opposed_subjects.record(connection, subjects)
    applied = AppliedOppositions(
        people=len(subjects),
        new=new,
        links_cut=direct_linkage.delete_links(connection, subjects),
        studies_hidden=opposed_subjects.count_studies(connection, subjects),
        releases_stopped=catalogue.count_releases_with(connection, subjects),
    )
    detail: dict[str, object] = {"people": applied.people, "new": applied.new, "links_cut": applied.links_cut}
    trail.append(connection, by, trail.AuditAction.OPPOSITION_NOTED, "oppositions", detail)
    return applied
