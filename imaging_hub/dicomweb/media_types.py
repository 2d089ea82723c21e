"""What a client accepts (RFC 9110 §12.5.1), and what PS3.18 §8.7 lets it ask for."""

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

_LONGEST = 4096
_TOKEN = re.compile(r'\s*([,;=])\s*|"((?:[^"\\]|\\.)*)"|([^\s,;="]+)|\s+|(.)')
_OF_SYNTAX = {
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
    """One thing a client would take; for multipart, what it wants in the parts."""

    name: str
    multipart: bool
    syntax: str | None
    """UID of a transfer syntax, `*` for whichever is stored, nothing when not said."""

    def covers(self, name: str) -> bool:
        """Whether `name` is within this range."""
        kind = self.name.removesuffix("*")
        return self.name == "*/*" or (self.name.endswith("/*") and name.startswith(kind)) or self.name == name

    def covers_syntax(self, uid: str) -> bool:
        """Whether instances in this transfer syntax may be sent.

        PS3.18 §8.7.3.5.2 reads silence as explicit little endian; every archive we know sends what it
        stores, clients rely on it, and a copy must be the object its digest names: so do we.
        """
        return self.syntax in (None, ANY_SYNTAX, uid)


def of_syntax(transfer_syntax_uid: str) -> str:
    """Media type of a compressed frame (PS3.18 table 8.7.3-2 and following); octets for native pixels."""
    return _OF_SYNTAX.get(transfer_syntax_uid, OCTETS)


def accepted(request: Request) -> list[MediaRange]:
    """What the client accepts, the best first; the query parameter wins (PS3.18 §8.3.3.1), q=0 is left out."""
    asked = request.query_params.get("accept") or request.headers.get("accept") or "*/*"
    if len(asked) > _LONGEST:
        raise ProblemDetails(400, "accept-too-long", "The list of accepted media types is too long.")
    weighed = [(weight, found) for weight, found in map(_range, _split(asked)) if weight > 0]
    return [found for _, found in sorted(weighed, key=lambda pair: -pair[0])]


def choose(request: Request, *offered: str) -> str:
    """The first offered media type that the client accepts outside multipart; 406 when there is none."""
    for wanted in accepted(request):
        for name in offered:
            if not wanted.multipart and wanted.covers(name):
                return name
    raise not_acceptable(offered)


def not_acceptable(offered: Iterable[str]) -> ProblemDetails:
    """406, naming what could be had."""
    return ProblemDetails(
        406, "not-acceptable", "None of the accepted media types can be given.", hint="accept " + ", ".join(offered)
    )


def _range(parts: tuple[str, Mapping[str, str]]) -> tuple[float, MediaRange]:
    name, parameters = parts
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        weight = 0.0
    multipart = name in ("multipart/related", "multipart/*")
    inner = parameters.get("type", "*/*").lower() if multipart else name
    return weight, MediaRange(inner, multipart, parameters.get("transfer-syntax"))


def _split(header: str) -> list[tuple[str, Mapping[str, str]]]:
    """Media ranges with their parameters; quotes may hold commas, and clients forget the quotes."""
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
