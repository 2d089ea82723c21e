"""Unix socket by which the gateway hands instances to inline de-identification before it acknowledges them.

It serves senders whose originals are never kept. Only the hub's own user may open it. The outcome comes back
encrypted, so that the gateway, which knows the patient, does not learn the pseudonym. While nobody listens,
instances go to the spool.
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
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 5.0
"""After a failure, instances go to the spool for so long."""
_LENGTHS = struct.Struct(">II")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class HandoverRequest:
    """Header of a dataset that is handed over: its study, and how it is encoded."""

    hospital: str
    profile: str
    study_instance_uid: str
    patient_id: str
    transfer_syntax_uid: str


class HandoverClient:
    """Client of the socket at `path`; thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[socket.socket] = []
        self._lock = Lock()
        self._retry_at = 0.0

    def deidentify(self, request: HandoverRequest, dataset: Buffer) -> bytes | None:
        """Return the encrypted outcome of the instance, its object durable; None when it has to be spooled instead."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            return self._exchange(request, dataset)
        except OSError as fault:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.warning("handover-failed", fault=type(fault).__name__)
            return None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _exchange(self, request: HandoverRequest, dataset: Buffer) -> bytes | None:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            # The process may have been started anew since.
            with suppress(ConnectionError):
                return self._exchange_on(idle, request, dataset)
        return self._exchange_on(_connect(self._path), request, dataset)

    def _exchange_on(self, connection: socket.socket, request: HandoverRequest, dataset: Buffer) -> bytes | None:
        try:
            header = json.dumps(asdict(request)).encode()
            connection.sendall(_LENGTHS.pack(len(header), len(dataset)) + header)
            connection.sendall(dataset)
            (size,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
            outcome = _receive_exactly(connection, size)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return bytes(outcome) or None


def is_listening(path: Path) -> bool:
    """Whether a process listens at the socket."""
    try:
        _connect(path).close()
    except OSError:
        return False
    return True


def receive_request(connection: socket.socket) -> tuple[HandoverRequest, Buffer]:
    """Return the next request with its dataset. Raises `OSError` when the client has closed the connection."""
    header_size, size = _LENGTHS.unpack(_receive_exactly(connection, _LENGTHS.size))
    if size > DATASET_BYTES:
        raise ConnectionError
    request = HandoverRequest(**json.loads(_receive_exactly(connection, header_size)))
    return request, memoryview(_receive_exactly(connection, size)).toreadonly()


def send_outcome(connection: socket.socket, outcome: bytes | None) -> None:
    """Answer a request with an encrypted outcome; None tells the client to spool the instance."""
    connection.sendall(_LENGTH.pack(len(outcome or b"")) + (outcome or b""))


def _receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """Return the next `size` bytes. Raises `ConnectionError` when there are fewer."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        taken = connection.recv_into(view)
        if not taken:
            raise ConnectionError
        view = view[taken:]
    return data


@contextmanager
def _socket_address(path: Path) -> Iterator[str]:
    """Yield an address for the socket through its open folder, since an address may not exceed 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Listen at `path`, mode 0600, in place of a socket that an ended process left."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        with _socket_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(umask)
    listener.listen()
    return listener


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT_SECONDS)
    try:
        with _socket_address(path) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection
