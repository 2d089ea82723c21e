"""Progress of a new sender's first study: refused or accepted, received, archived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from imaging_hub.database import DatabaseLogin, database_time
from imaging_hub.gateway import rejection_log, senders
from imaging_hub.intake import receipts
from imaging_hub.intake.completeness import ReceivedStudyState
from imaging_hub.intake.receipts import StudyReceipt

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FirstStudyStep:
    """One step of the progress."""

    text: str
    good: bool = True
    remedy: str = ""
    final: bool = False
    """Whether it is the last step."""


def follow_first_study(
    login: DatabaseLogin,
    ae_title: str,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[FirstStudyStep]:
    """Yield the steps as they happen, until the study is settled or `seconds` are over.

    Raises `HubError` for an unknown AE title.
    """
    with login.begin() as connection:
        hospital = senders.find_by_title(connection, ae_title).hospital
        since = database_time(connection)
    until = clock() + seconds
    seen: set[str] = set()
    while True:
        with login.begin() as connection:
            steps = list(_steps(connection, ae_title, hospital, since))
        for step in steps:
            if step.text not in seen:
                seen.add(step.text)
                yield step
        if steps and steps[-1].final:
            return
        if clock() >= until:
            break
        sleep(POLL_SECONDS)
    if not seen:
        yield FirstStudyStep(
            "nothing came, and nobody was refused", False, "check host and port at the PACS, and firewalls between"
        )
    else:
        yield FirstStudyStep("the time is over", False, "imaging-hub doctor names what waits")


def _steps(connection: Connection, title: str, hospital: str, since: datetime) -> Iterator[FirstStudyStep]:
    refused = rejection_log.find_last(connection, title, since)
    study = receipts.find_newest_receipt(connection, hospital, since)
    if refused is not None and study is None:
        yield FirstStudyStep(
            f"refused from {refused.address}: {refused.reason}", False, "imaging-hub doctor names the remedy"
        )
    if study is not None:
        yield FirstStudyStep("the association is accepted")
        yield from _study_steps(study)


def _study_steps(study: StudyReceipt) -> Iterator[FirstStudyStep]:
    if study.state is ReceivedStudyState.OPEN:
        return
    yield FirstStudyStep(f"study {study.id} is complete: {study.received} instances")
    if study.state is ReceivedStudyState.PROCESSED:
        for reason in study.reasons:
            yield FirstStudyStep(f"held back: {reason}", False, "the console says why, under quarantine")
        all_quarantined = study.deidentified == 0
        yield FirstStudyStep(
            f"profile {study.profile}: {study.deidentified} of {study.received} instances are in the archive",
            not all_quarantined,
            final=True,
        )
