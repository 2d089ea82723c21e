"""T7, T8: strangers who hold, trickle, announce too much or never end; a hospital's C-STORE succeeds throughout."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from dataset_bytes import EXPLICIT
from raw_scu import CALLED, CALLING, CT, Closed, RawScu, an_instance, associate_rq, let_in, receiving, rejections, rows

from imaging_hub.database import Database
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.settings import Settings

DEADLINE = 2.0


@pytest.fixture
def gateway(settings: Settings, database: Database) -> Iterator[StorageServer]:
    let_in(database)
    with receiving(
        settings, database, pdu_deadline_seconds=DEADLINE, associations_max=20, associations_per_peer=10
    ) as server:
        yield server


@pytest.fixture
def stranger(gateway: StorageServer) -> Iterator[Callable[..., socket.socket]]:
    """Connects from an address; every connection is closed at the end."""
    with ExitStack() as opened:

        def connect(source: str = "127.0.0.9") -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", gateway.port), 10, source_address=(source, 0))
            return opened.enter_context(connection)

        yield connect


def _is_over(sock: socket.socket, seconds: float) -> bool:
    """Whether the peer ends the connection within this time."""
    sock.settimeout(seconds)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_half_open_and_trickling_strangers_do_not_keep_a_hospital_out(
    gateway: StorageServer, database: Database, stranger: Callable[..., socket.socket]
) -> None:
    stop = threading.Event()

    def trickle(sock: socket.socket) -> None:
        request = associate_rq(CALLING, CALLED, ((CT, (EXPLICIT,)),))
        for place in range(len(request)):
            if stop.wait(0.2):
                return
            try:
                sock.sendall(request[place : place + 1])
            except OSError:
                return

    # From another address, from the hospital's own, and from many.
    strangers = [stranger(source) for source in ["127.0.0.9"] * 250 + ["127.0.0.1"] * 150 + ["127.0.0.7"] * 100]
    for sock in strangers:
        with suppress(OSError):  # it has made way already
            sock.sendall(b"\x01\x00\x00")
    tricklers = [stranger(f"127.0.1.{1 + number}") for number in range(200)]
    threads = [threading.Thread(target=trickle, args=(sock,), daemon=True) for sock in tricklers]
    for thread in threads:
        thread.start()
    answers = []
    for number in range(1, 11):
        association = RawScu(gateway.port)
        answers.append(association.store(an_instance(number)))
        association.release()
        time.sleep(0.1)
    assert answers == [0] * 10
    assert all(_is_over(sock, DEADLINE * 3) for sock in strangers + tricklers)
    stop.set()
    assert len(rows(database)) == 10


def test_an_association_at_work_does_not_make_way_for_strangers(
    gateway: StorageServer, stranger: Callable[..., socket.socket]
) -> None:
    association = RawScu(gateway.port, source="127.0.0.9")
    strangers = [stranger() for _ in range(40)]
    assert association.store(an_instance()) == 0
    assert any(_is_over(sock, 5) for sock in strangers)
    assert association.store(an_instance(2)) == 0


def test_senders_at_work_keep_their_slots_and_the_next_is_turned_away(gateway: StorageServer) -> None:
    working = [RawScu(gateway.port, source="127.0.0.9") for _ in range(10)]
    with pytest.raises((Closed, ConnectionError)):
        RawScu(gateway.port, source="127.0.0.9")
    working.pop().release()
    time.sleep(0.5)
    assert RawScu(gateway.port, source="127.0.0.9").echo() == 0


@pytest.mark.parametrize(
    "announcement",
    [
        b"\x01\x00\xff\xff\xff\xff",
        b"\x04\x00\xff\xff\xff\xff",
        b"\x01\x00\x00\x10\x00\x00",
        b"\x09\x00\x00\x00\x00\x04",
    ],
    ids=["4-GiB-request", "4-GiB-data", "1-MiB-request", "unknown-type"],
)
def test_a_pdu_that_announces_too_much_ends_the_connection_at_once(
    stranger: Callable[..., socket.socket], announcement: bytes
) -> None:
    sock = stranger()
    sock.sendall(announcement)
    assert _is_over(sock, DEADLINE - 0.5), "before any of it is read"


def test_a_dataset_without_end_is_cut_off_and_leaves_nothing(settings: Settings, database: Database) -> None:
    let_in(database)
    with receiving(settings, database, dataset_max_bytes=16 << 20) as server:
        association = RawScu(server.port)
        assert association.store(an_instance(1, pixels=12 << 20)) == 0
        assert association.store(an_instance(2, pixels=12 << 20)) == 0, "the count begins anew with each C-STORE"
        association.send_command(0x01, CT, "1.2.3", dataset=True)
        with pytest.raises((Closed, OSError)):
            for _ in range(64):
                association.send_dataset(bytes(1 << 20), last=False)
            association.status()
    assert [row.sop_instance_uid for row in rows(database)] == ["1.2.826.0.1.1.1", "1.2.826.0.1.1.2"]
    assert list((settings.spool / ".parts").iterdir()) == []


def test_a_dataset_that_stops_in_mid_pdu_holds_its_slot_only_until_the_deadline(gateway: StorageServer) -> None:
    association = RawScu(gateway.port)
    association.send_command(0x01, CT, "1.2.3", dataset=True)
    association.socket.sendall(struct.pack(">BxLLBB", 4, 50_006, 50_002, 1, 0) + bytes(100))
    assert _is_over(association.socket, DEADLINE * 3)


def test_bytes_that_are_no_protocol_end_the_connection_and_nothing_else(
    gateway: StorageServer, stranger: Callable[..., socket.socket]
) -> None:
    chance = random.Random(20261123)
    request = associate_rq(CALLING, CALLED, ((CT, (EXPLICIT,)),))
    for _ in range(60):
        mutant = bytearray(request)
        for _ in range(chance.randint(1, 12)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        sock = stranger("127.0.0.66")
        sock.sendall(bytes(mutant[: chance.randint(1, len(mutant))]))
        sock.shutdown(socket.SHUT_WR)
        assert _is_over(sock, DEADLINE * 3)
    for _ in range(60):
        association = RawScu(gateway.port, source="127.0.0.67")
        association.socket.sendall(struct.pack(">BxL", chance.choice((1, 2, 3, 4, 5, 6, 7)), 24) + chance.randbytes(24))
        association.socket.shutdown(socket.SHUT_WR)
        assert _is_over(association.socket, DEADLINE * 3)
    assert RawScu(gateway.port).store(an_instance()) == 0


@pytest.mark.parametrize("command", [0x0020, 0x0021, 0x0FFF, 0x8001])
def test_services_that_are_not_provided_do_not_harm(gateway: StorageServer, command: int) -> None:
    association = RawScu(gateway.port)
    association.send_command(command, CT, "1.2.3", dataset=False)
    if command != 0x0FFF:
        assert _is_over(association.socket, DEADLINE * 3)
    assert RawScu(gateway.port).echo() == 0


def test_the_same_refusal_a_hundred_times_is_recorded_once(gateway: StorageServer, database: Database) -> None:
    for _ in range(100):
        with pytest.raises(Exception, match=r"\(1, 1, 3\)"):
            RawScu(gateway.port, calling="STRANGER")
    assert rejections(database) == [("unknown-sender", "STRANGER", "")]
