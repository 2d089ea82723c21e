"""A peer's connection, read under limits: no wait on it is without an end."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

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
_PDU_TYPES = range(1, 8)
_TLS_HANDSHAKE = 0x16
"""First byte of a TLS record that begins a handshake (RFC 8446 §5.1)."""
_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


class ConnectionEnded(Exception):
    """The connection is over; `reason` says why."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class EndReason(StrEnum):
    """Why a connection ended otherwise than by a release."""

    PEER_CLOSED = "peer-closed"
    PEER_ABORTED = "peer-aborted"
    PDU_DEADLINE = "pdu-deadline"  # begun and not whole in time
    PDU_TOO_LONG = "pdu-too-long"
    IDLE = "idle"
    DATASET_TOO_LONG = "dataset-too-long"
    PROTOCOL = "protocol-error"
    NOT_DICOM = "not-dicom"  # the first bytes are of another protocol
    UNEXPECTED_TLS = "unexpected-tls"  # the peer speaks TLS to a port without
    MISSING_TLS = "missing-tls"  # the peer speaks no TLS to a port with
    TLS_VERSION = "tls-version"  # no version or cipher in common
    CERTIFICATE_MISSING = "certificate-missing"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"  # signed by none of our authorities
    OUR_CERTIFICATE = "our-certificate-refused"  # the peer does not trust ours
    TLS = "tls-handshake"  # whatever else ended a handshake
    STORAGE = "storage-failing"  # too many instances in a row could not be stored
    STOPPING = "stopping"
    EVICTED = "evicted"  # made way for somebody else before it had named itself


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What a peer may cost."""

    pdu_bytes: int
    pdu_seconds: float
    total: int
    per_peer: int

    @classmethod
    def of(cls, settings: Settings) -> PeerLimits:
        """The limits of these settings."""
        return cls(
            settings.pdu_max_bytes,
            settings.pdu_deadline_seconds,
            settings.associations_max,
            settings.associations_per_peer,
        )


class PeerConnection:
    """A peer's connection, read under the limits. Every wait ends in a `ConnectionEnded` at the latest."""

    def __init__(self, sock: socket.socket, address: str, limits: PeerLimits) -> None:
        self.address = address
        self.certificate: str | None = None
        """SHA-256 of the certificate that the peer showed over TLS."""
        self.named = False
        """The peer has named itself as a known sender, and keeps its slot."""
        self.stopping = False
        self.evicted = False
        self._between = False
        self._socket = sock
        self._limits = limits
        self._deadline = 0.0
        self._quick_ack = hasattr(socket, "TCP_QUICKACK")

    @property
    def socket(self) -> socket.socket:
        """The socket itself, for whoever reads it under limits of their own."""
        return self._socket

    def secure(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake, whole within the PDU deadline."""
        self._socket.settimeout(self._limits.pdu_seconds)
        try:
            secured = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket = secured
            secured.do_handshake()
            shown = secured.getpeercert(binary_form=True)
        except OSError as fault:
            raise ConnectionEnded(_why_no_tls(fault)) from None
        self.certificate = hashlib.sha256(shown).hexdigest() if shown else None
        self._socket.settimeout(TICK_SECONDS)

    def next_pdu(self, *, between: bool = False) -> tuple[int, int]:
        """Type and length of the next PDU (PS3.8 §9.3.1); its body is to be read whole by a deadline from now on.

        `between` messages, the receiver may stop without losing anything.
        """
        self._rearm()
        self._between = between
        if self.stopping and between:
            raise ConnectionEnded(EndReason.STOPPING)
        header = bytearray(_HEADER.size)
        # A peer that has not named itself must have its first PDU whole by the deadline, from the first moment on.
        self._deadline = time.monotonic() + (IDLE_SECONDS if self.named else self._limits.pdu_seconds)
        got = self._read_some(memoryview(header), EndReason.IDLE)
        self._between = False
        if self.named:
            self._deadline = time.monotonic() + self._limits.pdu_seconds
        self.read_into(memoryview(header)[got:])
        kind, length = _HEADER.unpack(header)
        if not self.named and kind not in _PDU_TYPES:
            raise ConnectionEnded(EndReason.UNEXPECTED_TLS if kind == _TLS_HANDSHAKE else EndReason.NOT_DICOM)
        if length > (self._limits.pdu_bytes if self.named else min(self._limits.pdu_bytes, FIRST_PDU_MAX_BYTES)):
            raise ConnectionEnded(EndReason.PDU_TOO_LONG)
        return kind, length

    def read(self, size: int) -> bytearray:
        """The next `size` bytes."""
        body = bytearray(size)
        self.read_into(memoryview(body))
        return body

    def read_into(self, view: memoryview) -> None:
        """Fill `view`."""
        while view:
            view = view[self._read_some(view, EndReason.PDU_DEADLINE) :]

    def send(self, data: bytes) -> None:
        """Send an answer; a peer that takes none is gone."""
        try:
            self._socket.sendall(data)
        except OSError:
            raise ConnectionEnded(self._why_closed()) from None

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

    def stop(self) -> None:
        """End the connection, from another thread, as soon as it is between messages."""
        self.stopping = True
        if self._between:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def evict(self) -> None:
        """End the connection from another thread."""
        self.evicted = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read_some(self, view: memoryview, too_late: EndReason) -> int:
        while True:
            got = None
            try:
                got = self._socket.recv_into(view)
            except TimeoutError:
                pass
            except OSError:
                raise ConnectionEnded(self._why_closed()) from None
            if got == 0:
                raise ConnectionEnded(self._why_closed())
            if time.monotonic() > self._deadline:
                raise ConnectionEnded(too_late)
            if got:
                return got

    def _why_closed(self) -> EndReason:
        if self.stopping and self._between:
            return EndReason.STOPPING
        return EndReason.EVICTED if self.evicted else EndReason.PEER_CLOSED

    def _rearm(self) -> None:
        # Not sticky: without it, a sender with Nagle's algorithm waits 40 ms for our delayed acknowledgement.
        if self._quick_ack:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


_OF_OPENSSL = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": EndReason.CERTIFICATE_MISSING,
    "UNSUPPORTED_PROTOCOL": EndReason.TLS_VERSION,
    "VERSION_TOO_LOW": EndReason.TLS_VERSION,
    "NO_SHARED_CIPHER": EndReason.TLS_VERSION,
    "NO_PROTOCOLS_AVAILABLE": EndReason.TLS_VERSION,
    "WRONG_VERSION_NUMBER": EndReason.MISSING_TLS,
    "UNKNOWN_PROTOCOL": EndReason.MISSING_TLS,
    "HTTP_REQUEST": EndReason.MISSING_TLS,
    "PACKET_LENGTH_TOO_LONG": EndReason.MISSING_TLS,
    "RECORD_LAYER_FAILURE": EndReason.MISSING_TLS,
}


def _why_no_tls(fault: OSError) -> EndReason:
    """What OpenSSL's reason means to people."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return EndReason.CERTIFICATE_EXPIRED if fault.verify_code == _EXPIRED else EndReason.CERTIFICATE_UNTRUSTED
    if not isinstance(fault, ssl.SSLError):
        return EndReason.TLS
    reason = fault.reason or ""
    # The peer's own alerts: it looked at our certificate and did not like it.
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return EndReason.OUR_CERTIFICATE
    return _OF_OPENSSL.get(reason, EndReason.TLS)
