"""Retrieval of a list of accession numbers, studies or patients from a PACS, at a limited pace.

The outcome of each line is stored, so that an interrupted list continues where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as TimeOfDay

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import HubError, RetrievalRefused
from imaging_hub.gateway.senders import ACTOR, Sender
from imaging_hub.intake import completeness
from imaging_hub.retrieval import progress
from imaging_hub.retrieval.progress import LineOutcome, RetrievedLine
from imaging_hub.retrieval.query_retrieve_scu import FoundStudy, RetrieveLevel

_MAX_CHARACTERS = {RetrieveLevel.ACCESSION: 16, RetrieveLevel.STUDY: 64, RetrieveLevel.PATIENT: 64}


@dataclass(frozen=True)
class RetrievalPace:
    """Lines per hour, and the hours of the day, at which a PACS may be queried."""

    per_hour: int | None = None
    window: tuple[TimeOfDay, TimeOfDay] | None = None
    """Begin and end in local time; over midnight when the end is earlier."""
    clock: Callable[[], datetime] = datetime.now
    sleep: Callable[[float], None] = time.sleep

    def wait(self, last: datetime | None) -> None:
        """Sleep until the next line may begin; `last` is when the previous one began."""
        now = self.clock()
        at = now
        if self.per_hour is not None and last is not None:
            at = max(at, last + timedelta(hours=1) / self.per_hour)
        at = self._next_in_window(at)
        if at > now:
            self.sleep((at - now).total_seconds())

    def _next_in_window(self, at: datetime) -> datetime:
        """Return the first moment from `at` on that lies in the window."""
        if self.window is None:
            return at
        begins, ends = self.window
        time_of_day = at.time()
        inside = begins <= time_of_day < ends if begins < ends else time_of_day >= begins or time_of_day < ends
        if inside:
            return at
        opening = at.replace(hour=begins.hour, minute=begins.minute, second=0, microsecond=0)
        return opening if opening > at else opening + timedelta(days=1)


def parse_window(text: str) -> tuple[TimeOfDay, TimeOfDay]:
    """Parse a window such as `20:00-06:00`. Raises `HubError`."""
    try:
        begins, ends = (datetime.strptime(part, "%H:%M").time() for part in text.split("-"))  # noqa: DTZ007
    except ValueError:
        raise HubError("this is no window of the day", code="window", hint="20:00-06:00") from None
    return begins, ends


def parse_list(text: str) -> list[str]:
    """Return the distinct values of a list, one per line; empty lines and those that begin with # are skipped."""
    stripped = (line.strip().strip('"') for line in text.removeprefix("\ufeff").splitlines())
    return list(dict.fromkeys(value for value in stripped if value and not value.startswith("#")))


class StudyListRetrieval:
    """Retrieves lists from one hospital's PACS, by `find` and `fetch`, which may raise `RetrievalRefused`."""

    def __init__(
        self,
        login: DatabaseLogin,
        sender: Sender,
        find: Callable[[RetrieveLevel, str], list[FoundStudy]],
        fetch: Callable[[str], None],
    ) -> None:
        self._login = login
        self._sender = sender
        self._find = find
        self._fetch = fetch

    def run(
        self, level: RetrieveLevel, values: Sequence[str], pace: RetrievalPace, *, again: bool = False
    ) -> Iterator[RetrievedLine]:
        """Retrieve each line that is not complete yet, or every line if `again`, and yield its outcome."""
        with self._login.begin() as connection:
            complete = set() if again else progress.list_complete_values(connection, self._sender.hospital, level.value)
        last: datetime | None = None
        for value in values:
            if value in complete:
                continue
            pace.wait(last)
            last = pace.clock()
            retrieved = self._retrieve_line(level, value)
            self._record(level, retrieved)
            yield retrieved

    def _retrieve_line(self, level: RetrieveLevel, value: str) -> RetrievedLine:
        if (
            len(value) > _MAX_CHARACTERS[level]
            or any(character in value for character in "*?\\")
            or not value.isprintable()
        ):
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
        return self._compare_with_journal(value, studies, refusal)

    def _compare_with_journal(self, value: str, studies: Sequence[FoundStudy], refusal: str) -> RetrievedLine:
        """Compare the announced counts with the journal, and close the studies that are complete."""
        announced = received = 0
        complete = True
        with self._login.begin() as connection:
            for study in studies:
                in_journal = completeness.count_received_instances(
                    connection, self._sender.hospital, study.study_instance_uid
                )
                expected = in_journal if study.instances is None else study.instances
                announced, received = announced + expected, received + in_journal
                if in_journal and in_journal >= expected:
                    completeness.close_announced_study(connection, self._sender.hospital, study.study_instance_uid)
                else:
                    complete = False
        if complete and not refusal:
            return RetrievedLine(value, LineOutcome.COMPLETE, len(studies), announced, received)
        outcome = LineOutcome.INCOMPLETE if received or not refusal else LineOutcome.REFUSED
        return RetrievedLine(value, outcome, len(studies), announced, received, refusal)

    def _record(self, level: RetrieveLevel, line: RetrievedLine) -> None:
        with self._login.begin() as connection:
            progress.record_line(connection, self._sender.hospital, level.value, line)
            trail.append(
                connection,
                ACTOR,
                AuditAction.STUDIES_RETRIEVED,
                f"finess:{self._sender.finess}",
                {"outcome": line.outcome.value, "studies": line.studies, "received": line.received},
            )
