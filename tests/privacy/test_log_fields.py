"""A log line holds numbers and codes; what was read from data has no way in."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TypeGuard

import pytest
from raw_scu import Instance, RawScu, an_instance, let_in
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import imaging_hub
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.keys.aead import AuthenticatedCipher
from imaging_hub.log import WITHHELD, filter_fields
from imaging_hub.settings import Settings

CANARY = "DUPONT"


@pytest.mark.parametrize(
    "fields",
    [
        {"event": f"hello {CANARY} 1955"},
        {"event": "ok", "patient": CANARY},
        {"event": "ok", "row": f"{CANARY}.19551231"},
        {"event": "ok", "reason": f"bad value '{CANARY}'"},
        {"event": "ok", "address": CANARY},
        {"event": "ok", "finess": CANARY},
        {"event": "ok", "exc_info": ValueError(CANARY)},
        {"event": "ok", "fault": f"ValueError: {CANARY} 1955"},
        {"event": "ok", "place": CANARY},
        {"event": "ok", "place": f"{CANARY.lower()}.jeanne:1955"},
        {"event": "ok", "place": f"log:{CANARY}"},
        {"event": "ok", "place": f"log:1\n{CANARY}"},
    ],
)
def test_nothing_but_the_allow_list_is_logged(fields: dict[str, object]) -> None:
    assert CANARY not in json.dumps(filter_fields(None, "info", dict(fields)))


def test_what_is_allowed_stays() -> None:
    fields = {"event": "instance", "row": 7, "reason": "truncated", "finess": "750000001", "address": "10.0.0.1"}
    assert filter_fields(None, "info", dict(fields)) == fields
    assert filter_fields(None, "info", {"event": "x", "reason": "1.2.840.113619.2.55"})["reason"] == WITHHELD


def test_an_exception_is_logged_by_its_type_and_place_and_not_by_its_message() -> None:
    with pytest.raises(ValueError, match="256") as failed:
        AuthenticatedCipher(CANARY.encode())
    found = filter_fields(None, "error", {"event": "x", "exc_info": failed.value})
    assert found["fault"] == "ValueError"
    assert re.fullmatch(r"keys\.aead:[0-9]+", found["place"])
    assert filter_fields(None, "error", {"event": "x", "fault": "_Private", "place": found["place"]}) == {
        "event": "x", "fault": "_Private", "place": found["place"]
    }  # fmt: skip


def test_every_field_that_is_logged_is_on_the_list() -> None:
    """What is not would be left out, and nobody would miss it."""
    sources = Path(imaging_hub.__file__).parent.rglob("*.py")
    calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8"))) if _logs(node)]
    named = {keyword.arg: 1 for call in calls for keyword in call.keywords if keyword.arg not in (None, "exc_info")}
    assert len(calls) > 30
    assert set(named) - set(filter_fields(None, "info", {"event": "x", **named})) == set()


def _logs(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether this is a call such as `log.info(…)`."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"


def test_a_statement_that_fails_does_not_quote_its_parameters(database: Database) -> None:
    with pytest.raises(DBAPIError) as failed, database.begin(DatabaseRole.GATEWAY) as connection:
        connection.execute(text("SELECT :patient FROM nowhere"), {"patient": CANARY})
    assert CANARY not in str(failed.value)


def test_libraries_and_exceptions_are_heard_without_their_words() -> None:
    script = f"""
import logging, threading, warnings
from imaging_hub import log
log.configure("debug")
logging.getLogger("pydicom").error("{CANARY}")
logging.getLogger("pynetdicom.dul").critical("{CANARY}")
logging.getLogger("sqlalchemy.pool").error("{CANARY}")
warnings.warn("{CANARY}")
def fail(): raise ValueError("{CANARY}")
threading.Thread(target=fail).start()
fail()
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert CANARY not in said.stderr + said.stdout
    events = [json.loads(line)["event"] for line in said.stderr.splitlines()]
    assert events.count("uncaught") == 2
    assert "library-message" in events
    assert "library-warning" in events
    assert logging.getLogger("pydicom").level != logging.CRITICAL + 1, "only the process that configures it is silenced"
    assert warnings.showwarning.__module__ != "imaging_hub.log"


def test_a_receiver_under_all_kinds_of_input_logs_no_identifier(
    settings: Settings, database: Database, free_port: int, tmp_path: Path
) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "durability"))
    from gateway_process import GatewayProcess

    let_in(database)
    gateway = GatewayProcess(
        settings.model_copy(update={"dicom_port": free_port, "spool_reserve_bytes": 0, "log_level": "debug"}),
        tmp_path / "log",
    )
    with gateway:
        gateway.start()
        whole = an_instance(patient="IPP-CANARY")
        association = RawScu(free_port)
        for sent in (
            whole,
            an_instance(patient="IPP-CANARY", note="another"),
            Instance(whole.sop_instance_uid, whole.dataset[:-100]),
            Instance("../../IPP-CANARY", whole.dataset),
            Instance("1.2.826.19551231", whole.dataset),
        ):
            association.store(sent)
        association.release()
        gateway.stop()
    logged = (tmp_path / "log").read_text()
    assert '"outcome": "stored"' in logged
    for canary in (CANARY, "JEANNE", "CANARY", "1.2.826", "19551231"):
        assert canary not in logged
