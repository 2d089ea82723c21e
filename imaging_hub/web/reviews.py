"""Review by radiologists: the queue, AFTER images with the changed attributes, and the verdict.

BEFORE images are loaded from the hospital's console with the console's own session, and never pass through the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from imaging_hub.archive import search, series_slices
from imaging_hub.archive.index import ReviewState
from imaging_hub.archive.search_filters import SeriesFilter
from imaging_hub.archive.series_slices import SeriesSlice
from imaging_hub.errors import NotFound
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.permits.policy import Action
from imaging_hub.review import differences, verdicts
from imaging_hub.review.differences import AttributeDifference
from imaging_hub.review.verdicts import (
    REASON_LABELS,
    GivenVerdict,
    RejectionReason,
    SeriesChanged,
    VerdictBasis,
    VerdictOutcome,
    VerdictRecorded,
    WaitingSeries,
)
from imaging_hub.web.authorization import HubRequest, RequiresAction

api = APIRouter(prefix="/api/v1", tags=["review"])
pages = APIRouter(include_in_schema=False)

ReviewReader = Annotated[HubRequest, RequiresAction(Action.REVIEW_READ)]
ReviewDecider = Annotated[HubRequest, RequiresAction(Action.REVIEW_DECIDE)]
PictureReader = Annotated[HubRequest, RequiresAction(Action.PIXELS_READ)]
UidParameter = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]
WindowCenter = Annotated[float | None, Query(ge=-1e6, le=1e6, allow_inf_nan=False)]
ContentDigest = Annotated[str, Form(pattern=r"^[0-9a-f]{64}$")]


class VerdictIn(BaseModel):
    """A verdict by the API."""

    verdict: GivenVerdict
    content_digest: str = Field(pattern="^[0-9a-f]{64}$", description="The series' content that was looked at.")
    reason: RejectionReason | None = Field(None, description="Needed to reject.")
    basis: VerdictBasis = VerdictBasis.AFTER_ONLY


@dataclass(frozen=True)
class ReviewPage:
    """A series with its slices, changes and verdicts."""

    series: search.ArchivedSeries
    slices: Sequence[SeriesSlice]
    changes: Sequence[AttributeDifference]
    verdicts: Sequence[verdicts.Verdict]


def _review(request: HubRequest, series_uid: str, number: int | None = None) -> tuple[ReviewPage, SeriesSlice | None]:
    """Return the series with the changes of slice `number`, by default of its middle slice."""
    with request.begin() as connection:
        series = search.find_series(connection, SeriesFilter(series_uids=[series_uid]))
        if not series:
            raise NotFound("no such series")
        slices = series_slices.list_slices(connection, series_uid)
        shown = slices[min(len(slices) // 2 if number is None else number, len(slices) - 1)] if slices else None
        changed = differences.list_differences(connection, series_uid, shown.sop_instance_uid if shown else None)
        return ReviewPage(series[0], slices, changed, verdicts.list_verdicts(connection, series_uid)), shown


def _raise_unless_recorded(outcome: VerdictOutcome) -> None:
    if isinstance(outcome, SeriesChanged):
        raise ProblemDetails(
            409, "content-changed", "The series has changed since you looked.", hint="look at it again"
        )
    if not isinstance(outcome, VerdictRecorded):
        raise NotFound("no such series")


def _decide(
    request: HubRequest,
    series_uid: str,
    digest: str,
    reason: RejectionReason | None,
    basis: VerdictBasis,
    *,
    approved: bool,
) -> None:
    reviewer = request.person.name
    with request.begin() as connection:
        if approved:
            outcome = verdicts.approve(connection, series_uid, digest, reviewer=reviewer, basis=basis)
        elif reason is None:
            raise ProblemDetails(
                422, "reason-missing", "A rejection needs its reason.", hint="choose one from the list"
            )
        else:
            outcome = verdicts.reject(connection, series_uid, digest, reason=reason, reviewer=reviewer, basis=basis)
    _raise_unless_recorded(outcome)


@api.get("/reviews")
def list_waiting(request: ReviewReader) -> list[WaitingSeries]:
    """Series that wait for a verdict, highest risk first."""
    with request.begin() as connection:
        return list(verdicts.list_waiting(connection))


@api.get("/reviews/{series_instance_uid}")
def show_review(request: ReviewReader, series_instance_uid: UidParameter) -> ReviewPage:
    """A series with its changes, the rules behind them, and its verdicts."""
    return _review(request, series_instance_uid)[0]


@api.post("/reviews/{series_instance_uid}", status_code=204, response_class=Response)
def give_verdict(request: ReviewDecider, series_instance_uid: UidParameter, body: VerdictIn) -> Response:
    """Approve or reject the present content of a series."""
    approved = body.verdict is ReviewState.APPROVED
    _decide(request, series_instance_uid, body.content_digest, body.reason, body.basis, approved=approved)
    return Response(status_code=204)


@pages.get("/reviews")
def queue_page(
    request: ReviewReader, done: Annotated[str, Query(max_length=64, pattern=r"^[0-9.]*$")] = ""
) -> Response:
    """The queue as a page."""
    with request.begin() as connection:
        waiting, counted = verdicts.list_waiting(connection), verdicts.count_by_state(connection)
    return request.page("reviews.html", waiting=waiting, counts=counted, done=done)


@pages.get("/reviews/{series_instance_uid}")
def review_page(
    request: ReviewReader,
    series_instance_uid: UidParameter,
    n: Annotated[int | None, Query(ge=0, lt=1 << 31)] = None,
    done: Annotated[str, Query(max_length=64, pattern=r"^[0-9.]*$")] = "",
) -> Response:
    """BEFORE and AFTER side by side, the changes, and the form for the verdict."""
    review, shown = _review(request, series_instance_uid, n)
    with request.begin() as connection:
        waiting = [other.series_instance_uid for other in verdicts.list_waiting(connection)]
    return request.page(
        "review.html",
        review=review,
        shown=shown,
        window=request.app.pictures.window(shown.digest) if shown else None,
        reasons=REASON_LABELS,
        waiting=waiting,
        done=done,
        console=request.app.settings.console_url,
    )


@pages.post("/reviews/{series_instance_uid}")
def verdict_form(
    *,
    request: ReviewDecider,
    series_instance_uid: UidParameter,
    verdict: Annotated[GivenVerdict, Form()],
    content_digest: ContentDigest,
    basis: Annotated[VerdictBasis, Form()],
    reason: Annotated[RejectionReason | None, Form()] = None,
) -> Response:
    """Record the verdict and go to the next series."""
    approved = verdict is ReviewState.APPROVED
    _decide(request, series_instance_uid, content_digest, reason, basis, approved=approved)
    with request.begin() as connection:
        following = next(iter(verdicts.list_waiting(connection, limit=1)), None)
    path = f"/reviews/{following.series_instance_uid}" if following else "/reviews"
    return RedirectResponse(f"{path}?done={series_instance_uid}", 303)


@pages.get("/reviews/{series_instance_uid}/after/{sop_instance_uid}/{frame}.png")
def after_picture(
    *,
    request: PictureReader,
    series_instance_uid: UidParameter,
    sop_instance_uid: UidParameter,
    frame: Annotated[int, Path(ge=0, lt=1 << 31)],
    center: WindowCenter = None,
    width: Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False)] = None,
) -> Response:
    """One frame of the archived instance, re-encoded as PNG."""
    with request.begin() as connection:
        series_slice = series_slices.find_slice(connection, series_instance_uid, sop_instance_uid)
    if series_slice is None or frame >= series_slice.frames:
        raise NotFound("no such picture")
    return Response(request.app.pictures.png(series_slice.digest, frame, center, width), media_type="image/png")
