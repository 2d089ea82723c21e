"""What a worker last found wrong with the hub, kept for the console, which reaches nothing of what was looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


def write(connection: Connection, problems: Sequence[Mapping[str, object]]) -> None:
    """Keep these in place of what was found before; now is when they were found."""
    connection.execute(
        text(
            "INSERT INTO identifying.diagnosis (at, ailments) VALUES (now(), CAST(:found AS jsonb))"
            " ON CONFLICT (one_row) DO UPDATE SET at = excluded.at, ailments = excluded.ailments"
        ),
        {"found": json.dumps(problems)},
    )


def read(connection: Connection) -> tuple[datetime | None, Sequence[Mapping[str, Any]]]:
    """When a worker last looked, None for never, and what it found wrong."""
    row = connection.execute(text("SELECT at, ailments FROM identifying.diagnosis")).one_or_none()
    return (row.at, row.ailments) if row else (None, [])
