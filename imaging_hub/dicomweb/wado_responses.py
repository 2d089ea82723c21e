"""WADO-RS responses with objects, metadata, frames and bulk data (PS3.18 §10.4)."""

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
from imaging_hub.http.problem_details import ProblemDetails

_MAX_FRAMES = 10_000


def objects_response(request: Request, objects: ObjectStore, instances: Sequence[ArchivedInstance]) -> Response:
    """Return the instances byte for byte as they are stored; raises `ProblemDetails` 406."""
    for media_range in media_types.accepted_ranges(request):
        if (
            media_range.covers(DICOM)
            and (media_range.multipart or media_range.name == "*/*")
            and all(media_range.covers_syntax(instance.transfer_syntax_uid) for instance in instances)
        ):
            parts = [BodyPart(DICOM, instance.size, _object_reader(objects, instance.digest)) for instance in instances]
            return multipart.multipart_response(parts, DICOM)
    raise media_types.not_acceptable([f'multipart/related; type="{DICOM}"; transfer-syntax=*'])


def _object_reader(objects: ObjectStore, digest: str, start: int = 0, end: int | None = None) -> multipart.ReadBody:
    return lambda: objects.stream(digest, start, end)


def metadata_response(request: Request, headers: Iterator[tuple[ArchivedInstance, bytes]], url: str) -> Response:
    """Stream the headers as DICOM JSON, with pixel data as a reference; raises `ProblemDetails` 406."""
    media_type = media_types.choose(request, media_types.DICOM_JSON, "application/json")

    def body() -> Iterator[bytes]:
        opening = b"["
        for instance, header in headers:
            yield opening + json.dumps(_encode_metadata(instance, header, url), allow_nan=False).encode()
            opening = b",\n"
        yield b"]"

    return StreamingResponse(body(), media_type=media_type)


def _encode_metadata(instance: ArchivedInstance, encoded: bytes, url: str) -> dicom_json.JsonObject:
    dataset = dicom_json.read_header(encoded, instance.transfer_syntax_uid)
    model = dicom_json.encode_dataset(dataset)
    if instance.rows and instance.columns:
        series_url = f"{url}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        bulk = f"{series_url}/instances/{instance.sop_instance_uid}/bulkdata/7FE00010"
        # The index does not have the VR of 8-bit pixels; both give the same bytes.
        words = not KNOWN[instance.transfer_syntax_uid].encapsulated and dataset.get("BitsAllocated", 16) != 8
        model |= dicom_json.encode_bulk_reference(tags.PixelData, "OW" if words else "OB", bulk)
    return model


def frames_response(request: Request, pixel_data: PixelData, numbers: Sequence[int]) -> Response:
    """Return frames as stored: as octets, or in the media type of their compression.

    Raises `ProblemDetails` 406, and `NotFound` when the object lacks one of the frames.
    """
    media_type, part_type = _choose_frame_type(request, pixel_data)
    # Frames are read before the response begins, so that a missing one is a 404 rather than a truncated response.
    if pixel_data.encapsulated:
        sizes = [len(pixel_data.frame(number)) for number in numbers]
    else:
        pixel_data.frame(max(numbers))
        sizes = [pixel_data.frame_size] * len(numbers)
    parts = [
        BodyPart(part_type, size, _frame_reader(pixel_data, number))
        for number, size in zip(numbers, sizes, strict=True)
    ]
    return multipart.multipart_response(parts, media_type)


def _frame_reader(pixel_data: PixelData, number: int) -> multipart.ReadBody:
    return lambda: (pixel_data.frame(number),)


def bulk_data_response(request: Request, objects: ObjectStore, pixel_data: PixelData) -> Response:
    """Return the pixel data: native as one part or as plain octets, compressed as one part for each frame.

    Raises `ProblemDetails` 406.
    """
    digest, start, size = pixel_data.instance.digest, pixel_data.start, pixel_data.size
    if pixel_data.encapsulated:
        return frames_response(request, pixel_data, range(1, pixel_data.instance.frames + 1))
    for media_range in media_types.accepted_ranges(request):
        if media_range.covers(OCTETS) and (media_range.multipart or media_range.name == "*/*"):
            return multipart.multipart_response(
                [BodyPart(OCTETS, size, _object_reader(objects, digest, start, start + size))], OCTETS
            )
        if media_range.covers(OCTETS):
            body = objects.stream(digest, start, start + size)
            return StreamingResponse(body, media_type=OCTETS, headers={"Content-Length": str(size)})
    raise media_types.not_acceptable([f'multipart/related; type="{OCTETS}"', OCTETS])


def _choose_frame_type(request: Request, pixel_data: PixelData) -> tuple[str, str]:
    """Return the media types of a response with frames and of its parts; raises `ProblemDetails` 406."""
    syntax = pixel_data.instance.transfer_syntax_uid
    stored = media_types.frame_media_type(syntax) if pixel_data.encapsulated else OCTETS
    for media_range in media_types.accepted_ranges(request):
        if (
            (media_range.multipart or media_range.name == "*/*")
            and media_range.covers(stored)
            and _accepts_syntax(media_range, pixel_data)
        ):
            return stored, f"{stored}; transfer-syntax={syntax}" if pixel_data.encapsulated else OCTETS
        if media_range.multipart and media_range.name == OCTETS and media_range.syntax == media_types.ANY_SYNTAX:
            return OCTETS, f"{OCTETS}; transfer-syntax={syntax}"
    raise media_types.not_acceptable([f'multipart/related; type="{stored}"; transfer-syntax=*'])


def _accepts_syntax(media_range: MediaRange, pixel_data: PixelData) -> bool:
    """Return whether the transfer syntax is accepted; native pixels are the same in explicit and implicit VR."""
    native = not pixel_data.encapsulated and media_range.syntax == EXPLICIT_VR_LITTLE_ENDIAN
    return native or media_range.covers_syntax(pixel_data.instance.transfer_syntax_uid)


def parse_frame_list(frames: str, count: int) -> list[int]:
    """Parse the frame list of a path, `1,3,4`, counted from 1.

    Raises `ProblemDetails` 400 for a malformed list, 404 for a number above `count`.
    """
    numbers = frames.split(",")
    if len(numbers) > _MAX_FRAMES or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        raise ProblemDetails(
            400, "frame-list", "Frames are numbers from 1, with commas between.", hint="ask for /frames/1"
        )
    if not all(1 <= int(number) <= count for number in numbers):
        raise ProblemDetails(404, "not-found", "This instance does not have that frame.")
    return [int(number) for number in numbers]
