"""TCP or TLS connection of a peer, read under limits of time and size."""

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

POLL_SECONDS = 1.0
"""How often a waiting thread checks its deadline and whether the server is stopping."""
IDLE_SECONDS = 120.0
"""An association on which the peer sends nothing for so long is ended."""
LINGER_SECONDS = 1.0
FIRST_PDU_MAX_BYTES = 1 << 18
"""An A-ASSOCIATE-RQ with all 128 contexts and every transfer syntax stays below this."""
_BACKLOG = 128
_HEADER = struct.Struct(">BxL")
_PDU_TYPES = range(1, 8)
_TLS_HANDSHAKE = 0x16
"""First byte of a TLS record that begins a handshake (RFC 8446 §5.1)."""
_CERTIFICATE_HAS_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


class ConnectionEnded(Exception):
    """The connection has ended, for `reason`."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class EndReason(StrEnum):
    """Why a connection ended otherwise than by a release."""

    PEER_CLOSED = "peer-closed"
    PEER_ABORTED = "peer-aborted"
    PDU_DEADLINE = "pdu-deadline"  # a PDU was not complete in time
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
    TLS = "tls-handshake"  # the handshake failed for another reason
    STORAGE = "storage-failing"  # too many instances in a row could not be stored
    STOPPING = "stopping"
    EVICTED = "evicted"  # gave its slot to another peer before it was identified


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Limits of the connections of all peers, and of one."""

    pdu_bytes: int
    pdu_seconds: float
    total: int
    per_peer: int

    @classmethod
    def from_settings(cls, settings: Settings) -> PeerLimits:
        """Return the limits of these settings."""
        return cls(
            settings.pdu_max_bytes,
            settings.pdu_deadline_seconds,
            settings.associations_max,
            settings.associations_per_peer,
        )


class PeerConnection:
    """A peer's connection. Every method that reads or sends raises `ConnectionEnded` when a limit is exceeded."""

    def __init__(self, sock: socket.socket, address: str, limits: PeerLimits) -> None:
        self.address = address
        self.certificate: str | None = None
        """SHA-256 of the certificate that the peer showed over TLS."""
        self.identified = False
        """Whether the peer was accepted as a known sender; then it is not evicted."""
        self.stopping = False
        self.evicted = False
        self._at_message_boundary = False
        self._socket = sock
        self._limits = limits
        self._deadline = 0.0
        self._quick_ack = hasattr(socket, "TCP_QUICKACK")

    @property
    def socket(self) -> socket.socket:
        """The socket, for pynetdicom, which reads it under limits of its own."""
        return self._socket

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the TLS handshake within the PDU deadline. Raises `ConnectionEnded`."""
        self._socket.settimeout(self._limits.pdu_seconds)
        try:
            tls_socket = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
            self._socket = tls_socket
            tls_socket.do_handshake()
            certificate = tls_socket.getpeercert(binary_form=True)
        except OSError as fault:
            raise ConnectionEnded(_tls_end_reason(fault)) from None
        self.certificate = hashlib.sha256(certificate).hexdigest() if certificate else None
        self._socket.settimeout(POLL_SECONDS)

    def next_pdu(self, *, at_message_boundary: bool = False) -> tuple[int, int]:
        """Return type and length of the next PDU (PS3.8 §9.3.1), and start the deadline for its body.

        At a message boundary, `stop` ends the connection at once. Raises `ConnectionEnded`.
        """
        self._enable_quick_ack()
        self._at_message_boundary = at_message_boundary
        if self.stopping and at_message_boundary:
            raise ConnectionEnded(EndReason.STOPPING)
        header = bytearray(_HEADER.size)
        # The first PDU of an unidentified peer has to be complete by the deadline, counted from the connection on.
        self._deadline = time.monotonic() + (IDLE_SECONDS if self.identified else self._limits.pdu_seconds)
        count = self._read_some(memoryview(header), EndReason.IDLE)
        self._at_message_boundary = False
        if self.identified:
            self._deadline = time.monotonic() + self._limits.pdu_seconds
        self.read_into(memoryview(header)[count:])
        kind, length = _HEADER.unpack(header)
        if not self.identified and kind not in _PDU_TYPES:
            raise ConnectionEnded(EndReason.UNEXPECTED_TLS if kind == _TLS_HANDSHAKE else EndReason.NOT_DICOM)
        if length > (self._limits.pdu_bytes if self.identified else min(self._limits.pdu_bytes, FIRST_PDU_MAX_BYTES)):
            raise ConnectionEnded(EndReason.PDU_TOO_LONG)
        return kind, length

    def read(self, size: int) -> bytearray:
        """Return the next `size` bytes. Raises `ConnectionEnded`."""
        body = bytearray(size)
        self.read_into(memoryview(body))
        return body

    def read_into(self, view: memoryview) -> None:
        """Fill `view`. Raises `ConnectionEnded`."""
        while view:
            view = view[self._read_some(view, EndReason.PDU_DEADLINE) :]

    def send(self, data: bytes) -> None:
        """Send `data`. Raises `ConnectionEnded`."""
        try:
            self._socket.sendall(data)
        except OSError:
            raise ConnectionEnded(self._closing_reason()) from None

    def close(self) -> None:
        """Shut down sending, wait up to `LINGER_SECONDS` for the peer to read, and close."""
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
        """End the connection at the next message boundary; called from another thread."""
        self.stopping = True
        if self._at_message_boundary:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def evict(self) -> None:
        """End the connection at once; called from another thread."""
        self.evicted = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read_some(self, view: memoryview, too_late: EndReason) -> int:
        while True:
            count = None
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                pass
            except OSError:
                raise ConnectionEnded(self._closing_reason()) from None
            if count == 0:
                raise ConnectionEnded(self._closing_reason())
            if time.monotonic() > self._deadline:
                raise ConnectionEnded(too_late)
            if count:
                return count

    def _closing_reason(self) -> EndReason:
        if self.stopping and self._at_message_boundary:
            return EndReason.STOPPING
        return EndReason.EVICTED if self.evicted else EndReason.PEER_CLOSED

    def _enable_quick_ack(self) -> None:
        # Not sticky: without it, a sender with Nagle's algorithm waits 40 ms for our delayed acknowledgement.
        if self._quick_ack:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


_OPENSSL_REASONS = {
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


def _tls_end_reason(fault: OSError) -> EndReason:
    """Map OpenSSL's reason for a failed handshake."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return (
            EndReason.CERTIFICATE_EXPIRED
            if fault.verify_code == _CERTIFICATE_HAS_EXPIRED
            else EndReason.CERTIFICATE_UNTRUSTED
        )
    if not isinstance(fault, ssl.SSLError):
        return EndReason.TLS
    reason = fault.reason or ""
    # An alert of the peer: it rejects our certificate.
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return EndReason.OUR_CERTIFICATE
    return _OPENSSL_REASONS.get(reason, EndReason.TLS)
