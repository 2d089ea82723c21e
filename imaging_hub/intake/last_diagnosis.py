"""Problems of the hub that a worker last found, kept for the console, which cannot look for them itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the hub, or soon will be."""

    subject: str
    """The part of the hub, in a word."""
    message: str
    remedy: str
    is_error: bool = True
    """Whether something does not work now; otherwise it soon may not."""


def write(connection: Connection, problems: Sequence[Problem]) -> None:
    """Replace the report, with the present time."""
    connection.execute(
        text(
            "INSERT INTO identifying.diagnosis (at, problems) VALUES (now(), CAST(:problems AS jsonb))"
            " ON CONFLICT (one_row) DO UPDATE SET at = excluded.at, problems = excluded.problems"
        ),
        {"problems": json.dumps([asdict(problem) for problem in problems])},
    )


def read(connection: Connection) -> tuple[datetime | None, Sequence[Problem]]:
    """Return the time of the report, None when there is none yet, and its problems."""
    row = connection.execute(text("SELECT at, problems FROM identifying.diagnosis")).one_or_none()
    return (row.at, [Problem(**problem) for problem in row.problems]) if row else (None, [])
