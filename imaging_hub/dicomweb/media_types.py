"""Content negotiation: accepted media types (RFC 9110 §12.5.1) with transfer syntaxes (PS3.18 §8.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from imaging_hub.http.problem_details import ProblemDetails

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
OCTETS = "application/octet-stream"
ANY_SYNTAX = "*"

_MAX_HEADER_LENGTH = 4096
_TOKEN = re.compile(r'\s*([,;=])\s*|"((?:[^"\\]|\\.)*)"|([^\s,;="]+)|\s+|(.)')
_FRAME_MEDIA_TYPES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


@dataclass(frozen=True, slots=True)
class MediaRange:
    """An accepted media range; for multipart, that of the parts."""

    name: str
    multipart: bool
    syntax: str | None
    """UID of a transfer syntax, `*` for the stored one, None when not given."""

    def covers(self, name: str) -> bool:
        """Return whether the media type `name` is in this range."""
        kind = self.name.removesuffix("*")
        return self.name == "*/*" or (self.name.endswith("/*") and name.startswith(kind)) or self.name == name

    def covers_syntax(self, uid: str) -> bool:
        """Return whether instances in this transfer syntax may be sent.

        PS3.18 §8.7.3.5.2 defaults to explicit little endian. As other archives do, and because clients verify objects
        by digest, the stored transfer syntax is sent when none is given.
        """
        return self.syntax in (None, ANY_SYNTAX, uid)


def frame_media_type(transfer_syntax_uid: str) -> str:
    """Return the media type of a compressed frame (PS3.18 table 8.7.3-2 ff.), `OCTETS` for native pixels."""
    return _FRAME_MEDIA_TYPES.get(transfer_syntax_uid, OCTETS)


def accepted_ranges(request: Request) -> list[MediaRange]:
    """Return the accepted media ranges, preferred first, without q=0; the query parameter precedes the header.

    PS3.18 §8.3.3.1. Raises `ProblemDetails` 400 for a list that is too long.
    """
    accept = request.query_params.get("accept") or request.headers.get("accept") or "*/*"
    if len(accept) > _MAX_HEADER_LENGTH:
        raise ProblemDetails(400, "accept-too-long", "The list of accepted media types is too long.")
    weighted = [(weight, media_range) for weight, media_range in map(_parse_range, _split_header(accept)) if weight > 0]
    return [media_range for _, media_range in sorted(weighted, key=lambda pair: -pair[0])]


def choose(request: Request, *offered: str) -> str:
    """Return the offered media type that the client prefers outside multipart; raises `ProblemDetails` 406."""
    for media_range in accepted_ranges(request):
        for name in offered:
            if not media_range.multipart and media_range.covers(name):
                return name
    raise not_acceptable(offered)


def not_acceptable(offered: Iterable[str]) -> ProblemDetails:
    """Return a 406 with the offered media types as hint."""
    return ProblemDetails(
        406, "not-acceptable", "None of the accepted media types can be given.", hint="accept " + ", ".join(offered)
    )


def _parse_range(parts: tuple[str, Mapping[str, str]]) -> tuple[float, MediaRange]:
    name, parameters = parts
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        weight = 0.0
    multipart = name in ("multipart/related", "multipart/*")
    inner = parameters.get("type", "*/*").lower() if multipart else name
    return weight, MediaRange(inner, multipart, parameters.get("transfer-syntax"))


def _split_header(header: str) -> list[tuple[str, Mapping[str, str]]]:
    """Split media ranges and their parameters; quoted values may have commas, and clients omit the quotes."""
    ranges: list[tuple[str, Mapping[str, str]]] = []
    fields: list[list[str]] = [[""]]
    for mark, quoted, word, _stray in [*_TOKEN.findall(header), (",", "", "", "")]:
        if mark == ",":
            (name, *_), *rest = fields
            if name:
                ranges.append((name.lower(), {pair[0].lower(): pair[1] for pair in rest if len(pair) == 2}))
            fields = [[""]]
        elif mark == ";":
            fields.append([""])
        elif mark == "=":
            fields[-1].append("")
        else:
            fields[-1][-1] += quoted or word
    return ranges
