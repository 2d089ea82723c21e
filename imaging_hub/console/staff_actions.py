"""What staff do at the console: let a sender in, close a study, process again what is held, or purge it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from imaging_hub.console.visit import STAFF, ConsoleVisit, For
from imaging_hub.errors import HubError, NotFound
from imaging_hub.gateway import senders
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.intake import completeness, quarantine

router = APIRouter(include_in_schema=False)

Staff = Annotated[ConsoleVisit, For(STAFF)]
RowNumber = Annotated[int, Path(ge=1, lt=1 << 62)]
FormText = Annotated[str, Form(max_length=200)]


@router.post("/senders")
def let_in(visit: Staff, calling_ae_title: FormText, address: FormText, like: FormText) -> Response:
    """Let in who was refused, as a sender that is known by its AE title is: of its hospital, under its conditions."""
    with visit.begin() as connection:
        known = next((one for one in senders.list_senders(connection) if one.calling_ae_title == like), None)
        if known is None:
            raise NotFound("Il n'y a pas de tel expéditeur.")
        alike = replace(known, calling_ae_title=calling_ae_title, address=address)
        if calling_ae_title.strip() != known.calling_ae_title:
            # A certificate is of one machine, and so is the receiver behind its AE title.
            alike = replace(alike, certificate=None, query=None, retrieves=False)
        try:
            senders.add(connection, alike, by=visit.person.name)
        except HubError as fault:
            raise ProblemDetails(422, fault.code, "Cet expéditeur ne peut pas être ajouté.", hint=fault.hint) from None
    return RedirectResponse(f"/senders/{quote(calling_ae_title.strip(), safe='')}", 303)


@router.post("/studies/{study}/complete")
def complete(visit: Staff, study: RowNumber) -> Response:
    """Process an open study without waiting for its quiet period."""
    with visit.begin() as connection:
        if not completeness.close_study(connection, study, by=visit.person.name):
            raise ProblemDetails(409, "not-open", "Cet examen n'est pas en cours de réception.")
    return RedirectResponse(f"/studies/{study}", 303)


@router.post("/quarantine/{instance}/replay")
def replay(visit: Staff, instance: RowNumber) -> Response:
    """Process one held instance again."""
    with visit.begin() as connection:
        if not quarantine.replay(connection, [instance], by=visit.person.name):
            raise ProblemDetails(409, "not-replayable", "Cette instance ne peut pas être retraitée.")
    return RedirectResponse("/quarantine", 303)


@router.post("/quarantine/replay")
def replay_all(visit: Staff, reason: FormText) -> Response:
    """Process again whatever is held for a reason: a rule has changed."""
    with visit.begin() as connection:
        if not quarantine.replay(connection, quarantine.list_row_numbers(connection, reason), by=visit.person.name):
            raise ProblemDetails(409, "not-replayable", "Aucune de ces instances ne peut être retraitée.")
    return RedirectResponse("/quarantine", 303)


@router.post("/quarantine/{instance}/purge")
def purge(visit: Staff, instance: RowNumber) -> Response:
    """Delete the original of a held instance."""
    with visit.begin() as connection:
        if not quarantine.purge(connection, visit.app.spool, instance, by=visit.person.name):
            raise ProblemDetails(409, "original-gone", "L'original n'est plus conservé.")
    return RedirectResponse(f"/quarantine/{instance}", 303)
