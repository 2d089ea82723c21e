"""DICOM over TLS: silence in the handshake harms nobody; the stock server tells whether the guard is still needed."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import a_certificate, named
from pynetdicom import AE
from raw_scu import VERIFICATION, RawScu, an_instance, let_in, receiving

from imaging_hub.database import Database
from imaging_hub.errors import SettingsError
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.settings import Settings


@dataclass(frozen=True)
class Certificates:
    """An authority, and certificates of our server and of a hospital signed by it."""

    authority: Path
    server: Path
    hospital: Path
    stranger: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    authority, key = a_certificate(folder, "authority")
    issuer = (named("authority"), key)
    return Certificates(
        authority,
        a_certificate(folder, "server", issuer)[0],
        a_certificate(folder, "hospital", issuer)[0],
        a_certificate(folder, "stranger")[0],
    )


def _client(certificates: Certificates, own: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if own is not None:
        context.load_cert_chain(own)
    return context


def _tls(certificates: Certificates) -> dict[str, object]:
    return {
        "dicom_tls_certificate": certificates.server,
        "dicom_tls_key": certificates.server,
        "dicom_tls_client_ca": certificates.authority,
        "pdu_deadline_seconds": 2.0,
    }


def test_silent_tls_clients_do_not_keep_a_hospital_out(
    settings: Settings, database: Database, certificates: Certificates
) -> None:
    let_in(database)
    with receiving(settings, database, **_tls(certificates)) as server, ExitStack() as opened:
        silent = [opened.enter_context(socket.create_connection(("127.0.0.1", server.port), 10)) for _ in range(12)]
        association = RawScu(server.port, context=_client(certificates, certificates.hospital))
        assert association.store(an_instance(pixels=3 << 20)) == 0
        association.release()
        for sock in silent:
            sock.settimeout(10)
            assert sock.recv(1) == b"", "it is let go at the deadline"


@pytest.mark.parametrize("who", ["stranger", None])
def test_a_sender_without_a_certificate_of_the_authority_is_not_heard(
    settings: Settings, database: Database, certificates: Certificates, who: str | None
) -> None:
    let_in(database)
    own = certificates.stranger if who else None
    with receiving(settings, database, **_tls(certificates)) as server, pytest.raises(OSError):
        RawScu(server.port, context=_client(certificates, own))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_not_spoken(settings: Settings, database: Database, certificates: Certificates) -> None:
    with receiving(settings, database, **_tls(certificates)) as server:
        context = _client(certificates, certificates.hospital)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(OSError):
            RawScu(server.port, context=context)


def test_a_certificate_that_cannot_be_loaded_stops_the_start_with_its_remedy(
    settings: Settings, database: Database, certificates: Certificates
) -> None:
    wrong = settings.model_copy(
        update={"dicom_tls_certificate": certificates.server, "dicom_tls_key": certificates.hospital}
    )
    with pytest.raises(SettingsError) as refused:
        StorageServer(wrong, database).start()
    assert refused.value.code == "tls-files"
    assert "dicom_tls_key" in refused.value.hint


def test_the_stock_server_still_does_the_handshake_in_its_accept_thread(certificates: Certificates) -> None:
    """When this fails, pynetdicom has cured it, and our reason for a server of our own is one less."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    stock = AE("STOCK")
    stock.add_supported_context(VERIFICATION)
    server = stock.start_server(("127.0.0.1", 0), block=False, ssl_context=context)
    port = server.server_address[1]
    silent = socket.create_connection(("127.0.0.1", port))
    try:
        time.sleep(0.3)
        with pytest.raises(OSError):
            RawScu(port, called="STOCK", context=_client(certificates, None), timeout=1.5)
    finally:
        silent.close()
        server.shutdown()


def test_the_stock_server_still_waits_for_ever_for_half_a_header() -> None:
    """Likewise."""
    stock = AE("STOCK")
    stock.acse_timeout = stock.dimse_timeout = stock.network_timeout = 1
    stock.add_supported_context(VERIFICATION)
    server = stock.start_server(("127.0.0.1", 0), block=False)
    held = socket.create_connection(("127.0.0.1", server.server_address[1]))
    try:
        held.sendall(b"\x01\x00\x00")
        held.settimeout(3)
        with pytest.raises(TimeoutError):
            held.recv(1)
    finally:
        held.close()
        server.shutdown()
