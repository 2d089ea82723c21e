"""WADO-RS: objects, metadata, frames and bulk data of what is archived (PS3.18 §10.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.pixel_data import PixelData
from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.dicom import tags
from imaging_hub.dicom.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, KNOWN
from imaging_hub.dicomweb import dicom_json, media_types, multipart
from imaging_hub.dicomweb.media_types import DICOM, OCTETS, MediaRange
from imaging_hub.dicomweb.multipart import BodyPart
from imaging_hub.http.problems import ProblemDetails

_MOST_FRAMES = 10_000


def objects_of(request: Request, objects: ObjectStore, found: Sequence[ArchivedInstance]) -> Response:
    """The instances as they are stored, byte for byte."""
    for wanted in media_types.accepted(request):
        if (
            wanted.covers(DICOM)
            and (wanted.multipart or wanted.name == "*/*")
            and all(wanted.covers_syntax(one.transfer_syntax_uid) for one in found)
        ):
            parts = [BodyPart(DICOM, one.size, _streamed(objects, one.digest)) for one in found]
            return multipart.respond(parts, DICOM)
    raise media_types.not_acceptable([f'multipart/related; type="{DICOM}"; transfer-syntax=*'])


def _streamed(objects: ObjectStore, digest: str, start: int = 0, end: int | None = None) -> multipart.ReadBody:
    return lambda: objects.stream(digest, start, end)


def metadata(request: Request, headers: Iterator[tuple[ArchivedInstance, bytes]], url: str) -> Response:
    """Headers as DICOM JSON, one after the other; pixel data are referred to by URL."""
    media_type = media_types.choose(request, media_types.DICOM_JSON, "application/json")

    def body() -> Iterator[bytes]:
        opening = b"["
        for one, header in headers:
            yield opening + json.dumps(_described(one, header, url), allow_nan=False).encode()
            opening = b",\n"
        yield b"]"

    return StreamingResponse(body(), media_type=media_type)


def _described(one: ArchivedInstance, encoded: bytes, url: str) -> dicom_json.Json:
    dataset = dicom_json.read(encoded, one.transfer_syntax_uid)
    model = dicom_json.model(dataset)
    if one.rows and one.columns:
        where = f"{url}/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        bulk = f"{where}/instances/{one.sop_instance_uid}/bulkdata/7FE00010"
        # Only the object knows the VR it used for 8 bits; both name the same bytes.
        wide = not KNOWN[one.transfer_syntax_uid].encapsulated and dataset.get("BitsAllocated", 16) != 8
        model |= dicom_json.bulk(tags.PixelData, "OW" if wide else "OB", bulk)
    return model


def frames(request: Request, pixel_data: PixelData, numbers: Sequence[int]) -> Response:
    """Frames as stored: octets, or the media type of their compression."""
    media_type, part_type = _frame_type(request, pixel_data)
    # Every frame is read once now and held one at a time later: a missing one is a 404, not half an answer.
    if pixel_data.encapsulated:
        sizes = [len(pixel_data.frame(number)) for number in numbers]
    else:
        pixel_data.frame(max(numbers))
        sizes = [pixel_data.frame_size] * len(numbers)
    parts = [
        BodyPart(part_type, size, _one_frame(pixel_data, number)) for number, size in zip(numbers, sizes, strict=True)
    ]
    return multipart.respond(parts, media_type)


def _one_frame(pixel_data: PixelData, number: int) -> multipart.ReadBody:
    return lambda: (pixel_data.frame(number),)


def bulk_data(request: Request, objects: ObjectStore, pixel_data: PixelData) -> Response:
    """The value of the pixel data: native as one part or plain, compressed as a part a frame."""
    digest, start, size = pixel_data.instance.digest, pixel_data.start, pixel_data.size
    if pixel_data.encapsulated:
        return frames(request, pixel_data, range(1, pixel_data.instance.frames + 1))
    for wanted in media_types.accepted(request):
        if wanted.covers(OCTETS) and (wanted.multipart or wanted.name == "*/*"):
            return multipart.respond([BodyPart(OCTETS, size, _streamed(objects, digest, start, start + size))], OCTETS)
        if wanted.covers(OCTETS):
            body = objects.stream(digest, start, start + size)
            return StreamingResponse(body, media_type=OCTETS, headers={"Content-Length": str(size)})
    raise media_types.not_acceptable([f'multipart/related; type="{OCTETS}"', OCTETS])


def _frame_type(request: Request, pixel_data: PixelData) -> tuple[str, str]:
    """Media type of the answer and of its parts."""
    syntax = pixel_data.instance.transfer_syntax_uid
    stored = media_types.of_syntax(syntax) if pixel_data.encapsulated else OCTETS
    for wanted in media_types.accepted(request):
        if (wanted.multipart or wanted.name == "*/*") and wanted.covers(stored) and _same_syntax(wanted, pixel_data):
            return stored, f"{stored}; transfer-syntax={syntax}" if pixel_data.encapsulated else OCTETS
        if wanted.multipart and wanted.name == OCTETS and wanted.syntax == media_types.ANY_SYNTAX:
            return OCTETS, f"{OCTETS}; transfer-syntax={syntax}"
    raise media_types.not_acceptable([f'multipart/related; type="{stored}"; transfer-syntax=*'])


def _same_syntax(wanted: MediaRange, pixel_data: PixelData) -> bool:
    """Native pixels are the same octets in explicit and implicit VR."""
    native = not pixel_data.encapsulated and wanted.syntax == EXPLICIT_VR_LITTLE_ENDIAN
    return native or wanted.covers_syntax(pixel_data.instance.transfer_syntax_uid)


def frame_numbers(listed: str, most: int) -> list[int]:
    """Frame numbers of a path, `1,3,4`, counted from 1; 404 beyond the instance's `most`."""
    numbers = listed.split(",")
    if len(numbers) > _MOST_FRAMES or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        raise ProblemDetails(
            400, "frame-list", "Frames are numbers from 1, with commas between.", hint="ask for /frames/1"
        )
    if not all(1 <= int(number) <= most for number in numbers):
        raise ProblemDetails(404, "not-found", "This instance does not have that frame.")
    return [int(number) for number in numbers]
