"""Access of the DICOMweb resources to index, objects and rendered frames, within the visitor's scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request

from imaging_hub.archive import pixel_data, search
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.pixel_data import PixelData
from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.archive.search_filters import InstanceFilter, SeriesFilter, StudyFilter
from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import NotFound
from imaging_hub.pixels.rendering import FrameRenderer

_BATCH_HEADERS = 64
_RESOURCES = ("studies", "series", "instances")


@dataclass(frozen=True)
class ResourceRequest:
    """A request for a DICOMweb resource: the parts of its path, and the studies its sender may see."""

    request: Request
    scope: StudyFilter
    study: str = ""
    series: str = ""
    instance: str = ""
    frames: str = ""
    tag: str = ""


@dataclass(frozen=True)
class ArchiveView:
    """The archive as seen by DICOMweb."""

    login: DatabaseLogin
    objects: ObjectStore
    renderer: FrameRenderer
    origin: str
    """Origin of URLs in responses; when empty, that of the request's Host header, which some clients send without its
    port (dicomweb-client 0.61) and a proxy may change."""

    def url(self, request: Request) -> str:
        """Return the URL of the DICOMweb service, wherever it is mounted."""
        origin = self.origin or str(request.base_url)
        path = request.url.path
        service = next((path.partition(f"/{word}")[0] for word in _RESOURCES if f"/{word}" in path), "")
        return origin.rstrip("/") + service

    def instances(self, resource: ResourceRequest) -> Sequence[ArchivedInstance]:
        """Return the instances of a study, of a series, or one; raises `NotFound` when there is none in scope."""
        with self.login.begin() as connection:
            instances = search.find_instances(
                connection,
                InstanceFilter(sop_uids=[resource.instance] if resource.instance else ()),
                of_series=SeriesFilter(series_uids=[resource.series] if resource.series else ()),
                of_study=replace(resource.scope, study_uids=[resource.study]),
            )
        if not instances:
            raise NotFound("The archive does not hold this, or not for you.")
        return instances

    def headers(self, instances: Sequence[ArchivedInstance]) -> Iterator[tuple[ArchivedInstance, bytes]]:
        """Yield the instances with their encoded headers, which are loaded in batches."""
        for start in range(0, len(instances), _BATCH_HEADERS):
            batch = instances[start : start + _BATCH_HEADERS]
            with self.login.begin() as connection:
                headers = search.load_headers(connection, [instance.sop_instance_uid for instance in batch])
            yield from ((instance, headers[instance.sop_instance_uid]) for instance in batch)

    def pixel_data(self, resource: ResourceRequest) -> PixelData:
        """Return the pixel data of one instance; raises `NotFound` when it has none."""
        ((instance, header),) = self.headers(self.instances(resource))
        return pixel_data.locate(self.objects, instance, header)
