"""What the DICOMweb resources read from: index, objects and pictures, within what a visitor may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request

from imaging_hub.archive import pixel_data, search
from imaging_hub.archive.filters import InstanceFilter, SeriesFilter, StudyFilter
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.pixel_data import PixelData
from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import NotFound
from imaging_hub.pixels.rendering import FrameRenderer

_HEADERS_AT_ONCE = 64
_RESOURCES = ("studies", "series", "instances")


@dataclass(frozen=True)
class ResourceRequest:
    """What a request is about: the UIDs of its path, and which studies its sender may see."""

    request: Request
    scope: StudyFilter
    study: str = ""
    series: str = ""
    instance: str = ""
    frames: str = ""
    tag: str = ""


@dataclass(frozen=True)
class ArchiveView:
    """The archive as DICOMweb shows it."""

    login: DatabaseLogin
    objects: ObjectStore
    pictures: FrameRenderer
    origin: str
    """Origin that clients see; empty takes each request's Host, which some clients send without its port
    (dicomweb-client 0.61) and which a proxy may have changed."""

    def url(self, request: Request) -> str:
        """Address of the DICOMweb service, wherever the app mounted it."""
        origin = self.origin or str(request.base_url)
        path = request.url.path
        service = next((path.partition(f"/{word}")[0] for word in _RESOURCES if f"/{word}" in path), "")
        return origin.rstrip("/") + service

    def instances(self, wanted: ResourceRequest) -> Sequence[ArchivedInstance]:
        """The instances of a study, of one of its series, or one; `NotFound` when there is none to see."""
        with self.login.begin() as connection:
            found = search.instances(
                connection,
                InstanceFilter(sop_uids=[wanted.instance] if wanted.instance else ()),
                of_series=SeriesFilter(series_uids=[wanted.series] if wanted.series else ()),
                of_study=replace(wanted.scope, study_uids=[wanted.study]),
            )
        if not found:
            raise NotFound("The archive does not hold this, or not for you.")
        return found

    def headers(self, found: Sequence[ArchivedInstance]) -> Iterator[tuple[ArchivedInstance, bytes]]:
        """Their encoded headers in the same order, a few in memory at a time."""
        for start in range(0, len(found), _HEADERS_AT_ONCE):
            some = found[start : start + _HEADERS_AT_ONCE]
            with self.login.begin() as connection:
                headers = search.headers(connection, [one.sop_instance_uid for one in some])
            yield from ((one, headers[one.sop_instance_uid]) for one in some)

    def pixel_data(self, wanted: ResourceRequest) -> PixelData:
        """The pixel data of one instance; `NotFound` when it has none."""
        ((one, header),) = self.headers(self.instances(wanted))
        return pixel_data.locate(self.objects, one, header)
