"""Decoding of frames in a confined process, and rendering of a decoded frame as PNG.

Decoders of compressed pixel data are large native libraries with a history of memory faults. They run in a process
of their own (`decoder_process`), forked for one frame, with limits on memory, CPU and time, and without the hub's
settings and keys.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from queue import LifoQueue
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging_hub.errors import HubError

PixelArray: TypeAlias = "NDArray[Any]"

WALL_SECONDS = 30.0
"""Longest time one frame may take."""
_DECODER_COUNT = 2
# Values outside these are seldom of interest: metal, padding.
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One decoded frame with its rescale and window."""

    pixels: PixelArray
    """Stored values (rows, columns), or 8- or 16-bit RGB (rows, columns, 3); palettes and YBR are resolved."""
    slope: float = 1.0
    intercept: float = 0.0
    center: float | None = None
    width: float | None = None
    inverted: bool = False
    """True for MONOCHROME1: the least value is white."""


def decode(part10: Path | bytes, frame: int) -> DecodedFrame:
    """Decode frame `frame`, counted from 0, of a DICOM file.

    Raises `HubError` `undecodable-pixels` when there is no such frame, the data are shorter than the header
    announces, or the decoder fails, dies or takes more than `WALL_SECONDS`.
    """
    return _shared_decoders().decode(part10, frame)


def render(frame: DecodedFrame, center: float | None = None, width: float | None = None) -> bytes:
    """Return the frame as an 8-bit PNG under the given window, the header's, or one that fits the values.

    Linear VOI function of PS3.3 §C.11.2.1.2; colour has no window.
    """
    if frame.pixels.ndim == 3:
        shown = frame.pixels if frame.pixels.dtype == np.uint8 else (frame.pixels >> 8).astype(np.uint8)
    else:
        shown = _apply_window(frame, center, width)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _apply_window(frame: DecodedFrame, center: float | None, width: float | None) -> PixelArray:
    values = frame.pixels.astype(np.float32)
    values *= frame.slope
    values += frame.intercept
    if center is None or width is None:
        center, width = frame.center, frame.width
    if center is None or width is None:
        low, high = np.percentile(values[np.isfinite(values)], _PERCENTILES) if np.isfinite(values).any() else (0, 0)
        center, width = float(low + high) / 2 + 0.5, float(high - low) + 1
    values -= center - 0.5
    values *= 255 / max(width - 1, 1e-6)
    values += 127.5
    shown = np.nan_to_num(np.clip(values, 0, 255)).astype(np.uint8)
    return 255 - shown if frame.inverted else shown


class FrameDecoders:
    """A pool of decoding processes, started when first needed; safe to use from several threads."""

    def __init__(self, size: int = _DECODER_COUNT, wall_seconds: float = WALL_SECONDS) -> None:
        self._wall_seconds = wall_seconds
        self._idle: LifoQueue[_DecoderProcess | None] = LifoQueue()
        self._size = size
        for _ in range(size):
            self._idle.put(None)

    def decode(self, part10: Path | bytes, frame: int) -> DecodedFrame:
        """Decode a frame as the function `decode` does, with the same errors."""
        with _open_source(part10) as source:
            return self._decode(source, frame)

    def _decode(self, source: BinaryIO, frame: int) -> DecodedFrame:
        decoder = self._idle.get()
        try:
            if decoder is None:
                decoder = _DecoderProcess()
            result = decoder.decode(source, frame, self._wall_seconds)
        except OSError:
            # The process is dead or hangs: the next frame gets a new one.
            if decoder is not None:
                decoder.kill()
                decoder = None
            raise _undecodable_error() from None
        finally:
            self._idle.put(decoder)
        return result

    def close(self) -> None:
        """End the processes."""
        for _ in range(self._size):
            decoder = self._idle.get()
            if decoder is not None:
                decoder.kill()
            self._idle.put(None)


class _DecoderProcess:
    """One decoding process (`decoder_process`), reached over a socket; files are passed as descriptors."""

    def __init__(self) -> None:
        self._socket, child_socket = socket.socketpair()
        with child_socket:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "imaging_hub.pixels.decoder_process", str(child_socket.fileno())],
                pass_fds=(child_socket.fileno(),),
                # The environment holds no database address and no key that hostile data could get at.
                env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def decode(self, source: BinaryIO, frame: int, wall_seconds: float) -> DecodedFrame:
        with os.fdopen(os.memfd_create("frame"), "r+b") as result:
            self._socket.settimeout(wall_seconds)
            socket.send_fds(
                self._socket, [frame.to_bytes(4, "little", signed=True)], [source.fileno(), result.fileno()]
            )
            status = self._socket.recv(1)
            if not status:
                raise ConnectionResetError
            if status != b"\0":
                raise _undecodable_error()
            result.seek(0)
            header = json.loads(result.readline())
            shape, dtype = header.pop("shape"), header.pop("dtype")
            return DecodedFrame(np.frombuffer(result.read(), dtype).reshape(shape), **header)

    def kill(self) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _open_source(part10: Path | bytes) -> BinaryIO:
    """Open the instance; bytes are kept in memory, never on a disk."""
    if isinstance(part10, Path):
        return part10.open("rb")
    memory = os.fdopen(os.memfd_create("instance"), "r+b")
    memory.write(part10)
    memory.flush()
    return memory


@cache
def _shared_decoders() -> FrameDecoders:
    """Return the decoders shared by this process, a resource like a connection pool."""
    decoders = FrameDecoders()
    atexit.register(decoders.close)
    return decoders


def _undecodable_error() -> HubError:
    return HubError("The pixel data could not be decoded.", code="undecodable-pixels")
