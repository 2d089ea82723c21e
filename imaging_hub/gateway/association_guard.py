"""The guard in front of the receiver: nobody holds a slot, a thread or memory for longer than the limits allow.

pynetdicom 3.0.4's own server does the TLS handshake in the accept thread without a timeout, reads with blocking
sockets, and bounds neither a PDU nor a dataset (its issues 979 and 1086; cf. fo-dicom 1468 and 1766): one silent
TLS client stops it, ten half-sent headers fill it. Here the handshake runs in the connection's own thread;
a PDU that was begun must be whole by a deadline; and whoever has not yet named itself makes way, oldest first,
when slots run out. `tests/adversarial/test_gateway_tls.py` tells when the stock server no longer needs this.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

from imaging_hub.gateway.connection import TICK_SECONDS, ConnectionEnded, EndReason, PeerConnection, PeerLimits
from imaging_hub.gateway.senders import plain_address
from imaging_hub.log import log

_BACKLOG = 128


class ConnectionSlots:
    """Who holds a connection. When there is none left, the oldest peer that has not named itself makes way."""

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._held: dict[PeerConnection, None] = {}
        self._lock = Lock()

    def take(self, connection: PeerConnection) -> bool:
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

    def give_back(self, connection: PeerConnection) -> None:
        """The connection has ended."""
        with self._lock:
            self._held.pop(connection, None)

    def all(self) -> list[PeerConnection]:
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
        limits: PeerLimits,
        context: ssl.SSLContext | None,
        serve: Callable[[PeerConnection], None],
        ended: Callable[[PeerConnection, EndReason], None],
    ) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.settimeout(TICK_SECONDS)
        self._limits = limits
        self._context = context
        self._serve = serve
        self._ended = ended
        self._stopping = Event()
        self.slots = ConnectionSlots(limits)
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
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        until = time.monotonic() + seconds
        for connection in self.slots.all():
            connection.stop()
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
        connection = PeerConnection(sock, address, self._limits)
        if not self.slots.take(connection):
            # Not in this thread: whoever writes it down may wait for a database that is away.
            Thread(target=self._ended, args=(connection, EndReason.EVICTED), name="refused", daemon=True).start()
            with suppress(OSError):
                sock.close()
            return
        Thread(target=self._run, args=(connection,), name="association", daemon=True).start()

    def _run(self, connection: PeerConnection) -> None:
        try:
            if self._context is not None:
                connection.secure(self._context)
            self._serve(connection)
        except ConnectionEnded as over:
            self._ended(connection, over.reason)
        except Exception:
            log.exception("association-failed")
            self._ended(connection, EndReason.PROTOCOL)
        finally:
            connection.close()
            self.slots.give_back(connection)
