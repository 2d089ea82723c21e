"""T1: nothing that was acknowledged is lost, whenever the receiver is killed."""

from __future__ import annotations

from pathlib import Path

import kill9
from gateway_process import GatewayProcess
from raw_scu import let_in

from imaging_hub.database import Database
from imaging_hub.settings import Settings

KILLS = 25


def test_nothing_acknowledged_is_lost_when_the_receiver_is_killed(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    let_in(database)
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0, "log_level": "error"}),
        tmp_path / "gateway.log",
    )
    found = kill9.run(gateway, database, KILLS, seed=20261123)
    assert found.acknowledged >= KILLS
    assert found.cut >= KILLS, "the kills hit associations at work"
    assert (found.lost, found.doubled, found.without_file, found.unnamed) == ([], [], [], [])
