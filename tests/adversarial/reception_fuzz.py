"""Damaged instances and damaged PDUs at a gateway of its own process, while a hospital goes on sending.

The short form is a test; `scripts/fuzz_reception` is the long one.
"""

from __future__ import annotations

import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import process_memory
from gateway_process import GatewayProcess
from http_gateway import RELATED, multipart
from raw_scu import CT, VERIFICATION, Closed, Instance, RawScu, an_instance, associate_rq
from sqlalchemy import text
from test_dicom_malformed import mutants

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10
from imaging_hub.dicom.transfer_syntax import NEGOTIATED
from imaging_hub.errors import MalformedDataset

EXPLICIT = "1.2.840.10008.1.2.1"
PER_ASSOCIATION = 50
PER_LOOK = 50
"""Damaged streams between two looks at whether an honest sender is served."""


@dataclass
class Account:
    """What was sent and what came of it."""

    answers: Counter[str] = field(default_factory=Counter)
    honest: int = 0
    """Instances of an honest sender that were acknowledged in between."""
    wrong: list[str] = field(default_factory=list)
    """What must not be; empty when all is well."""
    peak_bytes: int = 0
    """The most memory that the gateway has had."""


def instances(
    gateway: GatewayProcess, database: Database, token: str, originals: Sequence[Path], count: int, seed: int
) -> Account:
    """Send `count` damaged instances, by association and by STOW-RS in turn."""
    account, chance = Account(), random.Random(seed)
    association: RawScu | None = None
    sent = 0
    for number, data in enumerate(_damaged(originals, chance, count)):
        if number % 2:
            account.answers[_stow(gateway, token, data)] += 1
        else:
            if association is None or sent % PER_ASSOCIATION == 0:
                association = RawScu(
                    gateway.settings.dicom_port, contexts=[(CT, (EXPLICIT,)), (VERIFICATION, (EXPLICIT,))]
                )
            sent += 1
            try:
                account.answers[f"C-STORE 0x{association.store(_instance(data)):04X}"] += 1
            except (Closed, OSError):
                account.wrong.append(f"{number}: no answer to a C-STORE")
                association = None
        if number % PER_LOOK == 0:
            _look(gateway, account, number)
    _states(database, account)
    return account


def pdus(gateway: GatewayProcess, count: int, seed: int) -> Account:
    """Send `count` damaged streams of PDUs, each on a connection of its own."""
    account, chance = Account(), random.Random(seed)
    for number in range(count):
        with suppress(OSError), socket.create_connection(("127.0.0.1", gateway.settings.dicom_port), 5) as peer:
            peer.settimeout(0.2)
            peer.sendall(_stream(chance))
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        account.answers["streams"] += 1
        if number % PER_LOOK == 0:
            _look(gateway, account, number)
    return account


def _damaged(originals: Sequence[Path], chance: random.Random, count: int) -> Iterator[bytes]:
    made = 0
    while made < count:
        stream = mutants(chance.choice(originals).read_bytes(), chance)
        for _ in range(min(25, count - made)):
            made += 1
            yield next(stream)


def _instance(data: bytes) -> Instance:
    """The dataset of a damaged file, under the UIDs that its file meta information names."""
    try:
        meta, dataset = part10.split(data)
    except MalformedDataset:
        return Instance("1.2.3", data[:65536])
    return Instance(meta.sop_instance_uid or "1.2.3", bytes(dataset))


def _stow(gateway: GatewayProcess, token: str, data: bytes) -> str:
    url = f"http://127.0.0.1:{gateway.settings.gateway_port}/dicom-web/studies"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": RELATED}
    return f"STOW {httpx.post(url, content=multipart(data), headers=headers, timeout=30).status_code}"


def _look(gateway: GatewayProcess, account: Account, number: int) -> None:
    """An honest sender sends; the gateway's memory is read."""
    try:
        honest = RawScu(gateway.settings.dicom_port, timeout=10)
        account.honest += honest.store(an_instance(number, study=900_000 + number)) == 0
        honest.release()
    except (Closed, OSError):
        account.wrong.append(f"{number}: an honest sender was not served")
    assert gateway.process
    account.peak_bytes = process_memory.peak_bytes(gateway.process.pid)


def _states(database: Database, account: Account) -> None:
    """Every instance that reached the journal is received, or held for a reason."""
    with database.begin(DatabaseRole.OWNER) as connection:
        odd = connection.execute(
            text(
                "SELECT count(*) FROM identifying.instance WHERE NOT (state = 'RECEIVED' AND study IS NOT NULL"
                " OR state = 'QUARANTINED' AND reason <> '')"
            )
        ).scalar_one()
    if odd:
        account.wrong.append(f"{odd} rows in no proper state")


def _stream(chance: random.Random) -> bytes:
    """An association with a store in it, damaged at some places."""
    one = an_instance(chance.randrange(1 << 30), pixels=chance.choice((0, 100, 5000)))
    command = _command(one)
    body = one.dataset
    parts = [
        associate_rq("HOSPITAL", "IMAGINGHUB", [(CT, (EXPLICIT, *chance.sample(NEGOTIATED, 3)))]),
        struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command,
        struct.pack(">BxLLBB", 4, len(body) + 6, len(body) + 2, 1, 2) + body,
        bytes.fromhex("05000000000400000000"),
    ]
    if chance.random() < 0.3:
        chance.shuffle(parts)
    if chance.random() < 0.3:
        parts.insert(chance.randrange(len(parts)), chance.choice(parts))
    stream = bytearray(b"".join(parts))
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        place = chance.randrange(len(stream))
        kind = chance.randrange(4)
        if kind == 0:
            stream[place] = chance.randrange(256)
        elif kind == 1:
            del stream[place : place + chance.randrange(1, 40)]
        elif kind == 2:
            stream[place:place] = chance.randbytes(chance.randrange(1, 40))
        else:
            stream[place : place + 4] = struct.pack(">L", chance.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
        if not stream:
            break
    return bytes(stream)


def _command(one: Instance) -> bytes:
    elements = [
        (0x0002, CT.encode() + b"\0"),
        (0x0100, struct.pack("<H", 1)),
        (0x0110, struct.pack("<H", 1)),
        (0x0800, struct.pack("<H", 0)),
        (0x1000, one.sop_instance_uid.encode() + b"\0" * (len(one.sop_instance_uid) % 2)),
    ]
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body
