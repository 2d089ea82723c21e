"""The radiologist's look: the queue, AFTER pictures with what changed and why, and the verdict.

BEFORE never passes here: the page loads it from the hospital's console, with the console's own session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from imaging_hub.archive import search, slices
from imaging_hub.archive.filters import SeriesFilter
from imaging_hub.archive.slices import SeriesSlice
from imaging_hub.errors import NotFound
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.permits.policy import Action
from imaging_hub.review import differences, verdicts
from imaging_hub.review.differences import AttributeDifference
from imaging_hub.review.verdicts import (
    REASON_LABELS,
    RejectionReason,
    SeriesChanged,
    VerdictBasis,
    VerdictOutcome,
    VerdictRecorded,
    WaitingSeries,
)
from imaging_hub.web.hub import HubVisit, Needs

api = APIRouter(prefix="/api/v1", tags=["review"])
pages = APIRouter(include_in_schema=False)

ReviewReader = Annotated[HubVisit, Needs(Action.REVIEW_READ)]
ReviewDecider = Annotated[HubVisit, Needs(Action.REVIEW_DECIDE)]
PictureReader = Annotated[HubVisit, Needs(Action.PIXELS_READ)]
SeriesUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]
FrameNumber = Annotated[float | None, Query(ge=-1e6, le=1e6, allow_inf_nan=False)]
ContentDigest = Annotated[str, Form(pattern=r"^[0-9a-f]{64}$")]


class VerdictIn(BaseModel):
    """A verdict as a program gives it."""

    verdict: str = Field(pattern="^(APPROVED|REJECTED)$")
    content_digest: str = Field(pattern="^[0-9a-f]{64}$", description="The series' content that was looked at.")
    reason: RejectionReason | None = Field(None, description="Needed to reject.")
    basis: VerdictBasis = VerdictBasis.AFTER_ONLY


@dataclass(frozen=True)
class ReviewPage:
    """What is needed to look at a series."""

    series: search.ArchivedSeries
    slices: Sequence[SeriesSlice]
    changes: Sequence[AttributeDifference]
    verdicts: Sequence[verdicts.Verdict]


def _review(visit: HubVisit, series_uid: str, number: int | None = None) -> tuple[ReviewPage, SeriesSlice | None]:
    """The series, with the attributes of its middle slice or of the one asked for."""
    with visit.begin() as connection:
        found = search.find_series(connection, SeriesFilter(series_uids=[series_uid]))
        if not found:
            raise NotFound("no such series")
        held = slices.list_slices(connection, series_uid)
        shown = held[min(len(held) // 2 if number is None else number, len(held) - 1)] if held else None
        changed = differences.list_differences(connection, series_uid, shown.sop_instance_uid if shown else None)
        return ReviewPage(found[0], held, changed, verdicts.list_verdicts(connection, series_uid)), shown


def _settle(outcome: VerdictOutcome) -> None:
    if isinstance(outcome, SeriesChanged):
        raise ProblemDetails(
            409, "content-changed", "The series has changed since you looked.", hint="look at it again"
        )
    if not isinstance(outcome, VerdictRecorded):
        raise NotFound("no such series")


def _decide(
    visit: HubVisit,
    series_uid: str,
    digest: str,
    reason: RejectionReason | None,
    basis: VerdictBasis,
    *,
    approved: bool,
) -> None:
    who = visit.person.name
    with visit.begin() as connection:
        if approved:
            outcome = verdicts.approve(connection, series_uid, digest, reviewer=who, basis=basis)
        elif reason is None:
            raise ProblemDetails(
                422, "reason-missing", "A rejection needs its reason.", hint="choose one from the list"
            )
        else:
            outcome = verdicts.reject(connection, series_uid, digest, reason=reason, reviewer=who, basis=basis)
    _settle(outcome)


@api.get("/reviews")
def list_waiting(visit: ReviewReader) -> list[WaitingSeries]:
    """Series that wait for a verdict, the riskiest first."""
    with visit.begin() as connection:
        return list(verdicts.list_waiting(connection))


@api.get("/reviews/{series_instance_uid}")
def show_review(visit: ReviewReader, series_instance_uid: SeriesUid) -> ReviewPage:
    """A series with what changed in it, by which rule, and the verdicts on it."""
    return _review(visit, series_instance_uid)[0]


@api.post("/reviews/{series_instance_uid}", status_code=204, response_class=Response)
def give_verdict(visit: ReviewDecider, series_instance_uid: SeriesUid, body: VerdictIn) -> Response:
    """Approve or reject the series' present content."""
    approved = body.verdict == "APPROVED"
    _decide(visit, series_instance_uid, body.content_digest, body.reason, body.basis, approved=approved)
    return Response(status_code=204)


@pages.get("/reviews")
def queue_page(visit: ReviewReader, done: Annotated[str, Query(max_length=64, pattern=r"^[0-9.]*$")] = "") -> Response:
    """The queue."""
    with visit.begin() as connection:
        waiting, counted = verdicts.list_waiting(connection), verdicts.count_by_state(connection)
    return visit.page("reviews.html", waiting=waiting, counts=counted, done=done)


@pages.get("/reviews/{series_instance_uid}")
def review_page(
    visit: ReviewReader,
    series_instance_uid: SeriesUid,
    n: Annotated[int | None, Query(ge=0, lt=1 << 31)] = None,
    done: Annotated[str, Query(max_length=64, pattern=r"^[0-9.]*$")] = "",
) -> Response:
    """BEFORE and AFTER side by side, the differences, and the verdict."""
    review, shown = _review(visit, series_instance_uid, n)
    with visit.begin() as connection:
        waiting = [other.series_instance_uid for other in verdicts.list_waiting(connection)]
    return visit.page(
        "review.html",
        review=review,
        shown=shown,
        window=visit.app.pictures.window(shown.digest) if shown else None,
        reasons=REASON_LABELS,
        waiting=waiting,
        done=done,
        console=visit.app.settings.console_url,
    )


@pages.post("/reviews/{series_instance_uid}")
def verdict_form(
    *,
    visit: ReviewDecider,
    series_instance_uid: SeriesUid,
    verdict: Annotated[str, Form(pattern="^(APPROVED|REJECTED)$")],
    content_digest: ContentDigest,
    basis: Annotated[VerdictBasis, Form()],
    reason: Annotated[RejectionReason | None, Form()] = None,
) -> Response:
    """Take the verdict and go on to the next series."""
    approved = verdict == "APPROVED"
    _decide(visit, series_instance_uid, content_digest, reason, basis, approved=approved)
    with visit.begin() as connection:
        following = next(iter(verdicts.list_waiting(connection, limit=1)), None)
    path = f"/reviews/{following.series_instance_uid}" if following else "/reviews"
    return RedirectResponse(f"{path}?done={series_instance_uid}", 303)


@pages.get("/reviews/{series_instance_uid}/after/{sop_instance_uid}/{frame}.png")
def after_picture(
    *,
    visit: PictureReader,
    series_instance_uid: SeriesUid,
    sop_instance_uid: SeriesUid,
    frame: Annotated[int, Path(ge=0, lt=1 << 31)],
    center: FrameNumber = None,
    width: Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False)] = None,
) -> Response:
    """One frame of the archived instance, re-encoded as PNG."""
    with visit.begin() as connection:
        held = slices.find_slice(connection, series_instance_uid, sop_instance_uid)
    if held is None or frame >= held.frames:
        raise NotFound("no such picture")
    return Response(visit.app.pictures.png(held.digest, frame, center, width), media_type="image/png")
