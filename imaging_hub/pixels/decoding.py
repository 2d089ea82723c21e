"""Frames of an instance as numbers, and as pictures for the eye.

Decoders of compressed pixel data are large native libraries with a history of memory faults, and the
data come from anywhere: they run in a process of their own (`frame_decoder`), forked for one frame,
with limits on memory, CPU and time, and without anything of the hub in it.
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
_DECODERS = 2
# The values outside are noise for the eye: bone edges, metal, padding.
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One decoded frame, with what the header says of showing it."""

    pixels: PixelArray
    """Stored values (rows, columns), or 8- or 16-bit RGB (rows, columns, 3); palettes and YBR are resolved."""
    slope: float = 1.0
    intercept: float = 0.0
    center: float | None = None
    width: float | None = None
    inverted: bool = False
    """True for MONOCHROME1: the least value is white."""


def decode(part10: Path | bytes, frame: int) -> DecodedFrame:
    """Frame number `frame`, counted from 0, of a DICOM file.

    Raises `HubError` `undecodable-pixels` when there is no such frame, when the data do not hold what
    the header announces, or when the decoder fails, dies or takes too long.
    """
    return _shared_decoders().decode(part10, frame)


def render(frame: DecodedFrame, center: float | None = None, width: float | None = None) -> bytes:
    """The frame as an 8-bit PNG, under the given window, else the header's, else one that fits the values.

    Linear VOI function of PS3.3 §C.11.2.1.2; colour has no window.
    """
    if frame.pixels.ndim == 3:
        shown = frame.pixels if frame.pixels.dtype == np.uint8 else (frame.pixels >> 8).astype(np.uint8)
    else:
        shown = _windowed(frame, center, width)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _windowed(frame: DecodedFrame, center: float | None, width: float | None) -> PixelArray:
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
    """A few decoding processes, started when first needed; safe to use from several threads."""

    def __init__(self, size: int = _DECODERS, wall_seconds: float = WALL_SECONDS) -> None:
        self._wall_seconds = wall_seconds
        self._idle: LifoQueue[_Decoder | None] = LifoQueue()
        self._size = size
        for _ in range(size):
            self._idle.put(None)

    def decode(self, part10: Path | bytes, frame: int) -> DecodedFrame:
        """As the function `decode`."""
        with _source(part10) as source:
            return self._decode(source, frame)

    def _decode(self, source: BinaryIO, frame: int) -> DecodedFrame:
        decoder = self._idle.get()
        try:
            if decoder is None:
                decoder = _Decoder()
            result = decoder.decode(source, frame, self._wall_seconds)
        except OSError:
            # It is dead or hangs: the next frame gets a fresh one.
            if decoder is not None:
                decoder.kill()
                decoder = None
            raise _undecodable() from None
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


class _Decoder:
    """One decoding process (`frame_decoder`), spoken to over a socket; files go as descriptors."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "imaging_hub.pixels.decoder_process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                # Neither the database's address nor a key is in what hostile data might get hold of.
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
                raise _undecodable()
            result.seek(0)
            described = json.loads(result.readline())
            shape, dtype = described.pop("shape"), described.pop("dtype")
            return DecodedFrame(np.frombuffer(result.read(), dtype).reshape(shape), **described)

    def kill(self) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _source(part10: Path | bytes) -> BinaryIO:
    """An open file of the instance; bytes lie in memory, never on a disk."""
    if isinstance(part10, Path):
        return part10.open("rb")
    memory = os.fdopen(os.memfd_create("instance"), "r+b")
    memory.write(part10)
    memory.flush()
    return memory


@cache
def _shared_decoders() -> FrameDecoders:
    """The decoders of this process: like a connection pool, it is a resource and no state."""
    decoders = FrameDecoders()
    atexit.register(decoders.close)
    return decoders


def _undecodable() -> HubError:
    return HubError("The pixel data could not be decoded.", code="undecodable-pixels")
