"""Rendering of frames as PNG, with a cache of decoded frames.

Decoding runs in a child process and is slow, so the last decoded frames are kept: a change of window does not
decode again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from imaging_hub.errors import HubError
from imaging_hub.pixels import decoding
from imaging_hub.pixels.decoding import DecodedFrame


@dataclass(frozen=True)
class VoiWindow:
    """Centre and width of a VOI window (PS3.3 §C.11.2.1.2)."""

    center: float
    width: float


class FrameRenderer:
    """Renders frames; keeps the last decoded ones within a bound in bytes. Safe among threads."""

    def __init__(self, read: Callable[[str], bytes | Path], cache_bytes: int = 256 << 20) -> None:
        """`read` returns the DICOM file of a digest; `cache_bytes` bounds the decoded frames kept."""
        self._read = read
        self._limit = cache_bytes
        self._cache: OrderedDict[tuple[str, int], DecodedFrame] = OrderedDict()
        self._lock = Lock()

    def png(self, digest: str, frame: int, center: float | None = None, width: float | None = None) -> bytes:
        """Render a frame, counted from 0, under this window or its own; raises `HubError` `undecodable-pixels`."""
        return decoding.render(self._decode(digest, frame), center, width)

    def window(self, digest: str, frame: int = 0) -> VoiWindow:
        """Return the frame's own window; an arbitrary one for a frame that cannot be decoded."""
        try:
            decoded = self._decode(digest, frame)
        except HubError:
            return VoiWindow(128, 256)
        if decoded.center is not None and decoded.width is not None:
            return VoiWindow(decoded.center, decoded.width)
        low, high = np.percentile(decoded.pixels, (0.5, 99.5)) * decoded.slope + decoded.intercept
        return VoiWindow(float(low + high) / 2 + 0.5, float(high - low) + 1)

    def _decode(self, digest: str, number: int) -> DecodedFrame:
        with self._lock:
            frame = self._cache.get((digest, number))
            if frame is not None:
                self._cache.move_to_end((digest, number))
                return frame
        frame = decoding.decode(self._read(digest), number)
        with self._lock:
            self._cache[digest, number] = frame
            while len(self._cache) > 1 and sum(kept.pixels.nbytes for kept in self._cache.values()) > self._limit:
                self._cache.popitem(last=False)
        return frame
