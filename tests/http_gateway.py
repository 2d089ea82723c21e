"""The gateway with its HTTP side, served on a port, and requests of STOW-RS made by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
from dataset_bytes import EXPLICIT
from free_ports import free_ports
from raw_scu import CALLING, Instance, let_in, receiving
from running_hub import until_answered

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10
from imaging_hub.gateway import senders
from imaging_hub.gateway.app import create_app
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.http.serving import serve
from imaging_hub.settings import Settings

BOUNDARY = "a-boundary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
PATIENCE_SECONDS = 30.0


@dataclass
class HttpGateway:
    """A gateway that listens, and the token of its one sender."""

    server: StorageServer
    url: str
    token: str

    def post(
        self, body: bytes | Iterable[bytes], *, study: str = "", kind: str = RELATED, **headers: str
    ) -> httpx.Response:
        """POST to the store resource, as the sender unless the headers say otherwise."""
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, **headers}
        return httpx.post(f"{self.url}/dicom-web/studies{study}", content=body, headers=given, timeout=60)


@contextmanager
def listening(settings: Settings, database: Database, **overrides: object) -> Iterator[HttpGateway]:
    """A gateway on free ports of loopback that knows one sender."""
    let_in(database)
    settings = settings.model_copy(update=overrides)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        sender = senders.find_by_title(connection, CALLING)
        token = senders.issue_token(connection, sender, datetime.now(UTC) + timedelta(days=1))
    (port,) = free_ports(1)
    stop = threading.Event()
    with receiving(settings, database) as server:
        app = create_app(settings, database, server)
        thread = threading.Thread(target=serve, args=(app, "127.0.0.1", port, stop))
        thread.start()
        try:
            url = f"http://127.0.0.1:{port}"
            until_answered(f"{url}/healthz")
            yield HttpGateway(server, url, token)
        finally:
            stop.set()
            thread.join()


def a_file(instance: Instance, syntax: str = EXPLICIT) -> bytes:
    """The instance as a DICOM file of some other program: with a preamble and titles of its own."""
    meta = part10.file_meta(instance.sop_class_uid, instance.sop_instance_uid, syntax)
    return b"\x7fELF".ljust(128, b"\1") + meta[128:] + instance.dataset


def multipart(*files: bytes, kind: str = "application/dicom") -> bytes:
    """Files as the parts of one message."""
    parts = [f"--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
