"""Retrieval from a PACS by a list: accession numbers, studies or patients, a line each, at a pace that the PACS bears.

What came of each line stays in the database: a list that was interrupted goes on where it was.
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

_LONGEST = {RetrieveLevel.ACCESSION: 16, RetrieveLevel.STUDY: 64, RetrieveLevel.PATIENT: 64}


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
        """Each line that is not complete yet, or every one `again`, and what came of it."""
        with self._login.begin() as connection:
            done = set() if again else progress.complete_lines(connection, self._sender.hospital, level.value)
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
        with self._login.begin() as connection:
            for study in studies:
                came = completeness.received(connection, self._sender.hospital, study.study_instance_uid)
                expected = came if study.instances is None else study.instances
                announced, received = announced + expected, received + came
                if came and came >= expected:
                    completeness.announced(connection, self._sender.hospital, study.study_instance_uid)
                else:
                    whole = False
        if whole and not refusal:
            return RetrievedLine(value, LineOutcome.COMPLETE, len(studies), announced, received)
        outcome = LineOutcome.INCOMPLETE if received or not refusal else LineOutcome.REFUSED
        return RetrievedLine(value, outcome, len(studies), announced, received, refusal)

    def _remember(self, level: RetrieveLevel, line: RetrievedLine) -> None:
        with self._login.begin() as connection:
            progress.note_line(connection, self._sender.hospital, level.value, line)
            trail.append(
                connection,
                ACTOR,
                AuditAction.STUDIES_RETRIEVED,
                f"finess:{self._sender.finess}",
                {"outcome": line.outcome.value, "studies": line.studies, "received": line.received},
            )
