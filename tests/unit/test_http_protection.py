"""A request that fails inside is answered without a word of why; the log has type and place, never a value."""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from imaging_hub.http import problems
from imaging_hub.http.protection import RequestProtection
from imaging_hub.keys.aead import AuthenticatedCipher

CANARY = "DUPONT"


def test_a_fault_is_logged_by_type_and_place_and_answered_without_either(logged: list[dict[str, object]]) -> None:
    def fails(request: Request) -> Response:
        AuthenticatedCipher(b"")
        raise ValueError(CANARY)

    guard = Middleware(RequestProtection, policy="default-src 'none'", respond=problems.respond)
    app = Starlette(routes=[Route(f"/{CANARY}", fails)], middleware=[guard])
    answer = TestClient(app).get(f"/{CANARY}?name={CANARY}")
    assert answer.status_code == 500
    assert CANARY not in answer.text
    assert "ValueError" not in answer.text
    (event,) = logged
    assert (event["event"], event["fault"]) == ("request-failed", "ValueError")
    assert str(event["place"]).startswith("keys.aead:")
    assert CANARY not in json.dumps(event)
