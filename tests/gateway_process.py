"""The receiver as a process of its own, which can be killed, traced and starved."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from imaging_hub.settings import Settings

START_SECONDS = 60.0


class GatewayProcess:
    """`imaging-hub gateway` with the given settings; `before` is put in front of its command line."""

    def __init__(self, settings: Settings, log: Path, before: Sequence[str] = ()) -> None:
        self.settings = settings
        self._log = log
        self._before = before
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing that was started outlives a test, however it ends."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def start(self) -> None:
        """Start, and return once connections are accepted."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "imaging_hub", "gateway"],
                env={**os.environ, **self.settings.as_environment()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.settings.dicom_port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        said = self._log.read_text("utf-8", "replace")[-2000:]
        msg = f"the gateway did not start\n{said}"
        raise AssertionError(msg)

    def kill(self) -> None:
        """SIGKILL to the gateway and whatever runs it."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(30)

    def wait(self, seconds: float) -> int:
        """Wait until it ends by itself; the exit status."""
        assert self.process
        return self.process.wait(seconds)
