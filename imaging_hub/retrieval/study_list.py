"""Retrieval from a PACS by a list: accession numbers, studies or patients, a line each, at a pace that the PACS bears.

What came of each line stays in the database: a list that was interrupted goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as TimeOfDay
from enum import StrEnum

from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError, RetrievalRefused
from imaging_hub.gateway.senders import ACTOR, Sender
from imaging_hub.intake import completeness
from imaging_hub.retrieval.query_retrieve_scu import FoundStudy, RetrieveLevel

_LONGEST = {RetrieveLevel.ACCESSION: 16, RetrieveLevel.STUDY: 64, RetrieveLevel.PATIENT: 64}


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
class RetrievalPace:
    """How fast the PACS is asked, and when."""

    per_hour: int | None = None
    window: tuple[TimeOfDay, TimeOfDay] | None = None
    """Of the day, local time; over midnight when it ends before it begins."""
    clock: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = time.sleep

    def wait(self, last: datetime | None) -> None:
        """Sleep until the next line may begin, `last` having begun then."""
        now = self.clock()
        at = now
        if self.per_hour is not None and last is not None:
            at = max(at, last + timedelta(hours=1) / self.per_hour)
        at = self._in_window(at)
        if at > now:
            self.sleep((at - now).total_seconds())

    def _in_window(self, at: datetime) -> datetime:
        """The first moment from `at` on that lies in the window."""
        if self.window is None:
            return at
        begins, ends = self.window
        of_day = at.time()
        inside = begins <= of_day < ends if begins < ends else of_day >= begins or of_day < ends
        if inside:
            return at
        opens = at.replace(hour=begins.hour, minute=begins.minute, second=0, microsecond=0)
        return opens if opens > at else opens + timedelta(days=1)


def window(written: str) -> tuple[TimeOfDay, TimeOfDay]:
    """`20:00-06:00`; raises `HubError`."""
    try:
        begins, ends = (datetime.strptime(part, "%H:%M").time() for part in written.split("-"))  # noqa: DTZ007
    except ValueError:
        raise HubError("this is no window of the day", code="window", hint="20:00-06:00") from None
    return begins, ends


def lines(written: str) -> list[str]:
    """The values of a list, one a line; empty lines and those that begin with # are passed over, each value once."""
    stripped = (line.strip().strip('"') for line in written.removeprefix("\ufeff").splitlines())
    return list(dict.fromkeys(value for value in stripped if value and not value.startswith("#")))


class StudyListRetrieval:
    """The lists of one hospital; `find` and `fetch` are what its PACS is asked."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        find: Callable[[RetrieveLevel, str], list[FoundStudy]],
        fetch: Callable[[str], None],
    ) -> None:
        self._database = database
        self._sender = sender
        self._find = find
        self._fetch = fetch

    def run(
        self, level: RetrieveLevel, values: Sequence[str], pace: RetrievalPace, *, again: bool = False
    ) -> Iterator[RetrievedLine]:
        """Each line that is not complete yet, or every one `again`, and what came of it."""
        with self._database.begin(DatabaseRole.GATEWAY) as connection:
            done = set() if again else self._complete(connection, level)
        last: datetime | None = None
        for value in values:
            if value in done:
                continue
            pace.wait(last)
            last = pace.clock()
            retrieved = self._line(level, value)
            self._remember(level, retrieved)
            yield retrieved

    def _line(self, level: RetrieveLevel, value: str) -> RetrievedLine:
        if len(value) > _LONGEST[level] or any(character in value for character in "*?\\") or not value.isprintable():
            return RetrievedLine(value, LineOutcome.INVALID)
        try:
            studies = self._find(level, value)
        except RetrievalRefused as refused:
            return RetrievedLine(value, LineOutcome.REFUSED, reason=refused.code)
        if not studies:
            return RetrievedLine(value, LineOutcome.NOT_FOUND)
        refusal = ""
        for study in studies:
            try:
                self._fetch(study.study_instance_uid)
            except RetrievalRefused as refused:
                refusal = refused.code
        return self._counted(value, studies, refusal)

    def _counted(self, value: str, studies: Sequence[FoundStudy], refusal: str) -> RetrievedLine:
        """Compare with the journal; a study that is whole need not wait for its quiet period."""
        announced = received = 0
        whole = True
        with self._database.begin(DatabaseRole.GATEWAY) as connection:
            for study in studies:
                came = completeness.count_received_instances(
                    connection, self._sender.hospital, study.study_instance_uid
                )
                expected = came if study.instances is None else study.instances
                announced, received = announced + expected, received + came
                if came and came >= expected:
                    completeness.close_announced_study(connection, self._sender.hospital, study.study_instance_uid)
                else:
                    whole = False
        if whole and not refusal:
            return RetrievedLine(value, LineOutcome.COMPLETE, len(studies), announced, received)
        outcome = LineOutcome.INCOMPLETE if received or not refusal else LineOutcome.REFUSED
        return RetrievedLine(value, outcome, len(studies), announced, received, refusal)

    def _complete(self, connection: Connection, level: RetrieveLevel) -> set[str]:
        return set(
            connection.execute(
                text(
                    "SELECT value FROM identifying.retrieval"
                    " WHERE hospital = :hospital AND level = :level AND outcome = 'complete'"
                ),
                {"hospital": self._sender.hospital, "level": level.value},
            ).scalars()
        )

    def _remember(self, level: RetrieveLevel, line: RetrievedLine) -> None:
        with self._database.begin(DatabaseRole.GATEWAY) as connection:
            connection.execute(
                text(
                    "INSERT INTO identifying.retrieval"
                    " (hospital, level, value, outcome, reason, studies, announced, received)"
                    " VALUES (:hospital, :level, :value, :outcome, :reason, :studies, :announced, :received)"
                    " ON CONFLICT (hospital, level, value) DO UPDATE SET outcome = excluded.outcome,"
                    " reason = excluded.reason, studies = excluded.studies, announced = excluded.announced,"
                    " received = excluded.received, tried_at = now()"
                ),
                {
                    "hospital": self._sender.hospital,
                    "level": level.value,
                    "value": line.value,
                    "outcome": line.outcome.value,
                    "reason": line.reason,
                    "studies": line.studies,
                    "announced": line.announced,
                    "received": line.received,
                },
            )
            trail.append(
                connection,
                ACTOR,
                AuditAction.STUDIES_RETRIEVED,
                f"finess:{self._sender.finess}",
                {"outcome": line.outcome.value, "studies": line.studies, "received": line.received},
            )
