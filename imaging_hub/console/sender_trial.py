"""The first study of a sender, followed from the outside: refused or let in, received, settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from imaging_hub.database import DatabaseLogin, database_time
from imaging_hub.gateway import rejections, senders
from imaging_hub.intake import receipts
from imaging_hub.intake.receipts import StudyReceipt

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class TrialStep:
    """One thing that happened on the way."""

    text: str
    good: bool = True
    cure: str = ""
    final: bool = False
    """Nothing comes after it."""


def follow(
    login: DatabaseLogin,
    ae_title: str,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[TrialStep]:
    """The steps as they happen, until the study is settled or the time is over; `HubError` for an unknown title."""
    with login.begin() as connection:
        hospital = senders.named(connection, ae_title).hospital
        since = database_time(connection)
    until = clock() + seconds
    told: set[str] = set()
    while True:
        with login.begin() as connection:
            steps = list(_steps(connection, ae_title, hospital, since))
        for step in steps:
            if step.text not in told:
                told.add(step.text)
                yield step
        if steps and steps[-1].final:
            return
        if clock() >= until:
            break
        sleep(LOOK_SECONDS)
    if not told:
        yield TrialStep(
            "nothing came, and nobody was refused", False, "check host and port at the PACS, and firewalls between"
        )
    else:
        yield TrialStep("the time is over", False, "imaging-hub doctor names what waits")


def _steps(connection: Connection, title: str, hospital: str, since: datetime) -> Iterator[TrialStep]:
    refused = rejections.last_of(connection, title, since)
    study = receipts.find_newest_receipt(connection, hospital, since)
    if refused is not None and study is None:
        yield TrialStep(f"refused from {refused.address}: {refused.reason}", False, "imaging-hub doctor names the cure")
    if study is not None:
        yield TrialStep("the association is accepted")
        yield from _of_study(study)


def _of_study(study: StudyReceipt) -> Iterator[TrialStep]:
    if study.state == "OPEN":
        return
    yield TrialStep(f"study {study.id} is complete: {study.received} instances")
    if study.state == "PROCESSED":
        for reason in study.reasons:
            yield TrialStep(f"held back: {reason}", False, "the console says why, under quarantine")
        all_held = study.deidentified == 0
        yield TrialStep(
            f"profile {study.profile}: {study.deidentified} of {study.received} instances are in the archive",
            not all_held,
            final=True,
        )
