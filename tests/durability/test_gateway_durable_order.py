"""T3: what the kernel saw between a dataset and its answer, read from a trace of system calls."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from raw_scu import RawScu, an_instance, let_in

from imaging_hub.database import Database
from imaging_hub.settings import Settings

STORES = 40
CALLS = "trace=fsync,rename,sendto,recvfrom"

_STEPS = {
    "fsync file": re.compile(r"fsync\(\d+<[^>]*\.part>\) += 0|fsync resumed.*= 0"),
    "rename": re.compile(r"rename\(\"[^\"]*\.part\", \"[^\"]*\.dcm\"\) += 0"),
    "fsync folder": re.compile(r"fsync\(\d+<[^>]*/spool/[0-9a-f]{2}>\) += 0"),
    # The row's statement commits by itself: PostgreSQL is idle, out of any transaction, only once it is durable.
    "commit": re.compile(r"recvfrom\(.*SELECT 1\\0Z\\0\\0\\0\\5I"),
    # A P-DATA-TF PDU (type 4) of a last command fragment, on the association's socket.
    "answer": re.compile(r"sendto\(\d+<[^>]*>, \"\\4\\0\\0\\0"),
}


def _whole_lines(trace: str) -> list[str]:
    """Calls in the order in which they *ended*, interrupted ones joined."""
    begun: dict[str, str] = {}
    lines = []
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif call.startswith("<... "):
            lines.append(begun.pop(thread, "") + call.partition("resumed>")[2])
        else:
            lines.append(call)
    return lines


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_answer_goes_out_before_file_folder_and_journal_are_durable(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    let_in(database)
    trace = tmp_path / "trace"
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0}),
        tmp_path / "log",
        before=["strace", "-f", "-y", "-s", "4096", "-e", CALLS, "-o", str(trace)],
    )
    with gateway:
        gateway.start()
        association = RawScu(free_port)
        for number in range(1, STORES + 1):
            assert association.store(an_instance(number)) == 0
        association.release()
        gateway.stop()
    answers, seen = 0, []
    for call in _whole_lines(trace.read_text("utf-8", "replace")):
        step = next((name for name, form in _STEPS.items() if form.search(call)), None)
        if step == "answer":
            # The journal may commit other things; of the steps of this instance, the order is what counts.
            wanted = ["fsync file", "rename", "fsync folder", "commit"]
            assert [name for name in seen if name in wanted][-4:] == wanted
            answers, seen = answers + 1, []
        elif step is not None:
            seen.append(step)
    assert answers == STORES
