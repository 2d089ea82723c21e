"""Server in front of the DICOM receiver that bounds how long a peer may hold a slot, a thread or memory.

pynetdicom 3.0.4's own server does the TLS handshake in the accept thread without a timeout, reads with blocking
sockets, and bounds neither a PDU nor a dataset (its issues 979 and 1086; cf. fo-dicom 1468 and 1766): one silent
TLS client stops it, ten half-sent headers fill it. Here the handshake runs in the connection's own thread, a PDU has a
deadline, and when slots run out, the oldest peer that has not been identified is evicted.
`tests/adversarial/test_gateway_tls.py` fails when the stock server no longer needs this.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread

from imaging_hub.gateway.connection import POLL_SECONDS, ConnectionEnded, EndReason, PeerConnection, PeerLimits
from imaging_hub.gateway.senders import normalise_address
from imaging_hub.log import log

_BACKLOG = 128


class ConnectionSlots:
    """The open connections, up to a limit; when none is left, the oldest unidentified peer is evicted."""

    def __init__(self, limits: PeerLimits) -> None:
        self._limits = limits
        self._held: dict[PeerConnection, None] = {}
        self._lock = Lock()

    def acquire(self, connection: PeerConnection) -> bool:
        """Give `connection` a slot; return False when identified senders hold all of them."""
        with self._lock:
            peer_count = Counter(held.address for held in self._held if not held.evicted)[connection.address]
            if peer_count >= self._limits.per_peer and not self._evict_unidentified(connection.address):
                return False
            total_count = sum(not held.evicted for held in self._held)
            if total_count >= self._limits.total and not self._evict_unidentified(None):
                return False
            self._held[connection] = None
            return True

    def release(self, connection: PeerConnection) -> None:
        """Free the slot of a connection that has ended."""
        with self._lock:
            self._held.pop(connection, None)

    def connections(self) -> list[PeerConnection]:
        """List the connections that hold a slot."""
        with self._lock:
            return list(self._held)

    def _evict_unidentified(self, address: str | None) -> bool:
        for held in self._held:
            if not held.identified and not held.evicted and address in (None, held.address):
                held.evict()
                return True
        return False


class GuardedServer:
    """Accepts connections, and calls `serve` for each in a thread of its own; `ended` is called when it raises."""

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
        self._listener.settimeout(POLL_SECONDS)
        self._limits = limits
        self._context = context
        self._serve = serve
        self._ended = ended
        self._stopping = Event()
        self.slots = ConnectionSlots(limits)
        self._thread = Thread(target=self._accept, name="accept", daemon=True)

    @property
    def port(self) -> int:
        """TCP port that the server listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def start(self) -> None:
        """Start to accept connections."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop accepting, wait up to `seconds` for instances under way, then close all connections."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        until = time.monotonic() + seconds
        for connection in self.slots.connections():
            connection.stop()
        while self.slots.connections() and time.monotonic() < until:
            time.sleep(0.05)
        for connection in self.slots.connections():
            connection.evict()
        self._thread.join(POLL_SECONDS * 2)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, peer = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._stopping.is_set():
                    return
                # Out of file descriptors, or the peer has closed already.
                log.warning("accept-failed")
                time.sleep(0.1)
                continue
            self._admit(sock, normalise_address(peer[0]))

    def _admit(self, sock: socket.socket, address: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(POLL_SECONDS)
        connection = PeerConnection(sock, address, self._limits)
        if not self.slots.acquire(connection):
            # In another thread, since recording it may wait for a database that is away.
            Thread(target=self._ended, args=(connection, EndReason.EVICTED), name="refused", daemon=True).start()
            with suppress(OSError):
                sock.close()
            return
        Thread(target=self._run, args=(connection,), name="association", daemon=True).start()

    def _run(self, connection: PeerConnection) -> None:
        try:
            if self._context is not None:
                connection.start_tls(self._context)
            self._serve(connection)
        except ConnectionEnded as over:
            self._ended(connection, over.reason)
        except Exception:
            log.exception("association-failed")
            self._ended(connection, EndReason.PROTOCOL)
        finally:
            connection.close()
            self.slots.release(connection)
