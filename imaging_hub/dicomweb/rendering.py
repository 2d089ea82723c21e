"""Rendered frames and thumbnails (PS3.18 §8.3.5, §10.4.1.1.3)."""

from __future__ import annotations

import math
from io import BytesIO

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.dicomweb import media_types
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.pixels.rendering import FrameRenderer

THUMBNAIL = 128
"""Longer side of a thumbnail in pixels when no viewport is asked for."""

_LARGEST = 8192


def rendered(
    request: Request, pictures: FrameRenderer, found: ArchivedInstance, frame: int, *, longest: int = 0
) -> Response:
    """Frame `frame`, counted from 1, as JPEG or PNG under the window asked for, at most `longest` pixels long."""
    media_type = media_types.choose(request, "image/jpeg", "image/png")
    if not found.rows or not found.columns:
        raise ProblemDetails(406, "not-an-image", "This instance is no image.", hint="ask for its metadata")
    center, width = _window(request)
    box = _viewport(request) or ((longest, longest) if longest else None)
    png = pictures.png(found.digest, frame - 1, center, width)
    if media_type == "image/png" and box is None:
        return Response(png, media_type=media_type)
    picture: Image.Image = Image.open(BytesIO(png))
    if box is not None:
        scale = min(box[0] / picture.width, box[1] / picture.height)
        size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    buffer = BytesIO()
    if media_type == "image/png":
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, "JPEG", quality=_quality(request))
    return Response(buffer.getvalue(), media_type=media_type)


def _window(request: Request) -> tuple[float | None, float | None]:
    """Centre and width of `window=centre,width,function`; only the linear function is offered."""
    asked = request.query_params.get("window")
    if asked is None:
        return None, None
    center, width, function = [*_numbers("window", asked.rpartition(",")[0], 2), asked.rpartition(",")[2]]
    if str(function).lower() != "linear":
        raise _wrong("window", "end it with the function: window=40,400,linear")
    if not float(width) >= 1:
        raise _wrong("window", "give a width of 1 or more")
    return float(center), float(width)


def _viewport(request: Request) -> tuple[float, float] | None:
    """Width and height to fit the picture into; regions of a picture are not offered."""
    asked = request.query_params.get("viewport")
    if asked is None:
        return None
    width, height = _numbers("viewport", asked, 2)
    if not (1 <= width <= _LARGEST and 1 <= height <= _LARGEST):
        raise _wrong("viewport", f"give two sizes from 1 to {_LARGEST}")
    return width, height


def _quality(request: Request) -> int:
    asked = request.query_params.get("quality", "90")
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:4]) <= 100):
        raise _wrong("quality", "give a number from 1 to 100")
    return int(asked)


def _numbers(name: str, asked: str, count: int) -> list[float]:
    try:
        numbers = [float(number) for number in asked.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise _wrong(name, f"give {count} numbers with commas between")
    return numbers


def _wrong(name: str, hint: str) -> ProblemDetails:
    return ProblemDetails(400, f"{name}-parameter", f"The parameter {name} has the wrong form.", hint=hint)
