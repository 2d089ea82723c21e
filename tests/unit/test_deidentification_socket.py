"""A gateway does not wait for inline de-identification: whatever goes wrong, the instance is spooled."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from imaging_hub.intake import deidentification_socket
from imaging_hub.intake.deidentification_socket import HandoverClient, HandoverRequest

REQUEST = HandoverRequest("chu-test", "basic", "1.2.3", "IPP1", "1.2.840.10008.1.2.1")


@contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody at the socket, who attends to each connection in turn."""
    at = deidentification_socket.listen(path)

    def run() -> None:
        while True:
            try:
                connection, _ = at.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                serve(connection)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        at.shutdown(socket.SHUT_RDWR)
        thread.join()
        at.close()


def _echo(connection: socket.socket) -> None:
    """One answer: what was handed over, told back."""
    request, dataset = deidentification_socket.receive_request(connection)
    deidentification_socket.send_outcome(connection, f"{request.patient_id} {bytes(dataset).hex()}".encode())


def test_what_is_handed_over_arrives_and_the_answer_comes_back(tmp_path: Path) -> None:
    with listening(tmp_path / "handover.sock", _echo), closing(HandoverClient(tmp_path / "handover.sock")) as client:
        assert client.deidentify(REQUEST, b"\x01\x02") == b"IPP1 0102"


def test_a_process_that_was_restarted_is_used_at_once(tmp_path: Path) -> None:
    with closing(HandoverClient(tmp_path / "handover.sock")) as client:
        for _ in range(2):
            with listening(tmp_path / "handover.sock", _echo):  # which ends the connection after its answer
                assert client.deidentify(REQUEST, b"\x01") == b"IPP1 01"


def test_an_instance_is_spooled_when_the_answer_is_empty(tmp_path: Path) -> None:
    def decline(connection: socket.socket) -> None:
        deidentification_socket.receive_request(connection)
        deidentification_socket.send_outcome(connection, None)

    with listening(tmp_path / "handover.sock", decline), closing(HandoverClient(tmp_path / "handover.sock")) as client:
        assert client.deidentify(REQUEST, b"") is None


def test_an_instance_is_spooled_when_the_process_ends_in_the_middle(tmp_path: Path) -> None:
    with listening(tmp_path / "handover.sock", lambda connection: connection.close()):
        assert HandoverClient(tmp_path / "handover.sock").deidentify(REQUEST, bytes(1 << 20)) is None


def test_a_silent_process_is_waited_for_once_then_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deidentification_socket, "TIMEOUT_SECONDS", 0.2)
    connections: list[int] = []

    def stay_silent(connection: socket.socket) -> None:
        connections.append(1)
        while connection.recv(1 << 16):
            pass

    with listening(tmp_path / "handover.sock", stay_silent):
        client = HandoverClient(tmp_path / "handover.sock")
        assert [client.deidentify(REQUEST, b"\x01") for _ in range(5)] == [None] * 5
    assert len(connections) == 1


def test_where_nobody_listens_the_instance_takes_the_spool(tmp_path: Path) -> None:
    assert HandoverClient(tmp_path / "handover.sock").deidentify(REQUEST, b"") is None
    assert not deidentification_socket.is_listening(tmp_path / "handover.sock")


def test_a_home_with_a_long_path_has_a_socket_too(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    with listening(folder / "handover.sock", _echo), closing(HandoverClient(folder / "handover.sock")) as client:
        assert deidentification_socket.is_listening(folder / "handover.sock")
        assert client.deidentify(REQUEST, b"\x01") == b"IPP1 01"
