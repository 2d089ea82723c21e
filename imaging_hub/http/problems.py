"""Errors as people and programs get them: RFC 9457 problem details with a code and a hint, never a value.

A request's own content is not repeated either: an error page is where stored scripts like to live
(Orthanc's NEWS names one), and a log line is where identities like to stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from imaging_hub.errors import DefinitionError, HubError, NotFound, StorageUnavailable
from imaging_hub.http.pages import PageTemplates

_STATUS_OF: dict[type[HubError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    DefinitionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

_CODE_OF: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "bad-request",
    HTTPStatus.UNAUTHORIZED: "not-authenticated",
    HTTPStatus.FORBIDDEN: "not-allowed",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "range",
}


class ProblemDetails(HTTPException):
    """A request that ends here, with what its sender can do next."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.hint = hint


def foreign() -> ProblemDetails:
    """What is not there and what belongs to others look alike, to the letter."""
    return ProblemDetails(404, NotFound.code, "There is no such thing, or it is not yours.")


def database_unavailable() -> ProblemDetails:
    """The database is away, for a moment as it is hoped."""
    return ProblemDetails(503, "database-unavailable", "The database does not answer.", hint="try again in a minute")


def from_fault(fault: Exception) -> ProblemDetails:
    """The problem that stands for an exception; what is not ours is a 500 that says nothing of its cause."""
    if isinstance(fault, ProblemDetails):
        return fault
    if isinstance(fault, HTTPException):
        code = _CODE_OF.get(fault.status_code, "http-error")
        return ProblemDetails(fault.status_code, code, HTTPStatus(fault.status_code).phrase, headers=fault.headers)
    if isinstance(fault, RequestValidationError):
        where = "; ".join(".".join(str(part) for part in error["loc"]) for error in fault.errors())
        return ProblemDetails(
            422, "invalid-request", "A parameter is missing or has the wrong form.", hint=f"check {where}"
        )
    if isinstance(fault, HubError):
        return _from_our_own(fault)
    if isinstance(fault, OperationalError):
        return database_unavailable()
    return ProblemDetails(
        500, "internal-error", "The hub failed on this request.", hint="tell the operator the time of day"
    )


def _from_our_own(fault: HubError) -> ProblemDetails:
    if isinstance(fault, NotFound) and fault.code == NotFound.code:
        return foreign()
    status = next((code for kind, code in _STATUS_OF.items() if isinstance(fault, kind)), HTTPStatus.CONFLICT)
    return ProblemDetails(status, fault.code, str(fault), hint=fault.hint)


def respond(request: Request, problem: ProblemDetails, pages: PageTemplates | None = None) -> Response:
    """The problem as a page for a browser that asked for one, as problem details for everybody else."""
    body = {
        "type": f"urn:imaging-hub:problem:{problem.code}",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
        "code": problem.code,
        "hint": problem.hint,
    }
    if pages is not None and _wants_page(request):
        if problem.status_code == 401 and problem.code == "not-authenticated" and request.method == "GET":
            return RedirectResponse(f"/login?{urlencode({'next': request.url.path})}", 303)
        return pages.render(request, "problem.html", body, status=problem.status_code, headers=problem.headers)
    return JSONResponse(body, problem.status_code, problem.headers, media_type="application/problem+json")


def install(app: FastAPI, pages: PageTemplates | None = None) -> None:
    """Answer every fault of `app` in this form; an app without pages has no person before it."""

    def handle(request: Request, fault: Exception) -> Response:
        return respond(request, from_fault(fault), pages)

    for kind in (HTTPException, RequestValidationError, HubError):
        app.add_exception_handler(kind, handle)


def _wants_page(request: Request) -> bool:
    program = request.url.path.startswith(("/api/", "/dicom-web", "/before/", "/metrics", "/healthz", "/readyz"))
    return not program and "text/html" in request.headers.get("accept", "")
