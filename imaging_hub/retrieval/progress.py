"""How far lists and Orthancs have been followed, in the database: what was interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text


class LineOutcome(StrEnum):
    """What came of a line."""

    COMPLETE = "complete"  # every instance that the PACS announced is in the journal
    INCOMPLETE = "incomplete"  # some are not
    NOT_FOUND = "not-found"  # the PACS has no such study
    INVALID = "invalid"  # the line is no accession number, UID or Patient ID, or has a wildcard in it
    REFUSED = "refused"  # the PACS refused, or did not answer: the reason says what


@dataclass(frozen=True, slots=True)
class RetrievedLine:
    """One line of the list, and what came of it."""

    value: str
    outcome: LineOutcome
    studies: int = 0
    announced: int = 0
    received: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RetrievalSummary:
    """A line of a list that was asked of a PACS, without its value, which may identify."""

    tried_at: datetime
    hospital: str
    level: str
    outcome: str
    reason: str
    studies: int
    announced: int
    received: int


def recent(connection: Connection, *, limit: int) -> Sequence[RetrievalSummary]:
    """What was asked of PACS lately, the latest first."""
    rows = connection.execute(
        text(
            "SELECT tried_at, hospital, level, outcome, reason, studies, announced, received"
            " FROM identifying.retrieval ORDER BY tried_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [RetrievalSummary(*row) for row in rows]


def complete_lines(connection: Connection, hospital: str, level: str) -> set[str]:
    """The values of lists of a level of which everything came."""
    values = connection.execute(
        text(
            "SELECT value FROM identifying.retrieval"
            " WHERE hospital = :hospital AND level = :level AND outcome = 'complete'"
        ),
        {"hospital": hospital, "level": level},
    )
    return set(values.scalars())


def note_line(connection: Connection, hospital: str, level: str, line: RetrievedLine) -> None:
    """Keep what came of a line, in place of what came of it before."""
    connection.execute(
        text(
            "INSERT INTO identifying.retrieval"
            " (hospital, level, value, outcome, reason, studies, announced, received)"
            " VALUES (:hospital, :level, :value, :outcome, :reason, :studies, :announced, :received)"
            " ON CONFLICT (hospital, level, value) DO UPDATE SET outcome = excluded.outcome,"
            " reason = excluded.reason, studies = excluded.studies, announced = excluded.announced,"
            " received = excluded.received, tried_at = now()"
        ),
        {**asdict(line), "hospital": hospital, "level": level, "outcome": line.outcome.value},
    )


def last_change(connection: Connection, hospital: str, url: str) -> int:
    """The change up to which an Orthanc has been followed for a hospital; 0 for none."""
    found = connection.execute(
        text("SELECT last_change FROM identifying.orthanc_source WHERE hospital = :hospital AND url = :url"),
        {"hospital": hospital, "url": url},
    ).scalar_one_or_none()
    return int(found or 0)


def note_change(connection: Connection, hospital: str, url: str, change: int) -> None:
    """Keep up to which change an Orthanc has been followed."""
    connection.execute(
        text(
            "INSERT INTO identifying.orthanc_source (hospital, url, last_change) VALUES (:hospital, :url, :change)"
            " ON CONFLICT (hospital, url) DO UPDATE SET last_change = excluded.last_change"
        ),
        {"hospital": hospital, "url": url, "change": change},
    )
