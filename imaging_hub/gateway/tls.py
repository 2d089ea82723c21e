"""DICOM over TLS (PS3.15 §B.12, BCP 195): TLS 1.2 at least, and senders' certificates if authorities are set."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from imaging_hub.errors import SettingsError
from imaging_hub.settings import Settings


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Create the TLS context of the server; None without TLS. Raises `SettingsError` for unusable files."""
    if settings.dicom_tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Forward secrecy and authenticated encryption only, as BCP 195 (RFC 9325 §4.2) recommends.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    try:
        context.load_cert_chain(settings.dicom_tls_certificate, settings.dicom_tls_key)
        if settings.dicom_tls_client_ca is not None:
            context.load_verify_locations(settings.dicom_tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as fault:
        raise SettingsError(
            "the TLS certificate, its key or the client authorities cannot be loaded",
            code="tls-files",
            hint="check dicom_tls_certificate, dicom_tls_key and dicom_tls_client_ca: PEM, readable, matching",
        ) from fault
    return context


def certificate_fingerprint(certificate: Path) -> str:
    """Return the SHA-256, in hexadecimal, of the first certificate in a PEM file. Raises `SettingsError`."""
    try:
        pem = certificate.read_text("ascii")
        start = pem.index("-----BEGIN CERTIFICATE-----")
        end = pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[start:end])).hexdigest()
    except (OSError, ValueError):
        raise SettingsError("there is no PEM certificate in this file", code="certificate") from None
