"""The API described for people, from its own OpenAPI document; Swagger UI would come from a foreign server."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from imaging_hub.web.client_wheel import wheel
from imaging_hub.web.hub import hub_of

pages = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class ApiOperation:
    """One operation as the page lists it."""

    method: str
    path: str
    summary: str
    parameters: list[dict[str, Any]]
    body: str
    answers: list[tuple[str, str]]


@pages.get("/docs")
def documentation(request: Request) -> Response:
    """Every operation with its parameters and answers, and how to install the download client."""
    hub = hub_of(request)
    hub.recognise(request)  # anybody may read it; whoever is signed in keeps the navigation
    document = request.app.openapi()
    groups: dict[str, list[ApiOperation]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation.get("tags", ["other"])[0]].append(_operation(method, path, operation))
    install = wheel().install_command(hub.settings.hub_url)
    return hub.pages.render(request, "docs.html", {"groups": groups, "info": document["info"], "install": install})


def _operation(method: str, path: str, operation: dict[str, Any]) -> ApiOperation:
    content = operation.get("requestBody", {}).get("content", {})
    body = ", ".join(f"{kind} {_schema_name(media)}".strip() for kind, media in content.items())
    answers = [
        (status, ", ".join(_schema_name(media) or kind for kind, media in answer.get("content", {}).items()))
        for status, answer in operation["responses"].items()
    ]
    summary = operation.get("description") or operation.get("summary", "")
    return ApiOperation(method.upper(), path, summary, operation.get("parameters", []), body, answers)


def _schema_name(media: dict[str, Any]) -> str:
    schema = media.get("schema", {})
    reference = str(schema.get("$ref") or schema.get("items", {}).get("$ref") or "")
    name = reference.rpartition("/")[2]
    return f"[{name}]" if name and "items" in schema else name
