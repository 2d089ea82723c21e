"""The hub's API as the client sees it: one authenticated connection, and what its refusals mean."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from imaging_hub.errors import TransferError

ATTEMPTS = 5
"""Tries of one request that fails for a passing reason, before it is given up."""

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_WAIT_MAX_SECONDS = 60.0
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")

_NEXT_STEP = {
    "not-authenticated": "the token is unknown: give the one you were shown, --token-file FILE",
    "account-expired": "your account's time is over: ask the operator for a new token",
    "permit-expired": "the permit is over: ask for a new one; what was downloaded stays and can be completed",
    "permit-revoked": "the permit was withdrawn: ask the operator why",
    "permit-not-yet": "wait for the day the permit begins",
    "not-a-holder": "ask the operator to name you in the permit",
    "not-found": "check the release's name and the URL; a release of others looks the same",
}
"""What to do about a refusal, where the hub does not say it better."""


@dataclass(frozen=True)
class Release:
    """What the hub says of a release before anything is fetched."""

    id: str
    state: str
    instances: int
    bytes: int
    manifest_digest: str


def locate(url: str | None, release: str) -> tuple[str, str]:
    """Origin and id of a release that is given by id, or by the address of its page or API resource."""
    if "://" in release:
        parts = urlsplit(release)
        url = f"{parts.scheme}://{parts.netloc}"
        release = parts.path.rstrip("/").rpartition("/")[2]
    if url is None:
        raise TransferError("which hub? no URL was given", code="no-url", hint="add --url https://…")
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise TransferError("a token is sent over https only", code="insecure-url", hint="use the https:// address")
    if not _RELEASE.match(release):
        raise TransferError("this is not the name of a release", code="not-found", hint=_NEXT_STEP["not-found"])
    return f"{parts.scheme}://{parts.netloc}", release


class HubConnection:
    """A connection to one hub, shared by threads; passing faults are retried with growing pauses."""

    def __init__(self, url: str, token: str, *, connections: int, pause_seconds: float = 0.5) -> None:
        self._pause = pause_seconds
        self._http = httpx.Client(
            base_url=f"{url}/api/v1/",
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=connections),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def release(self, release: str) -> Release:
        """State of a release. Raises `TransferError` unless it is ready."""
        answer = self._get(f"releases/{release}")
        try:
            body = answer.json()
            state = str(body["state"])
            if state != "READY":
                raise _not_ready(state)
            found = Release(release, state, int(body["instances"]), int(body["bytes"]), str(body["manifest_digest"]))
        except (ValueError, KeyError, TypeError) as fault:
            raise TransferError("this URL answers, but not as a hub", code="not-a-hub", hint="check --url") from fault
        return found

    def manifest(self, release: Release) -> bytes:
        """The manifest, verified against the digest that the hub gave."""
        for _ in range(2):
            content = self._get(f"releases/{release.id}/manifest").content
            if hashlib.sha256(content).hexdigest() == release.manifest_digest:
                return content
        raise TransferError(
            "the manifest does not have the digest that the hub gave", code="digest-mismatch", hint="try again later"
        )

    @contextmanager
    def object(self, release: str, digest: str, offset: int) -> Iterator[httpx.Response]:
        """An object's bytes from `offset` on, as a response to be read; one try, its refusals raised."""
        headers = {"Range": f"bytes={offset}-"}
        with self._http.stream("GET", f"releases/{release}/objects/{digest}", headers=headers) as answer:
            if answer.status_code not in (200, 206, 416):
                answer.read()
                raise refusal(answer)
            yield answer

    def rest(self, attempt: int, fault: Exception) -> None:
        """Pause before the next attempt, or raise when the fault does not pass or there were enough."""
        wait = self._pause * 2**attempt
        if isinstance(fault, HubBusy):
            wait = max(wait, fault.retry_after)
        elif not isinstance(fault, httpx.TransportError):
            raise fault
        if attempt + 1 >= ATTEMPTS:
            raise TransferError(
                "the hub cannot be reached, or breaks off again and again",
                code="unreachable",
                hint="run the same command again; it goes on where it stopped",
            ) from fault
        time.sleep(min(wait, _WAIT_MAX_SECONDS))

    def _get(self, path: str) -> httpx.Response:
        for attempt in range(ATTEMPTS):
            try:
                answer = self._http.get(path)
                if answer.status_code != 200:
                    raise refusal(answer)
            except (httpx.TransportError, TransferError) as fault:
                self.rest(attempt, fault)
            else:
                return answer
        raise AssertionError("rest() raises after the last attempt")


class HubBusy(TransferError):
    """The hub asks to try again later."""

    code = "busy"
    retry_after = 0.0
    """Seconds the hub asked to wait."""


def refusal(answer: httpx.Response) -> TransferError:
    """What a refusing answer means, with the hub's own code and hint (RFC 9457) where it gives them."""
    try:
        body = answer.json()
        code, detail, hint = (str(body.get(name) or "") for name in ("code", "detail", "hint"))
    except (ValueError, AttributeError):
        code = detail = hint = ""
    code = code or {401: "not-authenticated", 403: "not-allowed", 404: "not-found"}.get(answer.status_code, "refused")
    message = f"the hub refused: {_plain(detail) or code}"
    hint = _NEXT_STEP.get(code) or _plain(hint)
    if answer.status_code not in _PASSING:
        return TransferError(message, code=code, hint=hint)
    busy = HubBusy(message, code=code, hint=hint)
    seconds = answer.headers.get("retry-after", "")
    busy.retry_after = float(seconds) if seconds.isdigit() else 0.0
    return busy


def _plain(words: str) -> str:
    """A server's words without what could drive a terminal."""
    return "".join(character for character in words if character.isprintable())[:300]


def _not_ready(state: str) -> TransferError:
    if state == "PREPARING":
        return TransferError(
            "the release is being prepared",
            code="release-preparing",
            hint="wait a little, then run the same command again; --wait does it for you",
        )
    return TransferError("the release failed to be prepared", code="release-failed", hint="tell the operator")
