"""Proposed links between subjects and persons of the SNDS: what agrees, and what two people say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from starlette.responses import Response

from imaging_hub.errors import NotFound
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.permits.policy import Action
from imaging_hub.snds import clerical_review
from imaging_hub.snds.clerical_review import LinkEvidence, LinkProposal, ProposalOpinion, ProposalOutcome
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.web.hub import HubVisit, Needs

api = APIRouter(prefix="/api/v1", tags=["linkage"])
pages = APIRouter(include_in_schema=False)

LinkReviewer = Annotated[HubVisit, Needs(Action.LINK_REVIEW)]
SubjectPseudonym = Annotated[str, Path(pattern=r"^[\w.-]{1,64}$")]

_REFUSED = {
    ProposalOutcome.NOT_TWICE: (
        "not-twice",
        "You have said something of this pair already.",
        "somebody else has to look",
    ),
    ProposalOutcome.BUSY: ("busy", "Somebody else is deciding, or a linkage is under way.", "try again in a moment"),
}


class OpinionIn(BaseModel):
    """An opinion as a program gives it."""

    opinion: ProposalOpinion


class ProposalOutcomeView(BaseModel):
    """What became of the proposal."""

    outcome: ProposalOutcome


def _evidence(visit: HubVisit, pseudonym: str) -> LinkEvidence:
    settings = visit.app.settings
    codes = ProcedureCodes.read(settings.procedure_codes)
    with visit.begin() as connection:
        found = clerical_review.find_evidence(connection, settings.tables, codes, pseudonym, visit.person.name)
    if found is None:
        raise NotFound("no such proposal", hint="it may be decided; look at the list")
    return found


def _decided(visit: HubVisit, pseudonym: str, opinion: ProposalOpinion) -> ProposalOutcome:
    with visit.begin() as connection:
        settled = clerical_review.decide(connection, pseudonym, opinion, account=visit.person.name)
    if settled is ProposalOutcome.GONE:
        raise NotFound("no such proposal", hint="it may be decided; look at the list")
    if settled in _REFUSED:
        code, what, hint = _REFUSED[settled]
        raise ProblemDetails(409, code, what, hint=hint)
    return settled


def _queue(visit: HubVisit) -> Sequence[LinkProposal]:
    with visit.begin() as connection:
        return clerical_review.list_proposals(connection, visit.person.name)


@api.get("/link-proposals")
def list_proposals(visit: LinkReviewer) -> list[LinkProposal]:
    """Pairs that wait for people, those you can decide on first."""
    return list(_queue(visit))


@api.get("/link-proposals/{pseudonym}")
def show_proposal(visit: LinkReviewer, pseudonym: SubjectPseudonym) -> LinkEvidence:
    """What agrees of a pair, exam by exam."""
    return _evidence(visit, pseudonym)


@api.post("/link-proposals/{pseudonym}")
def give_opinion(visit: LinkReviewer, pseudonym: SubjectPseudonym, body: OpinionIn) -> ProposalOutcomeView:
    """Say whether both are one person; two who say so make a link, anything else sets it aside."""
    return ProposalOutcomeView(outcome=_decided(visit, pseudonym, body.opinion))


@pages.get("/linkage")
def queue_page(visit: LinkReviewer, done: Annotated[ProposalOutcome | None, Query()] = None) -> Response:
    """The queue."""
    return visit.page("linkage.html", proposals=_queue(visit), done=done)


@pages.get("/linkage/{pseudonym}")
def proposal_page(visit: LinkReviewer, pseudonym: SubjectPseudonym) -> Response:
    """Both sides of a pair, and the question."""
    return visit.page("proposal.html", found=_evidence(visit, pseudonym))


@pages.post("/linkage/{pseudonym}")
def opinion_form(
    visit: LinkReviewer, pseudonym: SubjectPseudonym, opinion: Annotated[ProposalOpinion, Form()]
) -> Response:
    """Take the opinion and go back to the queue."""
    return RedirectResponse(f"/linkage?done={_decided(visit, pseudonym, opinion)}", 303)
