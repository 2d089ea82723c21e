"""Handover of an instance in memory to inline de-identification, for senders whose originals are never kept.

A local socket that the hub's own user alone may open. What comes back is sealed: the gateway, which knows the
hospital's patient, never learns the pseudonym. Nobody waits for it: while it is away, instances take the spool.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from imaging_hub.dicom.elements import Buffer
from imaging_hub.log import log

DATASET_BYTES = 8 << 20
"""Largest dataset handed over, and so the largest that a gateway holds in memory."""
PATIENCE_SECONDS = 10.0
AWAY_SECONDS = 5.0
"""After a failure it is not asked again for so long."""
_LENGTHS = struct.Struct(">II")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class HandoverRequest:
    """Whose instance it is that is handed over."""

    hospital: str
    profile: str
    study_instance_uid: str
    patient_id: str
    transfer_syntax_uid: str


class HandoverClient:
    """A gateway's side of the socket at `path`; safe among threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[socket.socket] = []
        self._lock = Lock()
        self._away_until = 0.0

    def ask(self, handed: HandoverRequest, dataset: Buffer) -> bytes | None:
        """What came of the instance, sealed, its object durable; None where the instance has to take the spool."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._asked(handed, dataset)
        except OSError as fault:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("handover-failed", fault=type(fault).__name__)
            return None

    def close(self) -> None:
        """End the connections."""
        with self._lock:
            for line in self._idle:
                line.close()
            self._idle.clear()

    def _asked(self, handed: HandoverRequest, dataset: Buffer) -> bytes | None:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            # The process may have been started anew since.
            with suppress(ConnectionError):
                return self._said(idle, handed, dataset)
        return self._said(_connected(self._path), handed, dataset)

    def _said(self, line: socket.socket, handed: HandoverRequest, dataset: Buffer) -> bytes | None:
        try:
            header = json.dumps(asdict(handed)).encode()
            line.sendall(_LENGTHS.pack(len(header), len(dataset)) + header)
            line.sendall(dataset)
            (size,) = _LENGTH.unpack(_read(line, _LENGTH.size))
            sealed = _read(line, size)
        except BaseException:
            line.close()
            raise
        with self._lock:
            self._idle.append(line)
        return bytes(sealed) or None


def answers(path: Path) -> bool:
    """Whether somebody listens at the socket."""
    try:
        _connected(path).close()
    except OSError:
        return False
    return True


def receive(line: socket.socket) -> tuple[HandoverRequest, Buffer]:
    """The next instance handed over; raises `OSError` when the other side has ended."""
    header_size, size = _LENGTHS.unpack(_read(line, _LENGTHS.size))
    if size > DATASET_BYTES:
        raise ConnectionError
    handed = HandoverRequest(**json.loads(_read(line, header_size)))
    return handed, memoryview(_read(line, size)).toreadonly()


def answer(line: socket.socket, sealed: bytes | None) -> None:
    """Say what came of it; None has it take the spool."""
    line.sendall(_LENGTH.pack(len(sealed or b"")) + (sealed or b""))


def _read(line: socket.socket, size: int) -> bytearray:
    """The next `size` bytes; raises `ConnectionError` when there are fewer."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        taken = line.recv_into(view)
        if not taken:
            raise ConnectionError
        view = view[taken:]
    return data


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """A socket's address by way of its open folder: an address may have 107 bytes, a path more."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A socket at `path` for this user alone, in place of one that an ended process left."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _address(path) as where:
            listening.bind(where)
    finally:
        os.umask(before)
    listening.listen()
    return listening


def _connected(path: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(PATIENCE_SECONDS)
    try:
        with _address(path) as where:
            line.connect(where)
    except BaseException:
        line.close()
        raise
    return line
