"""Proposed links between subjects and persons of the SNDS: their evidence, and the opinions of two people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from starlette.responses import Response

from imaging_hub.errors import NotFound
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.permits.policy import Action
from imaging_hub.snds import clerical_review
from imaging_hub.snds.clerical_review import LinkEvidence, LinkProposal, ProposalOpinion, ProposalOutcome
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.web.authorization import HubRequest, RequiresAction

api = APIRouter(prefix="/api/v1", tags=["linkage"])
pages = APIRouter(include_in_schema=False)

LinkReviewer = Annotated[HubRequest, RequiresAction(Action.LINK_REVIEW)]
SubjectPseudonym = Annotated[str, Path(pattern=r"^[\w.-]{1,64}$")]

_PROBLEM_OF_OUTCOME = {
    ProposalOutcome.NOT_TWICE: (
        "not-twice",
        "You have said something of this pair already.",
        "somebody else has to look",
    ),
    ProposalOutcome.BUSY: ("busy", "Somebody else is deciding, or a linkage is under way.", "try again in a moment"),
}


class OpinionIn(BaseModel):
    """An opinion by the API."""

    opinion: ProposalOpinion


class ProposalOutcomeView(BaseModel):
    """The state of the proposal after the opinion."""

    outcome: ProposalOutcome


def _evidence(request: HubRequest, pseudonym: str) -> LinkEvidence:
    settings = request.app.settings
    codes = ProcedureCodes.read(settings.procedure_codes)
    with request.begin() as connection:
        evidence = clerical_review.find_evidence(connection, settings.tables, codes, pseudonym, request.person.name)
    if evidence is None:
        raise NotFound("no such proposal", hint="it may be decided; look at the list")
    return evidence


def _decide(request: HubRequest, pseudonym: str, opinion: ProposalOpinion) -> ProposalOutcome:
    with request.begin() as connection:
        outcome = clerical_review.decide(connection, pseudonym, opinion, account=request.person.name)
    if outcome is ProposalOutcome.GONE:
        raise NotFound("no such proposal", hint="it may be decided; look at the list")
    if outcome in _PROBLEM_OF_OUTCOME:
        code, message, hint = _PROBLEM_OF_OUTCOME[outcome]
        raise ProblemDetails(409, code, message, hint=hint)
    return outcome


def _queue(request: HubRequest) -> Sequence[LinkProposal]:
    with request.begin() as connection:
        return clerical_review.list_proposals(connection, request.person.name)


@api.get("/link-proposals")
def list_proposals(request: LinkReviewer) -> list[LinkProposal]:
    """Pairs that wait for an opinion, yours first."""
    return list(_queue(request))


@api.get("/link-proposals/{pseudonym}")
def show_proposal(request: LinkReviewer, pseudonym: SubjectPseudonym) -> LinkEvidence:
    """The exams of a pair that agree."""
    return _evidence(request, pseudonym)


@api.post("/link-proposals/{pseudonym}")
def give_opinion(request: LinkReviewer, pseudonym: SubjectPseudonym, body: OpinionIn) -> ProposalOutcomeView:
    """Say whether both are one person; two who agree make a link, otherwise the proposal is discarded."""
    return ProposalOutcomeView(outcome=_decide(request, pseudonym, body.opinion))


@pages.get("/linkage")
def queue_page(request: LinkReviewer, done: Annotated[ProposalOutcome | None, Query()] = None) -> Response:
    """The queue as a page."""
    return request.page("linkage.html", proposals=_queue(request), done=done)


@pages.get("/linkage/{pseudonym}")
def proposal_page(request: LinkReviewer, pseudonym: SubjectPseudonym) -> Response:
    """Both sides of a pair, and the form for the opinion."""
    return request.page("proposal.html", evidence=_evidence(request, pseudonym))


@pages.post("/linkage/{pseudonym}")
def opinion_form(
    request: LinkReviewer, pseudonym: SubjectPseudonym, opinion: Annotated[ProposalOpinion, Form()]
) -> Response:
    """Record the opinion and go back to the queue."""
    return RedirectResponse(f"/linkage?done={_decide(request, pseudonym, opinion)}", 303)
