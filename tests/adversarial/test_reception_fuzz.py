"""T5, T7: whatever is damaged, every instance is answered and ends in one state, and honest senders are served."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import reception_fuzz
from free_ports import free_ports
from gateway_process import GatewayProcess
from pydicom.data import get_testdata_files
from raw_scu import let_in

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.settings import Settings

INSTANCES, STREAMS, SEED = 300, 300, 20261127
MEMORY_BYTES = 512 << 20
LARGEST_BYTES = 300_000


@pytest.fixture
def gateway(settings: Settings, database: Database, tmp_path: Path) -> Iterator[GatewayProcess]:
    let_in(database)
    dicom, http = free_ports(2)
    changed = {"dicom_port": dicom, "gateway_port": http, "spool_reserve_bytes": 0, "log_level": "error"}
    with GatewayProcess(settings.model_copy(update=changed), tmp_path / "log") as process:
        process.start()
        yield process
        assert "uncaught" not in (tmp_path / "log").read_text("utf-8")


def originals() -> list[Path]:
    files = map(Path, get_testdata_files("*.dcm"))
    return sorted(path for path in files if 400 < path.stat().st_size < LARGEST_BYTES)


def test_damaged_instances_are_answered_and_end_in_one_state(gateway: GatewayProcess, database: Database) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        sender = senders.find_by_title(connection, "HOSPITAL")
        token = senders.issue_token(connection, sender, datetime.now(UTC) + timedelta(days=1))
    account = reception_fuzz.instances(gateway, database, token, originals(), INSTANCES, SEED)
    assert account.wrong == []
    assert account.answers.total() == INSTANCES
    assert not {name for name in account.answers if name.startswith("STOW 5")}
    assert account.honest == INSTANCES // reception_fuzz.PER_LOOK
    assert account.peak_bytes < MEMORY_BYTES


def test_damaged_streams_harm_nobody(gateway: GatewayProcess) -> None:
    account = reception_fuzz.pdus(gateway, STREAMS, SEED)
    assert account.wrong == []
    assert account.honest == STREAMS // reception_fuzz.PER_LOOK
    assert account.peak_bytes < MEMORY_BYTES
