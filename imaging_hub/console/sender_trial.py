"""The first study of a sender, followed from the outside: refused or let in, received, settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.database import DatabaseLogin
from imaging_hub.gateway import senders

LOOK_SECONDS = 0.5

_SINCE = "SELECT clock_timestamp()"
_REFUSED = """
    SELECT reason, abbrev(address) AS address FROM identifying.rejection
    WHERE calling_ae_title = :title AND at > :since ORDER BY id DESC LIMIT 1
"""
_STUDY = """
    SELECT s.id, s.state, s.profile, count(i.id) AS received,
           count(i.id) FILTER (WHERE i.state = 'ARCHIVED') AS archived,
           array_agg(DISTINCT i.reason) FILTER (WHERE i.reason IS NOT NULL) AS reasons
    FROM identifying.study s JOIN identifying.instance i ON i.study = s.id
    WHERE s.hospital = :hospital AND s.last_received_at > :since GROUP BY s.id ORDER BY s.id DESC LIMIT 1
"""


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
        since = connection.execute(text(_SINCE)).scalar_one()
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


def _steps(connection: Connection, title: str, hospital: str, since: object) -> Iterator[TrialStep]:
    refused = connection.execute(text(_REFUSED), {"title": title, "since": since}).one_or_none()
    study = connection.execute(text(_STUDY), {"hospital": hospital, "since": since}).one_or_none()
    if refused is not None and study is None:
        yield TrialStep(f"refused from {refused.address}: {refused.reason}", False, "imaging-hub doctor names the cure")
    if study is not None:
        yield TrialStep("the association is accepted")
        yield from _of_study(study)


def _of_study(study: Row[Any]) -> Iterator[TrialStep]:
    if study.state == "OPEN":
        return
    yield TrialStep(f"study {study.id} is complete: {study.received} instances")
    if study.state == "PROCESSED":
        for reason in study.reasons or ():
            yield TrialStep(f"held back: {reason}", False, "the console says why, under quarantine")
        all_held = study.archived == 0
        yield TrialStep(
            f"profile {study.profile}: {study.archived} of {study.received} instances are in the archive",
            not all_held,
            final=True,
        )
