"""The WADO-RS resources, answered from the archive (PS3.18 §10.4)."""

from __future__ import annotations

from starlette.responses import Response

from imaging_hub.dicomweb import rendering, wado_responses
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.errors import NotFound


def retrieve(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """A study, a series or an instance as objects."""
    return wado_responses.objects_of(wanted.request, archive.objects, archive.instances(wanted))


def metadata(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """Their headers."""
    return wado_responses.metadata(
        wanted.request, archive.headers(archive.instances(wanted)), archive.url(wanted.request)
    )


def frames(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """Some frames of an instance."""
    pixel_data = archive.pixel_data(wanted)
    return wado_responses.frames(
        wanted.request, pixel_data, wado_responses.frame_numbers(wanted.frames, pixel_data.instance.frames)
    )


def bulk_data(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """The pixel data, the only value that metadata refers to."""
    pixel_data = archive.pixel_data(wanted)
    if wanted.tag.upper() != f"{pixel_data.tag:08X}":
        raise NotFound("This instance has no such bulk data.")
    return wado_responses.bulk_data(wanted.request, archive.objects, pixel_data)


def rendered(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """A frame for the eye; of a multi-frame instance the first when none is named."""
    (found,) = archive.instances(wanted)
    (frame, *_) = wado_responses.frame_numbers(wanted.frames or "1", found.frames)
    return rendering.rendered(wanted.request, archive.pictures, found, frame)


def thumbnail(archive: ArchiveView, wanted: ResourceRequest) -> Response:
    """A small picture of the middle of what is asked for: the ends of a volume show little."""
    found = archive.instances(wanted)
    images = [one for one in found if one.rows and one.columns] or found
    middle = images[len(images) // 2]
    (frame, *_) = wado_responses.frame_numbers(wanted.frames or str((middle.frames + 1) // 2), middle.frames)
    return rendering.rendered(wanted.request, archive.pictures, middle, frame, longest=rendering.THUMBNAIL)
