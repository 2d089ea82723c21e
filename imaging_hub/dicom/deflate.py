"""Deflated datasets (PS3.5 §A.5), inflated within bounds."""

from __future__ import annotations

import zlib
from struct import Struct

from imaging_hub.errors import MalformedDataset


def inflate(data: memoryview, limit: int) -> bytes:
    """A deflated dataset, as far as `limit` bytes and no further.

    Raises `MalformedDataset`: `deflate-bomb` beyond the limit, `truncated`, `trailing-bytes`.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(data, limit)
    except zlib.error:
        raise MalformedDataset("The deflated stream is broken.", code="truncated") from None
    if stream.unconsumed_tail:
        raise MalformedDataset("The dataset inflates beyond the limit.", code="deflate-bomb")
    if not stream.eof:
        raise MalformedDataset("The deflated stream has no end.", code="truncated")
    # Some writers leave the gzip trailer (RFC 1952 §2.3.1) where PS3.5 §A.5 wants nothing.
    trailer = Struct("<LL").pack(zlib.crc32(inflated), len(inflated))
    if stream.unused_data.strip(b"\0") and stream.unused_data != trailer:
        raise MalformedDataset("Bytes follow the deflated stream.", code="trailing-bytes")
    return inflated
