"""Progress of retrievals in the database, so that an interrupted one continues where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, text


class LineOutcome(StrEnum):
    """Outcome of a line of a list."""

    COMPLETE = "complete"  # every instance that the PACS announced is in the journal
    INCOMPLETE = "incomplete"  # some are not
    NOT_FOUND = "not-found"  # the PACS has no such study
    INVALID = "invalid"  # the line is no accession number, UID or Patient ID, or has a wildcard in it
    REFUSED = "refused"  # the PACS refused, or did not answer: the reason says what


@dataclass(frozen=True, slots=True)
class RetrievedLine:
    """One line of a list with its outcome."""

    value: str
    outcome: LineOutcome
    studies: int = 0
    announced: int = 0
    received: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RetrievalSummary:
    """One line of a list with its outcome, without its value, which may identify a patient."""

    tried_at: datetime
    hospital: str
    level: str
    outcome: str
    reason: str
    studies: int
    announced: int
    received: int


def list_summaries(connection: Connection, *, limit: int) -> Sequence[RetrievalSummary]:
    """List the lines retrieved last, the latest first."""
    rows = connection.execute(
        text(
            "SELECT tried_at, hospital, level, outcome, reason, studies, announced, received"
            " FROM identifying.retrieval ORDER BY tried_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [RetrievalSummary(*row) for row in rows]


def list_complete_values(connection: Connection, hospital: str, level: str) -> set[str]:
    """Return the values of a level whose studies are complete."""
    values = connection.execute(
        text(
            "SELECT value FROM identifying.retrieval"
            " WHERE hospital = :hospital AND level = :level AND outcome = 'complete'"
        ),
        {"hospital": hospital, "level": level},
    )
    return set(values.scalars())


def record_line(connection: Connection, hospital: str, level: str, line: RetrievedLine) -> None:
    """Store the outcome of a line, in place of an earlier one."""
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
    """Return the number of the last change of an Orthanc that was followed for a hospital; 0 for none."""
    number = connection.execute(
        text("SELECT last_change FROM identifying.orthanc_source WHERE hospital = :hospital AND url = :url"),
        {"hospital": hospital, "url": url},
    ).scalar_one_or_none()
    return int(number or 0)


def record_change(connection: Connection, hospital: str, url: str, change: int) -> None:
    """Store the number of the last change of an Orthanc that was followed."""
    connection.execute(
        text(
            "INSERT INTO identifying.orthanc_source (hospital, url, last_change) VALUES (:hospital, :url, :change)"
            " ON CONFLICT (hospital, url) DO UPDATE SET last_change = excluded.last_change"
        ),
        {"hospital": hospital, "url": url, "change": change},
    )
