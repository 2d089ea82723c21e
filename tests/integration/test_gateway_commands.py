"""`imaging-hub gateway` and `imaging-hub sender` as people call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pynetdicom import AE, evt
from raw_scu import VERIFICATION

from imaging_hub.database import Database
from imaging_hub.settings import Settings

_ADD = ["add", "CT1", "10.1.2.0/24", "--hospital", "chu-test", "--finess", "750000001"]


def _sender(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imaging_hub", "sender", *arguments],
        env={**os.environ, **settings.as_environment()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_sender_is_added_and_listed(settings: Settings, database: Database) -> None:
    assert "imaging-hub sender add" in _sender(settings, "list").stdout
    added = _sender(settings, *_ADD)
    assert added.returncode == 0
    assert "IMAGINGHUB@127.0.0.1:11112" in added.stdout
    (listed,) = json.loads(_sender(settings, "list", "--json").stdout)["senders"]
    assert (listed["calling_ae_title"], listed["address"]) == ("CT1", "10.1.2.0/24")


def test_a_wrong_finess_is_told_with_status_1(settings: Settings, database: Database) -> None:
    refused = _sender(settings, *_ADD[:-1], "12")
    assert refused.returncode == 1
    assert "[finess]" in refused.stderr
    assert _sender(settings, "add").returncode == 2


@pytest.mark.parametrize("title", ["PACS", "OTHER"])
def test_echo_tells_whether_a_hospital_answers(settings: Settings, database: Database, title: str) -> None:
    pacs = AE("PACS")
    pacs.require_called_aet = True
    pacs.add_supported_context(VERIFICATION)
    server = pacs.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, lambda _: 0)])
    try:
        said = _sender(settings, "echo", "127.0.0.1", str(server.server_address[1]), title)
    finally:
        server.shutdown()
    assert said.returncode == (0 if title == "PACS" else 1)
    assert ("answers" in said.stdout) == (title == "PACS")


def test_a_gateway_without_a_schema_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    empty = settings.model_copy(update={"database_url": None, "database_role_password": None, "home": tmp_path / "new"})
    said = subprocess.run(
        [sys.executable, "-m", "imaging_hub", "gateway"],
        env={**os.environ, **empty.as_environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 1
    assert "imaging-hub serve" in said.stderr
