"""Does one thing and is killed (SIGKILL) at a step of it; at step 0 it is not, and says how many there are.

    python killed_at.py ACTION STEP JSON

A step is a call of anything that reads or writes tables, files or the database.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

from imaging_hub.cohorts import frozen
from imaging_hub.database import DatabaseRole, open_database
from imaging_hub.permits.policy import AccountRole as ActorRole
from imaging_hub.permits.policy import Permit, RequestActor
from imaging_hub.settings import Settings
from imaging_hub.settings import load as settings
from imaging_hub.snds import indirect_linkage, loading
from imaging_hub.snds.direct_linkage import import_return
from imaging_hub.snds.procedure_codes import ProcedureCodes

STEPS = frozenset(
    [
        "execute",
        "executemany",
        "fetchall",
        "commit",
        "rename",
        "replace",
        "mkdir",
        "unlink",
        "rmtree",
        "order",
        "write_parquet",
        "write_text",
        "register",
    ]
)


def load(hub: Settings, told: dict[str, Any]) -> None:
    loading.load(Path(told["folder"]), hub.tables)


def link(hub: Settings, told: dict[str, Any]) -> None:
    """The operator's answer, and then the search by exams, each in a transaction of its own."""
    database = open_database(hub)
    with database.begin(DatabaseRole.WORKER) as connection:
        import_return(connection, Path(told["answer"]), delivery="d", resolve=lambda _: told["sids"], actor="test")
    with database.begin(DatabaseRole.WORKER) as connection:
        indirect_linkage.link(connection, hub.tables, codes=ProcedureCodes({}), actor="test")


def freeze(hub: Settings, told: dict[str, Any]) -> None:
    today = date.fromisoformat(told["today"])
    permit = Permit(
        id="permit", project=told["project"], holders=frozenset({"ada"}), modalities=frozenset({"CT", "MR", "DX"}),
        domains=frozenset({"act", "ald", "death", "diagnosis", "drug", "stay"}), valid_from=today, valid_until=today,
        revoked=False,
    )  # fmt: skip
    with open_database(hub).begin(DatabaseRole.WEB) as connection:
        frozen.freeze(
            connection, told["definition"], actor=RequestActor("ada", ActorRole.RESEARCHER), permit=permit,
            tables=hub.tables,
            small_cell=2, today=today,
        )  # fmt: skip


ACTIONS: dict[str, Callable[[Settings, dict[str, Any]], None]] = {"load": load, "link": link, "freeze": freeze}


def main() -> None:
    action, last, told = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    hub, steps = settings(None), 0

    def profile(frame: FrameType, event: str, called: Any) -> None:
        nonlocal steps
        name = frame.f_code.co_name if event == "call" else getattr(called, "__name__", "") if event == "c_call" else ""
        if name in STEPS:
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)
    ACTIONS[action](hub, told)
    sys.setprofile(None)
    sys.stdout.write(f"{steps}\n")


if __name__ == "__main__":
    main()
