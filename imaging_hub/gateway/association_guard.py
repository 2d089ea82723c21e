"""The guard in front of the receiver: nobody holds a slot, a thread or memory for longer than the limits allow.

pynetdicom 3.0.4's own server does the TLS handshake in the accept thread without a timeout, reads with blocking
sockets, and bounds neither a PDU nor a dataset (its issues 979 and 1086; cf. fo-dicom 1468 and 1766): one silent
TLS client stops it, ten half-sent headers fill it. Here the handshake runs in the connection's own thread;
a PDU that was begun must be whole by a deadline; and whoever has not yet named itself makes way, oldest first,
when slots run out. `tests/adversarial/test_gateway_stock_server.py` tells when the stock server no longer needs this.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Event, Lock, Thread

from imaging_hub.gateway.senders import plain_address
from imaging_hub.log import log
from imaging_hub.settings import Settings

TICK_SECONDS = 1.0
"""How often a waiting thread looks at its deadline and at whether the receiver is stopping."""
IDLE_SECONDS = 120.0
"""An association on which nothing is sent for so long is ended."""
LINGER_SECONDS = 1.0
FIRST_PDU_MAX_BYTES = 1 << 18
"""An A-ASSOCIATE-RQ with all 128 contexts and every transfer syntax stays below this."""
_BACKLOG = 128
_HEADER = struct.Struct(">BxL")


class Hangup(Exception):
    """The connection is over; `reason` says why."""

    def __init__(self, reason: Ending) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Ending(StrEnum):
    """Why a connection ended otherwise than by a release."""

    PEER_CLOSED = "peer-closed"
    PEER_ABORTED = "peer-aborted"
    PDU_DEADLINE = "pdu-deadline"  # begun and not whole in time
    PDU_TOO_LONG = "pdu-too-long"
    IDLE = "idle"
    DATASET_TOO_LONG = "dataset-too-long"
    PROTOCOL = "protocol-error"
    TLS = "tls-handshake"
    STORAGE = "storage-failing"  # too many instances in a row could not be stored
    STOPPING = "stopping"
    EVICTED = "evicted"  # made way for somebody else before it had named itself


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may cost."""

    pdu_bytes: int
    pdu_seconds: float
    total: int
    per_peer: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of these settings."""
        return cls(
            settings.pdu_max_bytes,
            settings.pdu_deadline_seconds,
            settings.associations_max,
            settings.associations_per_peer,
        )


class Connection:
    """A peer's connection, read under the limits. Every wait ends in a `Hangup` at the latest."""

    def __init__(self, sock: socket.socket, address: str, limits: Limits) -> None:
        self.address = address
        self.named = False
        """The peer has named itself as a known sender, and keeps its slot."""
        self.stopping = False
        self.evicted = False
        self._socket = sock
        self._limits = limits
        self._deadline = 0.0
        self._quick_ack = hasattr(socket, "TCP_QUICKACK")

    def secure(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake, whole within the PDU deadline."""
        self._socket.settimeout(self._limits.pdu_seconds)
        try:
            secured = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket = secured
            secured.do_handshake()
        except OSError:
            raise Hangup(Ending.TLS) from None
        self._socket.settimeout(TICK_SECONDS)

    def next_pdu(self) -> tuple[int, int]:
        """Type and length of the next PDU (PS3.8 §9.3.1); its body is to be read whole by a deadline from now on."""
        self._rearm()
        header = bytearray(_HEADER.size)
        # A peer that has not named itself must have its first PDU whole by the deadline, from the first moment on.
        self._deadline = time.monotonic() + (IDLE_SECONDS if self.named else self._limits.pdu_seconds)
        got = self._read_some(memoryview(header), Ending.IDLE)
        if self.named:
            self._deadline = time.monotonic() + self._limits.pdu_seconds
        self.read_into(memoryview(header)[got:])
        kind, length = _HEADER.unpack(header)
        if length > (self._limits.pdu_bytes if self.named else min(self._limits.pdu_bytes, FIRST_PDU_MAX_BYTES)):
            raise Hangup(Ending.PDU_TOO_LONG)
        return kind, length

    def read(self, size: int) -> bytearray:
        """The next `size` bytes."""
        body = bytearray(size)
        self.read_into(memoryview(body))
        return body

    def read_into(self, view: memoryview) -> None:
        """Fill `view`."""
        while view:
            view = view[self._read_some(view, Ending.PDU_DEADLINE) :]

    def send(self, data: bytes) -> None:
        """Send an answer; a peer that takes none is gone."""
        try:
            self._socket.sendall(data)
        except OSError:
            raise Hangup(self._why_closed()) from None

    def close(self) -> None:
        """Say the last word, wait a moment for the peer to have read it, close."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            # Closing with unread data sends a reset, which may overtake the last PDU.
            self._socket.settimeout(LINGER_SECONDS / 4)
            until = time.monotonic() + LINGER_SECONDS
            while time.monotonic() < until and self._socket.recv(65536):
                pass
        with suppress(OSError):
            self._socket.close()

    def evict(self) -> None:
        """End the connection from another thread."""
        self.evicted = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read_some(self, view: memoryview, too_late: Ending) -> int:
        while True:
            try:
                got = self._socket.recv_into(view)
            except TimeoutError:
                if self.stopping and too_late is Ending.IDLE:
                    raise Hangup(Ending.STOPPING) from None
            except OSError:
                raise Hangup(self._why_closed()) from None
            else:
                if got:
                    if time.monotonic() > self._deadline:
                        raise Hangup(too_late)
                    return got
                raise Hangup(self._why_closed())
            if time.monotonic() > self._deadline:
                raise Hangup(too_late)

    def _why_closed(self) -> Ending:
        return Ending.EVICTED if self.evicted else Ending.PEER_CLOSED

    def _rearm(self) -> None:
        # Not sticky: without it, a sender with Nagle's algorithm waits 40 ms for our delayed acknowledgement.
        if self._quick_ack:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class Slots:
    """Who holds a connection. When there is none left, the oldest peer that has not named itself makes way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: dict[Connection, None] = {}
        self._lock = Lock()

    def take(self, connection: Connection) -> bool:
        """Give `connection` a slot; False when all are held by senders at work."""
        with self._lock:
            of_peer = Counter(held.address for held in self._held if not held.evicted)[connection.address]
            if of_peer >= self._limits.per_peer and not self._make_way(connection.address):
                return False
            alive = sum(not held.evicted for held in self._held)
            if alive >= self._limits.total and not self._make_way(None):
                return False
            self._held[connection] = None
            return True

    def give_back(self, connection: Connection) -> None:
        """The connection has ended."""
        with self._lock:
            self._held.pop(connection, None)

    def all(self) -> list[Connection]:
        """Everybody who holds a slot."""
        with self._lock:
            return list(self._held)

    def _make_way(self, address: str | None) -> bool:
        for held in self._held:
            if not held.named and not held.evicted and address in (None, held.address):
                held.evict()
                return True
        return False


class GuardedServer:
    """Accepts connections, one thread each, and hands them to `serve` once they are through the guard."""

    def __init__(
        self,
        address: tuple[str, int],
        limits: Limits,
        context: ssl.SSLContext | None,
        serve: Callable[[Connection], None],
        ended: Callable[[Connection, Ending], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.settimeout(TICK_SECONDS)
        self._limits = limits
        self._context = context
        self._serve = serve
        self._ended = ended
        self._stopping = Event()
        self.slots = Slots(limits)
        self._thread = Thread(target=self._accept, name="accept", daemon=True)

    @property
    def port(self) -> int:
        """The port listened on."""
        port: int = self._listener.getsockname()[1]
        return port

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Accept no more; let instances under way end within `seconds`, then close."""
        self._stopping.set()
        self._listener.close()
        until = time.monotonic() + seconds
        for connection in self.slots.all():
            connection.stopping = True
        while self.slots.all() and time.monotonic() < until:
            time.sleep(0.05)
        for connection in self.slots.all():
            connection.evict()
        self._thread.join(TICK_SECONDS * 2)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._stopping.is_set():
                    return
                # Out of file descriptors, or the peer was gone already.
                log.warning("accept-failed")
                time.sleep(0.1)
                continue
            self._admit(sock, plain_address(peer[0]))

    def _admit(self, sock: socket.socket, address: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(TICK_SECONDS)
        connection = Connection(sock, address, self._limits)
        if not self.slots.take(connection):
            self._ended(connection, Ending.EVICTED)
            with suppress(OSError):
                sock.close()
            return
        Thread(target=self._run, args=(connection,), name="association", daemon=True).start()

    def _run(self, connection: Connection) -> None:
        try:
            if self._context is not None:
                connection.secure(self._context)
            self._serve(connection)
        except Hangup as over:
            self._ended(connection, over.reason)
        except Exception:
            log.exception("association-failed")
            self._ended(connection, Ending.PROTOCOL)
        finally:
            connection.close()
            self.slots.give_back(connection)
