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

from imaging_hub.dicom import frames
from imaging_hub.dicom.frames import Frame
from imaging_hub.errors import HubError


@dataclass(frozen=True)
class Window:
    """Centre and width of the greys shown (PS3.3 §C.11.2.1.2)."""

    center: float
    width: float


class Pictures:
    """Frames as pictures; the last decoded ones are kept, within a bound in bytes."""

    def __init__(self, read: Callable[[str], bytes | Path], most_bytes: int = 256 << 20) -> None:
        """`read` gives the DICOM file of a digest."""
        self._read = read
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], Frame] = OrderedDict()
        self._lock = Lock()

    def png(self, digest: str, frame: int, center: float | None = None, width: float | None = None) -> bytes:
        """The frame, counted from 0, under this window; under its own when none is given."""
        return frames.render(self._decoded(digest, frame), center, width)

    def window(self, digest: str, frame: int = 0) -> Window:
        """The window the frame is shown under when nobody turns it; any, for a frame that cannot be decoded."""
        try:
            decoded = self._decoded(digest, frame)
        except HubError:
            return Window(128, 256)
        if decoded.center is not None and decoded.width is not None:
            return Window(decoded.center, decoded.width)
        low, high = np.percentile(decoded.pixels, (0.5, 99.5)) * decoded.slope + decoded.intercept
        return Window(float(low + high) / 2 + 0.5, float(high - low) + 1)

    def _decoded(self, digest: str, number: int) -> Frame:
        with self._lock:
            frame = self._kept.get((digest, number))
            if frame is not None:
                self._kept.move_to_end((digest, number))
                return frame
        frame = frames.decode(self._read(digest), number)
        with self._lock:
            self._kept[digest, number] = frame
            while len(self._kept) > 1 and sum(one.pixels.nbytes for one in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return frame
