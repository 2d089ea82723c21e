"""The embedded PostgreSQL, started by one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_lock_of_another_user_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".lockfile").mkdir()  # even root cannot open it
    start = (
        "from pathlib import Path; from imaging_hub.database import start_embedded_server as start; start(Path('p'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    run = subprocess.run(
        [sys.executable, "-c", start],
        env={**environment, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")
