"""BEFORE, for the review page of the hub: the only thing here that another origin may ask for.

The page is the hub's, but the browser fetches from here with the console's session: no original and no identity
passes through the hub.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from imaging_hub.console import originals
from imaging_hub.console.visit import EVERYBODY, ConsoleVisit, For, console_of
from imaging_hub.dicom import attribute_path

router = APIRouter(include_in_schema=False)

OriginalsViewer = Annotated[ConsoleVisit, For(EVERYBODY)]
InstanceUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]


@router.get("/session")
def session(request: Request) -> Response:
    """Whether somebody is signed in: asked before any BEFORE is, so that a stranger meets no error."""
    found = console_of(request).recognise(request)
    return JSONResponse({"person": found[0].name if found else None})


@router.get("/before/{series_instance_uid}/{sop_instance_uid}/attributes")
def attributes(visit: OriginalsViewer, series_instance_uid: InstanceUid, sop_instance_uid: InstanceUid) -> Response:
    """Every attribute of the original by its path; each such look is on the trail."""
    with visit.begin() as connection:
        original = originals.of_instance(connection, series_instance_uid, sop_instance_uid)
    found = originals.readable(visit.app.spool, original.digest)
    found |= {attribute_path.without_creator(path): value for path, value in reversed(found.items())}
    visit.identity_seen(series_instance_uid, "attributes", every_time=True)
    return JSONResponse({"attributes": found})


@router.get("/before/{series_instance_uid}/{sop_instance_uid}/{frame}.png")
def picture(
    *,
    visit: OriginalsViewer,
    series_instance_uid: InstanceUid,
    sop_instance_uid: InstanceUid,
    frame: Annotated[int, Path(ge=0, lt=1 << 31)],
    center: Annotated[float | None, Query(ge=-1e6, le=1e6, allow_inf_nan=False)] = None,
    width: Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False)] = None,
) -> Response:
    """One frame of the original, re-encoded as PNG; on the trail once a series and session."""
    with visit.begin() as connection:
        original = originals.of_instance(connection, series_instance_uid, sop_instance_uid)
    png = visit.app.pictures.png(original.digest, frame, center, width)
    visit.identity_seen(series_instance_uid, "pixels")
    return Response(png, media_type="image/png")
