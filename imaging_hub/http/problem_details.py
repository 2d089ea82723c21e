"""Errors as RFC 9457 problem details with a code and a hint, as JSON or as a page.

A value of the request is never repeated, since error pages have carried stored scripts (Orthanc's NEWS names one) and
logs have carried identities.
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
    """Ends a request with a status, a code and a hint."""

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


def not_found_or_foreign() -> ProblemDetails:
    """Return the same 404 for what does not exist and for what belongs to others."""
    return ProblemDetails(404, NotFound.code, "There is no such thing, or it is not yours.")


def database_unavailable() -> ProblemDetails:
    """Return the 503 for a database that does not answer."""
    return ProblemDetails(503, "database-unavailable", "The database does not answer.", hint="try again in a minute")


def problem_of(fault: Exception) -> ProblemDetails:
    """Return the problem for an exception; one that is not ours is a 500 that does not name its cause."""
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
        return _problem_of_hub_error(fault)
    if isinstance(fault, OperationalError):
        return database_unavailable()
    return ProblemDetails(
        500, "internal-error", "The hub failed on this request.", hint="tell the operator the time of day"
    )


def _problem_of_hub_error(fault: HubError) -> ProblemDetails:
    if isinstance(fault, NotFound) and fault.code == NotFound.code:
        return not_found_or_foreign()
    status = next((code for kind, code in _STATUS_OF.items() if isinstance(fault, kind)), HTTPStatus.CONFLICT)
    return ProblemDetails(status, fault.code, str(fault), hint=fault.hint)


def respond(request: Request, problem: ProblemDetails, pages: PageTemplates | None = None) -> Response:
    """Return a problem as a page if the browser accepts one, otherwise as JSON."""
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
    """Answer every exception of `app` as a problem; without `pages`, always as JSON."""

    def handle(request: Request, fault: Exception) -> Response:
        return respond(request, problem_of(fault), pages)

    for kind in (HTTPException, RequestValidationError, HubError):
        app.add_exception_handler(kind, handle)


def _wants_page(request: Request) -> bool:
    program = request.url.path.startswith(("/api/", "/dicom-web", "/before/", "/metrics", "/healthz", "/readyz"))
    return not program and "text/html" in request.headers.get("accept", "")
