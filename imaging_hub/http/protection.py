"""What stands around every request: safe headers, a bound on bodies, and no traceback that could quote a value.

Plain ASGI, so that a streamed download passes through without being gathered in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imaging_hub.http import problems
from imaging_hub.http.pages import PageTemplates
from imaging_hub.http.problems import ProblemDetails, from_fault
from imaging_hub.log import log

BODY_MAX_BYTES = 1 << 20
"""Of a request, where an app takes no more."""
_DISCARD_BYTES = 16 << 20  # of a refused body: how much is read so that its sender can read the answer


def content_security_policy(partner: str = "") -> str:
    """Only our own files run or show; images and data may also come from `partner`, the other zone's origin."""
    also = f" {partner}" if partner else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{also}; connect-src 'self'{also};"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


def protect(
    app: FastAPI, pages: PageTemplates | None = None, *, partner: str = "", body_max_bytes: int = BODY_MAX_BYTES
) -> None:
    """Answer every fault of `app` as a problem, and put the protection around it; call it after all other middleware.

    An app without `pages` has no person before it. `partner` is as in `content_security_policy`.
    """
    problems.install(app, pages)
    app.add_middleware(
        RequestProtection,
        policy=content_security_policy(partner),
        respond=lambda request, problem: problems.respond(request, problem, pages),
        body_max_bytes=body_max_bytes,
    )


class RequestProtection:
    """ASGI middleware of both apps; `respond` turns a problem into a response."""

    def __init__(
        self,
        app: ASGIApp,
        policy: str,
        respond: Callable[[Request, ProblemDetails], Response],
        body_max_bytes: int = BODY_MAX_BYTES,
    ) -> None:
        self.app = app
        self.policy = policy
        self.respond = respond
        self.body_max_bytes = body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whatever fails inside becomes a 500 that names nothing."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False
        body = _Body(scope, receive, self.body_max_bytes)

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                self._harden(scope, headers)
                if body.refused and not await body.discard():
                    headers["Connection"] = "close"
            await send(message)

        try:
            _refuse_nul(scope)
            await self.app(scope, body.receive, guarded)
        except Exception as fault:
            # Nothing from below may reach a log with its values.
            problem = from_fault(fault)
            if problem.status_code == 500:
                cause = fault.__cause__ or fault  # starlette wraps what fails after a response began
                log.error("request-failed", exc_info=cause)
            if started:
                raise ConnectionAbortedError("a response could not be finished") from None
            await self.respond(Request(scope), problem)(scope, receive, guarded)

    def _harden(self, scope: Scope, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = self.policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if not scope["path"].startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")


class _Body:
    """What arrives of one request, counted as it arrives: an announced length may lie."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._encoding = Request(scope).headers.get("content-encoding", "identity")
        self._max_bytes = max_bytes
        self._seen = 0
        self._ended = False
        self.refused = False

    async def receive(self) -> Message:
        """Hand on the next message, or raise the problem that the body is."""
        message = await self._next()
        too_large = self._seen > self._max_bytes
        packed = self._seen > 0 and self._encoding != "identity"
        self.refused = too_large or packed
        if too_large:
            raise ProblemDetails(
                413, "too-large", "The request is too large.", hint=f"send less than {self._max_bytes >> 20} MiB"
            )
        if packed:
            raise ProblemDetails(415, "content-encoding", "Compressed requests are not taken.", hint="send it plain")
        return message

    async def discard(self) -> bool:
        """Read past what is still coming; False where that is too much, and the connection must not be used again.

        A server that closes with bytes unread resets the connection, and with it may go the answer (RFC 9112 §9.6).
        """
        enough = max(_DISCARD_BYTES, self._seen)
        while not self._ended and self._seen <= enough:
            await self._next()
        return self._ended

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message


def _refuse_nul(scope: Scope) -> None:
    """No text of ours holds NUL, and PostgreSQL takes none."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise ProblemDetails(400, "nul", "A NUL character has no place in an address.")
