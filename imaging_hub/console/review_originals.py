"""Originals for the hub's review page (BEFORE), the only routes that another origin may call.

The hub's page fetches them in the browser with the console's session, so that no original passes through the hub.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from imaging_hub.console import originals
from imaging_hub.console.authorization import ALL_ROLES, ConsoleRequest, RequiresRole, get_console
from imaging_hub.dicom import attribute_path

router = APIRouter(include_in_schema=False)

OriginalsViewer = Annotated[ConsoleRequest, RequiresRole(ALL_ROLES)]
InstanceUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")]


@router.get("/session")
def session(request: Request) -> Response:
    """Name of the operator who is signed in, or null."""
    authenticated = get_console(request).authenticate_request(request)
    return JSONResponse({"person": authenticated[0].name if authenticated else None})


@router.get("/before/{series_instance_uid}/{sop_instance_uid}/attributes")
def attributes(request: OriginalsViewer, series_instance_uid: InstanceUid, sop_instance_uid: InstanceUid) -> Response:
    """Every attribute of the original by its path; each look is recorded."""
    with request.begin() as connection:
        original = originals.find_original(connection, series_instance_uid, sop_instance_uid)
    values = originals.read_attributes(request.app.spool, original.digest)
    values |= {attribute_path.without_creator(path): value for path, value in reversed(values.items())}
    request.record_identity_seen(series_instance_uid, "attributes", every_time=True)
    return JSONResponse({"attributes": values})


@router.get("/before/{series_instance_uid}/{sop_instance_uid}/{frame}.png")
def picture(
    *,
    request: OriginalsViewer,
    series_instance_uid: InstanceUid,
    sop_instance_uid: InstanceUid,
    frame: Annotated[int, Path(ge=0, lt=1 << 31)],
    center: Annotated[float | None, Query(ge=-1e6, le=1e6, allow_inf_nan=False)] = None,
    width: Annotated[float | None, Query(gt=0, le=1e6, allow_inf_nan=False)] = None,
) -> Response:
    """One frame of the original as PNG; recorded once per series, session and day."""
    with request.begin() as connection:
        original = originals.find_original(connection, series_instance_uid, sop_instance_uid)
    png = request.app.pictures.png(original.digest, frame, center, width)
    request.record_identity_seen(series_instance_uid, "pixels")
    return Response(png, media_type="image/png")
