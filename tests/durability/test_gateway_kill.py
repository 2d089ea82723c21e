"""T1: nothing that was acknowledged is lost, whenever the receiver is killed."""

from __future__ import annotations

from pathlib import Path

import kill9
from gateway_process import GatewayProcess
from raw_scu import let_in
from share import Share

from imaging_hub.database import Database
from imaging_hub.settings import Settings


def test_nothing_acknowledged_is_lost_when_the_receiver_is_killed(
    settings: Settings, database: Database, free_port: int, tmp_path: Path, share: Share
) -> None:
    let_in(database)
    kills = share.times(6, 25)
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0, "log_level": "error"}),
        tmp_path / "gateway.log",
    )
    found = kill9.run(gateway, database, kills, seed=share.number)
    assert found.acknowledged >= kills
    assert found.cut >= kills, "the kills hit associations at work"
    assert (found.lost, found.doubled, found.without_file, found.unnamed) == ([], [], [], [])
