"""The query port under the guard: nobody who is silent, slow or long-winded keeps others from asking."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from free_ports import free_ports
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as FIND
from raw_scu import RawScu, an_instance, let_in, receiving, rejections

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.gateway.query_retrieve_scp import QueryRetrieveScp
from imaging_hub.gateway.senders import QueryRetrieveAddress
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings

DEADLINE = 1.0


@pytest.fixture
def port(settings: Settings, database: Database) -> Iterator[int]:
    """A query port; of the two hospitals behind it, each has sent the same UIDs."""
    let_in(database, "OTHER", hospital="chu-other")
    may_ask(database, "HOSPITAL", "chu-test")
    with receiving(settings, database) as receiver:
        assert RawScu(receiver.port).store(an_instance(1, patient="OURS")) == 0
        assert RawScu(receiver.port, calling="OTHER").store(an_instance(1, patient="THEIRS")) == 0
    (port,) = free_ports(1)
    server = QueryRetrieveScp(
        settings.model_copy(update={"query_port": port, "associations_per_peer": 4, "pdu_deadline_seconds": DEADLINE}),
        database,
        GatewayMetrics(),
    )
    server.start()
    yield port
    server.stop()


def may_ask(database: Database, title: str, hospital: str) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title=title,
                address="127.0.0.0/8",
                hospital=hospital,
                finess="750000001",
                profile="basic",
                query=QueryRetrieveAddress("127.0.0.1", 104),
                retrieves=True,
            ),
        )


def ask(port: int, title: str = "HOSPITAL", **keys: str) -> list[tuple[int, str]]:
    """Statuses and Patient IDs that a C-FIND brings; empty where the association is refused."""
    entity = AE(title)
    entity.add_requested_context(FIND)
    association = entity.associate("127.0.0.1", port, ae_title="IMAGINGHUB")
    if not association.is_established:
        return []
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID, query.StudyInstanceUID = "STUDY", "", ""
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    found = [
        (status.Status, str(match.PatientID) if match else "") for status, match in association.send_c_find(query, FIND)
    ]
    association.release()
    return found


def test_a_hospital_sees_its_own_and_nothing_else(port: int, database: Database) -> None:
    assert ask(port) == [(0xFF00, "OURS"), (0, "")]
    assert ask(port, "OTHER") == [], "no right to ask"
    assert ("may-not-retrieve", "OTHER", "") in rejections(database)
    may_ask(database, "OTHER", "chu-other")
    assert ask(port, "OTHER") == [(0xFF00, "THEIRS"), (0, "")]


@pytest.mark.parametrize(
    ("keys", "matches"),
    [
        ({"PatientID": "OURS"}, 1),
        ({"PatientID": "OU*"}, 1),
        ({"PatientID": "THEIRS"}, 0),
        ({"PatientName": "dupont^*"}, 1),
        ({"PatientName": "DUPOND*"}, 0),
        ({"StudyInstanceUID": "1.2.826.0.2.1"}, 1),
        ({"StudyInstanceUID": "1.2.826.0.2.2"}, 0),
        ({"StudyDate": "20200101-20201231"}, 0),
    ],
)
def test_keys_match_as_the_standard_has_it(port: int, keys: dict[str, str], matches: int) -> None:
    assert len(ask(port, **keys)) == matches + 1


def test_a_query_of_no_level_is_refused(port: int) -> None:
    assert ask(port, QueryRetrieveLevel="PATIENT") == [(0xA900, "")]


def test_a_pdu_that_announces_too_much_is_not_taken_in(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(struct.pack(">BxL", 1, 0xFFFFFFFF))
        sent = 0
        with suppress(OSError):
            for _ in range(64):
                peer.sendall(bytes(1 << 20))
                sent += 1
    assert sent < 32, "so many MiB were taken"


def ends(peer: socket.socket) -> bool:
    """Whether the connection is closed, after an A-ABORT or without."""
    try:
        while peer.recv(100):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_silent_slow_and_long_winded_peers_keep_nobody_from_asking(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    half = socket.create_connection(("127.0.0.1", port))
    half.sendall(b"\x01\x00\x00")
    endless = socket.create_connection(("127.0.0.1", port))
    endless.sendall(struct.pack(">BxL", 1, 0xFFFFFFFF))
    assert ask(port) == [(0xFF00, "OURS"), (0, "")]
    for over in (half, endless):
        over.settimeout(20 * DEADLINE)
        assert ends(over), "its connection is ended"
    for one in (*silent, half, endless):
        one.close()
