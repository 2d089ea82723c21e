"""WADO-RS resources: objects, metadata, frames, bulk data and rendered images (PS3.18 §10.4)."""

from __future__ import annotations

from starlette.responses import Response

from imaging_hub.dicomweb import rendering, wado_responses
from imaging_hub.dicomweb.archive_view import ArchiveView, ResourceRequest
from imaging_hub.errors import NotFound


def retrieve_objects(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Retrieve the objects of a study, a series or an instance."""
    return wado_responses.objects_response(resource.request, archive.objects, archive.instances(resource))


def retrieve_metadata(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Retrieve the metadata of a study, a series or an instance."""
    return wado_responses.metadata_response(
        resource.request, archive.headers(archive.instances(resource)), archive.url(resource.request)
    )


def retrieve_frames(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Retrieve frames of an instance."""
    pixel_data = archive.pixel_data(resource)
    return wado_responses.frames_response(
        resource.request, pixel_data, wado_responses.parse_frame_list(resource.frames, pixel_data.instance.frames)
    )


def retrieve_bulk_data(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Retrieve the pixel data, the only bulk data that metadata refers to."""
    pixel_data = archive.pixel_data(resource)
    if resource.tag.upper() != f"{pixel_data.tag:08X}":
        raise NotFound("This instance has no such bulk data.")
    return wado_responses.bulk_data_response(resource.request, archive.objects, pixel_data)


def render_frame(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Render a frame of an instance, the first when none is named."""
    (instance,) = archive.instances(resource)
    (frame, *_) = wado_responses.parse_frame_list(resource.frames or "1", instance.frames)
    return rendering.render(resource.request, archive.renderer, instance, frame)


def render_thumbnail(archive: ArchiveView, resource: ResourceRequest) -> Response:
    """Render a thumbnail of the middle image, because the ends of a volume show little."""
    instances = archive.instances(resource)
    images = [instance for instance in instances if instance.rows and instance.columns] or instances
    middle = images[len(images) // 2]
    (frame, *_) = wado_responses.parse_frame_list(resource.frames or str((middle.frames + 1) // 2), middle.frames)
    return rendering.render(resource.request, archive.renderer, middle, frame, longest=rendering.THUMBNAIL)
