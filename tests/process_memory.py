"""The most memory that a process has had."""

from __future__ import annotations

from pathlib import Path


def peak_bytes(process: int | str = "self") -> int:
    """Read the largest resident size of a process since its program began.

    `getrusage` gives that of the process which started the program, where it was larger.
    """
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
