"""A sender of our own that can also send what no proper sender would, and a receiver to send to."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dataset_bytes import EXPLICIT, element
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.intake import retention
from imaging_hub.settings import Settings

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
CALLING, CALLED = "HOSPITAL", "IMAGINGHUB"
FINESS = "750000001"


@dataclass(frozen=True)
class Instance:
    """An instance as it is sent: the command's UIDs, and the encoded dataset."""

    sop_instance_uid: str
    dataset: bytes
    sop_class_uid: str = CT


def an_instance(
    number: int = 1,
    *,
    study: int = 1,
    patient: str = "IPP1",
    note: str = "",
    pixels: int = 512,
    uid: str | None = None,
    also: Sequence[tuple[int, str, str]] = (),
) -> Instance:
    """A small CT instance in explicit VR little endian; other `note`, other content; `also` are further elements."""
    uid = uid or f"1.2.826.0.1.{study}.{number}"
    fields = [
        (0x00080016, "UI", CT),
        (0x00080018, "UI", uid),
        (0x00080060, "CS", "CT"),
        (0x00100010, "PN", "DUPONT^JEANNE"),
        (0x00100020, "LO", patient),
        (0x0020000D, "UI", f"1.2.826.0.2.{study}"),
        (0x0020000E, "UI", f"1.2.826.0.3.{study}"),
        (0x00204000, "LT", note),
        *also,
    ]
    encoded = b"".join(element(tag, vr, _padded(vr, value)) for tag, vr, value in sorted(fields))
    return Instance(uid, encoded + element(0x7FE00010, "OW", bytes(pixels)))


def _padded(vr: str, value: str) -> bytes:
    return value.encode() + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)


class Refused(Exception):
    """The peer rejected the association: (result, source, reason)."""


class Closed(Exception):
    """The peer closed or aborted."""


class RawScu:
    """One association, at the level of PDUs."""

    def __init__(
        self,
        port: int,
        *,
        calling: str = CALLING,
        called: str = CALLED,
        contexts: Sequence[tuple[str, Sequence[str]]] = ((CT, (EXPLICIT,)), (VERIFICATION, (EXPLICIT,))),
        source: str = "127.0.0.1",
        context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._message = 0
        self.results: dict[int, int] = {}
        self.socket.sendall(associate_rq(calling, called, contexts))
        kind, body = self.pdu()
        if kind == 3:
            raise Refused(tuple(body[1:4]))
        if kind != 2:
            raise Closed
        self.results = _results(body)
        self._contexts = {abstract: 2 * place + 1 for place, (abstract, _) in enumerate(contexts)}

    def __del__(self) -> None:
        """A test that has done with it need not say so; one that failed to connect has none."""
        if hasattr(self, "socket"):
            self.socket.close()

    def echo(self) -> int:
        """C-ECHO; its status."""
        self.send_command(0x30, VERIFICATION, "", dataset=False)
        return self.status()

    def store(self, instance: Instance) -> int:
        """C-STORE; its status. Raises `Closed` when there is no answer."""
        self.send_command(0x01, instance.sop_class_uid, instance.sop_instance_uid, dataset=True)
        self.send_dataset(instance.dataset)
        return self.status()

    def send_command(self, command: int, sop_class: str, sop_instance: str, *, dataset: bool) -> None:
        """A command set in one PDU."""
        self._message = self._message % 60000 + 1
        elements = [
            (0x0002, _padded("UI", sop_class)),
            (0x0100, struct.pack("<H", command)),
            (0x0110, struct.pack("<H", self._message)),
            (0x0800, struct.pack("<H", 0 if dataset else 0x0101)),
        ]
        if sop_instance:
            elements.append((0x1000, sop_instance.encode("latin-1") + b"\0" * (len(sop_instance) % 2)))
        body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements)
        message = struct.pack("<HHLL", 0, 0, 4, len(body)) + body
        self._context = self._contexts.get(sop_class, 1)
        self.socket.sendall(_p_data(self._context, 3, message))

    def send_dataset(self, dataset: bytes, *, last: bool = True, fragment: int = 65000) -> None:
        """A dataset, or a part of it, in P-DATA-TF PDUs."""
        for start in range(0, max(len(dataset), 1), fragment):
            end = start + fragment >= len(dataset)
            self.socket.sendall(_p_data(self._context, 2 if last and end else 0, dataset[start : start + fragment]))

    def status(self) -> int:
        """Status of the next response."""
        kind, body = self.pdu()
        if kind != 4:
            raise Closed
        position, message = 0, body[6:]
        while position < len(message):
            _, number, length = struct.unpack_from("<HHL", message, position)
            if number == 0x0900:
                return int(struct.unpack_from("<H", message, position + 8)[0])
            position += 8 + length
        raise Closed

    def release(self) -> None:
        """A-RELEASE, and close."""
        self.socket.sendall(bytes.fromhex("05000000000400000000"))
        self.pdu()
        self.socket.close()

    def pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU."""
        header = self._exactly(6)
        return header[0], self._exactly(struct.unpack(">L", header[2:])[0])

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            try:
                more = self.socket.recv(size - len(got))
            except ConnectionError:
                more = b""
            if not more:
                raise Closed
            got += more
        return got


def associate_rq(calling: str, called: str, contexts: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    """An A-ASSOCIATE-RQ PDU (PS3.8 §9.3.2)."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for place, (abstract, syntaxes) in enumerate(contexts):
        proposal = _item(0x30, abstract.encode()) + b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        items += _item(0x20, bytes((2 * place + 1, 0, 0, 0)) + proposal)
    items += _item(0x50, _item(0x51, struct.pack(">L", 131072)) + _item(0x52, b"1.2.3.4"))
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode()) + items
    return struct.pack(">BxL", 1, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _p_data(context: int, control: int, data: bytes) -> bytes:
    return struct.pack(">BxLLBB", 4, len(data) + 6, len(data) + 2, context, control) + data


def _results(body: bytes) -> dict[int, int]:
    """Result of each presentation context of an A-ASSOCIATE-AC."""
    results, position = {}, 68
    while position < len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        if kind == 0x21:
            results[body[position + 4]] = body[position + 6]
        position += 4 + length
    return results


def let_in(
    database: Database,
    calling: str = CALLING,
    address: str = "127.0.0.0/8",
    hospital: str = "chu-test",
    keep_originals: str | None = None,
) -> None:
    """Make a sender known."""
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title=calling,
                address=address,
                hospital=hospital,
                finess=FINESS,
                profile="research-longitudinal",
                keep_originals=None if keep_originals is None else retention.parse_policy(keep_originals),
            ),
        )


@contextmanager
def receiving(settings: Settings, database: Database, **overrides: object) -> Iterator[StorageServer]:
    """A receiver on a free port of loopback."""
    server = StorageServer(
        settings.model_copy(update={"dicom_port": 0, "spool_reserve_bytes": 0, **overrides}), database
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Row:
    """What a test looks at in the journal."""

    id: int
    hospital: str
    sop_instance_uid: str
    state: str
    reason: str | None
    digest: str
    study: int | None
    kept: bool


def rows(database: Database) -> list[Row]:
    """The whole journal, in order of arrival."""
    with database.begin(DatabaseRole.OWNER) as connection:
        found = connection.execute(
            text(
                "SELECT id, hospital, sop_instance_uid, state, reason, digest, study, purged_at IS NULL AS kept"
                " FROM identifying.instance ORDER BY id"
            )
        ).all()
    return [Row(*row) for row in found]


def rejections(database: Database) -> list[tuple[str, str, str]]:
    """Reasons, calling AE titles and syntaxes of what was refused."""
    with database.begin(DatabaseRole.OWNER) as connection:
        found = connection.execute(
            text("SELECT reason, calling_ae_title, syntax FROM identifying.rejection ORDER BY id")
        ).all()
    return [tuple(row) for row in found]
