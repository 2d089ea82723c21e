"""A gateway does not wait for inline de-identification: whatever goes wrong, the instance takes the spool."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from imaging_hub.intake import handover
from imaging_hub.intake.handover import HandoverClient, HandoverRequest

HANDED = HandoverRequest("chu-test", "basic", "1.2.3", "IPP1", "1.2.840.10008.1.2.1")


@contextmanager
def listening(path: Path, attend: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody at the socket, who attends to each connection in turn."""
    at = handover.listen(path)

    def run() -> None:
        while True:
            try:
                line, _ = at.accept()
            except OSError:
                return
            with line, suppress(ConnectionError):
                attend(line)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        at.shutdown(socket.SHUT_RDWR)
        thread.join()
        at.close()


def _echo(line: socket.socket) -> None:
    """One answer: what was handed over, told back."""
    handed, dataset = handover.receive(line)
    handover.answer(line, f"{handed.patient_id} {bytes(dataset).hex()}".encode())


def test_what_is_handed_over_arrives_and_the_answer_comes_back(tmp_path: Path) -> None:
    with listening(tmp_path / "handover.sock", _echo), closing(HandoverClient(tmp_path / "handover.sock")) as asked:
        assert asked.ask(HANDED, b"\x01\x02") == b"IPP1 0102"


def test_a_door_that_was_started_anew_is_asked_at_once(tmp_path: Path) -> None:
    with closing(HandoverClient(tmp_path / "handover.sock")) as asked:
        for _ in range(2):
            with listening(tmp_path / "handover.sock", _echo):  # which ends the connection after its answer
                assert asked.ask(HANDED, b"\x01") == b"IPP1 01"


def test_an_empty_answer_has_the_instance_take_the_spool(tmp_path: Path) -> None:
    def decline(line: socket.socket) -> None:
        handover.receive(line)
        handover.answer(line, None)

    with listening(tmp_path / "handover.sock", decline), closing(HandoverClient(tmp_path / "handover.sock")) as asked:
        assert asked.ask(HANDED, b"") is None


def test_a_door_that_ends_in_the_middle_has_the_instance_take_the_spool(tmp_path: Path) -> None:
    with listening(tmp_path / "handover.sock", lambda line: line.close()):
        assert HandoverClient(tmp_path / "handover.sock").ask(HANDED, bytes(1 << 20)) is None


def test_a_silent_door_is_waited_for_once_and_then_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PATIENCE_SECONDS", 0.2)
    connections: list[int] = []

    def stare(line: socket.socket) -> None:
        connections.append(1)
        while line.recv(1 << 16):
            pass

    with listening(tmp_path / "handover.sock", stare):
        asked = HandoverClient(tmp_path / "handover.sock")
        assert [asked.ask(HANDED, b"\x01") for _ in range(5)] == [None] * 5
    assert len(connections) == 1


def test_where_nobody_listens_the_instance_takes_the_spool(tmp_path: Path) -> None:
    assert HandoverClient(tmp_path / "handover.sock").ask(HANDED, b"") is None
    assert not handover.answers(tmp_path / "handover.sock")


def test_a_home_with_a_long_path_has_a_door_too(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    with listening(folder / "handover.sock", _echo), closing(HandoverClient(folder / "handover.sock")) as asked:
        assert handover.answers(folder / "handover.sock")
        assert asked.ask(HANDED, b"\x01") == b"IPP1 01"
