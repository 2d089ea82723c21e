"""STOW-RS (PS3.18 §10.5): instances by HTTP, through the same spool and journal as those of an association.

The request is read as it comes, so that a study of any size costs the memory of one instance. Only parts of
type application/dicom are taken: nothing is fetched from addresses in metadata (`BulkDataURI`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom import uid
from imaging_hub.dicom.status import STORE_STATUS, StoreSituation, StoreStatus
from imaging_hub.gateway import senders
from imaging_hub.gateway.dicom_file import IncomingFileReader, ReceivedFile
from imaging_hub.gateway.reception import Reception
from imaging_hub.gateway.senders import Sender
from imaging_hub.http.access_token import token_hash
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.settings import Settings

DICOM = b"application/dicom"
DICOM_JSON = "application/dicom+json"
RETRY_SECONDS = 60
_BOUNDARY_MAX_BYTES = 200
"""RFC 2046 §5.1.1 has 70; the Orthanc plug-in sends 73."""
_CLASS, _INSTANCE, _REASON = "00081150", "00081155", "00081197"
_FAILED, _REFERENCED = "00081198", "00081199"


@dataclass
class _Request:
    """A multipart/related request while it is read: the callbacks of its parser, and what came of each part."""

    file: IncomingFileReader
    study: str | None
    received: list[ReceivedFile] = field(default_factory=list)
    _name: bytes = b""
    _value: bytes = b""
    _taken: bool = True

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """What `MultipartParser` is to call."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self.file.discard()
        self._taken, self._name, self._value = True, b"", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        if self._name.lower() == b"content-type":
            self._taken = parse_options_header(self._value)[0] == DICOM
        self._name, self._value = b"", b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taken:
            self.file.write(memoryview(data)[start:end])

    def _end(self) -> None:
        if not self._taken:
            raise ProblemDetails(
                415, "part-type", "A part is not application/dicom.", hint="send DICOM files; metadata is not taken"
            )
        self.received.append(self.file.finish(self.study))


def router(settings: Settings, login: DatabaseLogin, reception: Reception) -> APIRouter:
    """The two resources of the Store transaction."""
    routes = APIRouter()

    @routes.post("/studies")
    @routes.post("/studies/{study}")
    async def store(request: Request, study: str | None = None) -> JSONResponse:
        """Store the instances of a request; of a study, when the address names one."""
        sender = await run_in_threadpool(_sender, login, request)
        if study is not None and not uid.is_valid(study):
            raise ProblemDetails(400, "study-uid", "The address names no valid Study Instance UID.")
        boundary = _boundary(request)
        if not await run_in_threadpool(reception.is_accepting):
            raise _unavailable()
        reading = _Request(IncomingFileReader(reception, sender, settings.dataset_max_bytes), study)
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        try:
            async for piece in request.stream():
                await run_in_threadpool(parser.write, piece)
            await run_in_threadpool(parser.finalize)
        except MultipartParseError:
            raise _malformed() from None
        finally:
            reading.file.discard()
        return _answer(reading)

    return routes


def _sender(login: DatabaseLogin, request: Request) -> Sender:
    """Whose token the request brings."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        with login.begin() as connection:
            sender = senders.bearer(connection, token_hash(token.strip()), datetime.now(UTC))
        if sender is not None:
            return sender
    raise ProblemDetails(
        401,
        "not-authenticated",
        "No sender has this token, or its time is over.",
        hint="imaging-hub sender token AE_TITLE",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/related" or options.get(b"type", DICOM).lower() != DICOM:
        raise ProblemDetails(
            415, "media-type", "Only DICOM files are taken.", hint='multipart/related; type="application/dicom"'
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= _BOUNDARY_MAX_BYTES:
        raise _malformed()
    return boundary


def _answer(reading: _Request) -> JSONResponse:
    """200 when all were stored, 202 when some were, 409 when none was (PS3.18 §10.5.3.1)."""
    failed = [one for one in reading.received if _status(one) is not StoreStatus.SUCCESS]
    if not reading.received:
        raise _malformed()
    if all(one.received.situation is StoreSituation.NO_SPACE for one in reading.received):
        raise _unavailable()
    stored = [_item(one) for one in reading.received if one not in failed]
    body: dict[str, Any] = {}
    if failed:
        body[_FAILED] = {"vr": "SQ", "Value": [_item(one, _status(one)) for one in failed]}
    if stored:
        body[_REFERENCED] = {"vr": "SQ", "Value": stored}
    code = 200 if not failed else 202 if stored else 409
    return JSONResponse(body, code, media_type=DICOM_JSON)


def _status(one: ReceivedFile) -> StoreStatus:
    return STORE_STATUS[one.received.situation]


def _item(one: ReceivedFile, failure: StoreStatus | None = None) -> dict[str, Any]:
    """One item of a Referenced or Failed SOP Sequence; a UID that is none is left out."""
    named = {_CLASS: one.sop_class_uid, _INSTANCE: one.sop_instance_uid}
    item: dict[str, Any] = {tag: {"vr": "UI", "Value": [given]} for tag, given in named.items() if uid.is_valid(given)}
    if failure is not None:
        item[_REASON] = {"vr": "US", "Value": [int(failure)]}
    return item


def _malformed() -> ProblemDetails:
    return ProblemDetails(400, "multipart", "The request is no multipart/related message with at least one part.")


def _unavailable() -> ProblemDetails:
    return ProblemDetails(
        503,
        "no-room",
        "There is no room for more at the moment.",
        hint="send it again later",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
