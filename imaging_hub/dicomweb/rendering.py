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
"""Longer side of a thumbnail in pixels when no viewport is given."""

_MAX_VIEWPORT = 8192


def render(
    request: Request, renderer: FrameRenderer, instance: ArchivedInstance, frame: int, *, longest: int = 0
) -> Response:
    """Render frame `frame`, counted from 1, as JPEG or PNG, at most `longest` pixels long.

    Raises `ProblemDetails` for malformed parameters and instances without image, `HubError` `undecodable-pixels`.
    """
    media_type = media_types.choose(request, "image/jpeg", "image/png")
    if not instance.rows or not instance.columns:
        raise ProblemDetails(406, "not-an-image", "This instance is no image.", hint="ask for its metadata")
    center, width = _parse_window(request)
    box = _parse_viewport(request) or ((longest, longest) if longest else None)
    png = renderer.png(instance.digest, frame - 1, center, width)
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
        picture.save(buffer, "JPEG", quality=_parse_quality(request))
    return Response(buffer.getvalue(), media_type=media_type)


def _parse_window(request: Request) -> tuple[float | None, float | None]:
    """Parse `window=centre,width,function`; only the linear function is supported."""
    window = request.query_params.get("window")
    if window is None:
        return None, None
    center, width, function = [*_parse_numbers("window", window.rpartition(",")[0], 2), window.rpartition(",")[2]]
    if str(function).lower() != "linear":
        raise _parameter_error("window", "end it with the function: window=40,400,linear")
    if not float(width) >= 1:
        raise _parameter_error("window", "give a width of 1 or more")
    return float(center), float(width)


def _parse_viewport(request: Request) -> tuple[float, float] | None:
    """Parse `viewport=width,height`; regions of the image are not supported."""
    viewport = request.query_params.get("viewport")
    if viewport is None:
        return None
    width, height = _parse_numbers("viewport", viewport, 2)
    if not (1 <= width <= _MAX_VIEWPORT and 1 <= height <= _MAX_VIEWPORT):
        raise _parameter_error("viewport", f"give two sizes from 1 to {_MAX_VIEWPORT}")
    return width, height


def _parse_quality(request: Request) -> int:
    quality = request.query_params.get("quality", "90")
    if not (quality.isascii() and quality.isdigit() and 1 <= int(quality[:4]) <= 100):
        raise _parameter_error("quality", "give a number from 1 to 100")
    return int(quality)


def _parse_numbers(name: str, value: str, count: int) -> list[float]:
    try:
        numbers = [float(number) for number in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise _parameter_error(name, f"give {count} numbers with commas between")
    return numbers


def _parameter_error(name: str, hint: str) -> ProblemDetails:
    return ProblemDetails(400, f"{name}-parameter", f"The parameter {name} has the wrong form.", hint=hint)
