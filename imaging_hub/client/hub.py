"""Authenticated connection to a hub's API, with its refusals as `TransferError`."""

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
"""Attempts of one request that fails for a transient reason."""

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_WAIT_MAX_SECONDS = 60.0
_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")

_HINTS = {
    "not-authenticated": "the token is unknown: give the one you were shown, --token-file FILE",
    "account-expired": "your account's time is over: ask the operator for a new token",
    "permit-expired": "the permit is over: ask for a new one; what was downloaded stays and can be completed",
    "permit-revoked": "the permit was withdrawn: ask the operator why",
    "permit-not-yet": "wait for the day the permit begins",
    "not-a-holder": "ask the operator to name you in the permit",
    "not-found": "check the release's name and the URL; a release of others looks the same",
}
"""Hints by refusal code; they replace the hub's own, which cannot know the client's options."""


@dataclass(frozen=True)
class Release:
    """State and size of a release as the hub states them."""

    id: str
    state: str
    instances: int
    bytes: int
    manifest_digest: str


def locate(url: str | None, release: str) -> tuple[str, str]:
    """Return origin and id of a release given by id, or by the address of its page or API resource.

    Raises `TransferError` when no hub is named, the scheme is not https, or the id is malformed.
    """
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
        raise TransferError("this is not the name of a release", code="not-found", hint=_HINTS["not-found"])
    return f"{parts.scheme}://{parts.netloc}", release


class HubConnection:
    """A connection to one hub, shared by threads; transient faults are retried with growing pauses."""

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
        """Return the state of a release; raises `TransferError` unless it is ready."""
        response = self._get(f"releases/{release}")
        try:
            body = response.json()
            state = str(body["state"])
            if state != "READY":
                raise _not_ready_error(state)
            return Release(release, state, int(body["instances"]), int(body["bytes"]), str(body["manifest_digest"]))
        except (ValueError, KeyError, TypeError) as fault:
            raise TransferError("this URL answers, but not as a hub", code="not-a-hub", hint="check --url") from fault

    def manifest(self, release: Release) -> bytes:
        """Return the manifest's Parquet bytes; raises `TransferError` when their digest is not the stated one."""
        for _ in range(2):
            content = self._get(f"releases/{release.id}/manifest").content
            if hashlib.sha256(content).hexdigest() == release.manifest_digest:
                return content
        raise TransferError(
            "the manifest does not have the digest that the hub gave", code="digest-mismatch", hint="try again later"
        )

    @contextmanager
    def object(self, release: str, digest: str, offset: int) -> Iterator[httpx.Response]:
        """Open the response with an object's bytes from `offset` on, without retries.

        Raises `TransferError` when the hub refuses, `httpx.TransportError` when the connection breaks.
        """
        headers = {"Range": f"bytes={offset}-"}
        with self._http.stream("GET", f"releases/{release}/objects/{digest}", headers=headers) as response:
            if response.status_code not in (200, 206, 416):
                response.read()
                raise error_from_response(response)
            yield response

    def pause_before_retry(self, attempt: int, fault: Exception) -> None:
        """Sleep before the next attempt; raises `fault` when it is not transient, `TransferError` after the last."""
        seconds = self._pause * 2**attempt
        if isinstance(fault, HubBusy):
            seconds = max(seconds, fault.retry_after)
        elif not isinstance(fault, httpx.TransportError):
            raise fault
        if attempt + 1 >= ATTEMPTS:
            raise TransferError(
                "the hub cannot be reached, or breaks off again and again",
                code="unreachable",
                hint="run the same command again; it goes on where it stopped",
            ) from fault
        time.sleep(min(seconds, _WAIT_MAX_SECONDS))

    def _get(self, path: str) -> httpx.Response:
        for attempt in range(ATTEMPTS):
            try:
                response = self._http.get(path)
                if response.status_code != 200:
                    raise error_from_response(response)
            except (httpx.TransportError, TransferError) as fault:
                self.pause_before_retry(attempt, fault)
            else:
                return response
        raise AssertionError("pause_before_retry() raises after the last attempt")


class HubBusy(TransferError):
    """The hub cannot answer now; the request may be repeated."""

    code = "busy"
    retry_after = 0.0
    """Seconds from the Retry-After header, 0 without one."""


def error_from_response(response: httpx.Response) -> TransferError:
    """Return the error of a refusing response, with code and detail of its problem document (RFC 9457) if any."""
    try:
        body = response.json()
        code, detail, hint = (str(body.get(name) or "") for name in ("code", "detail", "hint"))
    except (ValueError, AttributeError):
        code = detail = hint = ""
    code = code or {401: "not-authenticated", 403: "not-allowed", 404: "not-found"}.get(response.status_code, "refused")
    message = f"the hub refused: {_printable(detail) or code}"
    hint = _HINTS.get(code) or _printable(hint)
    if response.status_code not in _TRANSIENT_STATUS:
        return TransferError(message, code=code, hint=hint)
    busy = HubBusy(message, code=code, hint=hint)
    seconds = response.headers.get("retry-after", "")
    busy.retry_after = float(seconds) if seconds.isdigit() else 0.0
    return busy


def _printable(text: str) -> str:
    """Return a server's text without control characters, which could drive a terminal."""
    return "".join(character for character in text if character.isprintable())[:300]


def _not_ready_error(state: str) -> TransferError:
    if state == "PREPARING":
        return TransferError(
            "the release is being prepared",
            code="release-preparing",
            hint="wait a little, then run the same command again; --wait does it for you",
        )
    return TransferError("the release failed to be prepared", code="release-failed", hint="tell the operator")
