"""Actions of the hospital's staff: add a refused sender, close a study, process quarantined instances again, purge."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from imaging_hub.console.route_parameters import RowNumber, StaffRequest
from imaging_hub.errors import HubError, NotFound
from imaging_hub.gateway import senders
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.intake import completeness, quarantine

router = APIRouter(include_in_schema=False)

FormText = Annotated[str, Form(max_length=200)]


@router.post("/senders")
def add_sender(request: StaffRequest, calling_ae_title: FormText, address: FormText, like: FormText) -> Response:
    """Add a refused sender with the hospital and settings of the sender `like`."""
    with request.begin() as connection:
        model = next((sender for sender in senders.list_senders(connection) if sender.calling_ae_title == like), None)
        if model is None:
            raise NotFound("Il n'y a pas de tel expéditeur.")
        new = replace(model, calling_ae_title=calling_ae_title, address=address)
        if calling_ae_title.strip() != model.calling_ae_title:
            # Certificate and query address belong to one machine.
            new = replace(new, certificate=None, query=None, retrieves=False)
        try:
            senders.add(connection, new, by=request.person.name)
        except HubError as fault:
            raise ProblemDetails(422, fault.code, "Cet expéditeur ne peut pas être ajouté.", hint=fault.hint) from None
    return RedirectResponse(f"/senders/{quote(calling_ae_title.strip(), safe='')}", 303)


@router.post("/studies/{study}/complete")
def close_study(request: StaffRequest, study: RowNumber) -> Response:
    """Close an open study without waiting for its quiet period."""
    with request.begin() as connection:
        if not completeness.close_study(connection, study, by=request.person.name):
            raise ProblemDetails(409, "not-open", "Cet examen n'est pas en cours de réception.")
    return RedirectResponse(f"/studies/{study}", 303)


@router.post("/quarantine/{instance}/replay")
def replay(request: StaffRequest, instance: RowNumber) -> Response:
    """Process one quarantined instance again."""
    with request.begin() as connection:
        if not quarantine.replay(connection, [instance], by=request.person.name):
            raise ProblemDetails(409, "not-replayable", "Cette instance ne peut pas être retraitée.")
    return RedirectResponse("/quarantine", 303)


@router.post("/quarantine/replay")
def replay_all(request: StaffRequest, reason: FormText) -> Response:
    """Process all instances quarantined for a reason again, as after a change of rules."""
    with request.begin() as connection:
        if not quarantine.replay(connection, quarantine.list_row_numbers(connection, reason), by=request.person.name):
            raise ProblemDetails(409, "not-replayable", "Aucune de ces instances ne peut être retraitée.")
    return RedirectResponse("/quarantine", 303)


@router.post("/quarantine/{instance}/purge")
def purge(request: StaffRequest, instance: RowNumber) -> Response:
    """Delete the original of a quarantined instance."""
    with request.begin() as connection:
        if not quarantine.purge(connection, request.app.spool, instance, by=request.person.name):
            raise ProblemDetails(409, "original-gone", "L'original n'est plus conservé.")
    return RedirectResponse(f"/quarantine/{instance}", 303)
