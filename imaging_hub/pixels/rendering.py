"""Frames as pictures for the eye.

Decoding runs in a child process (`frames`), so it costs; the last decoded frames are kept, within a bound in
bytes, so that turning the window does not decode again.
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
    """Centre and width of the greys shown (PS3.3 §C.11.2.1.2)."""

    center: float
    width: float


class FrameRenderer:
    """Frames as pictures; the last decoded ones are kept, within a bound in bytes."""

    def __init__(self, read: Callable[[str], bytes | Path], most_bytes: int = 256 << 20) -> None:
        """`read` gives the DICOM file of a digest."""
        self._read = read
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], DecodedFrame] = OrderedDict()
        self._lock = Lock()

    def png(self, digest: str, frame: int, center: float | None = None, width: float | None = None) -> bytes:
        """The frame, counted from 0, under this window; under its own when none is given."""
        return decoding.render(self._decoded(digest, frame), center, width)

    def window(self, digest: str, frame: int = 0) -> VoiWindow:
        """The window the frame is shown under when nobody turns it; any, for a frame that cannot be decoded."""
        try:
            decoded = self._decoded(digest, frame)
        except HubError:
            return VoiWindow(128, 256)
        if decoded.center is not None and decoded.width is not None:
            return VoiWindow(decoded.center, decoded.width)
        low, high = np.percentile(decoded.pixels, (0.5, 99.5)) * decoded.slope + decoded.intercept
        return VoiWindow(float(low + high) / 2 + 0.5, float(high - low) + 1)

    def _decoded(self, digest: str, number: int) -> DecodedFrame:
        with self._lock:
            frame = self._kept.get((digest, number))
            if frame is not None:
                self._kept.move_to_end((digest, number))
                return frame
        frame = decoding.decode(self._read(digest), number)
        with self._lock:
            self._kept[digest, number] = frame
            while len(self._kept) > 1 and sum(one.pixels.nbytes for one in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return frame
