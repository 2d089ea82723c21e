"""A whole hub run with planted identifiers: none is in what it logs, answers, counts, stores or releases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dcmtk import store_all
from planted_identifiers import examine, plant
from running_hub import SENDER, RunningHub, a_hub
from sqlalchemy import text

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole

pytestmark = [pytest.mark.corpus, pytest.mark.peer]

FILES = 150
SEED = 5


@pytest.fixture(scope="module")
def planted(corpus: Path, shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the shared corpus with identifiers planted in them, and the truth about them."""
    folder = tmp_path_factory.mktemp("planted")
    plant(shared_tools, corpus, folder, seed=SEED, limit=FILES)
    return folder


@pytest.fixture(scope="module")
def hub(planted: Path, module_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that was sent all of them, still running."""
    with a_hub(tmp_path_factory.mktemp("hub"), module_database) as running:
        running.start()
        store_all(planted / "planted", SENDER, running.settings.dicom_port)
        running.wait_until_settled()
        yield running


@pytest.fixture(scope="module")
def needles(planted: Path) -> list[str]:
    """Every string that was planted and does not occur by chance: some shifted date is another patient's birthday."""
    truth: dict[str, Any] = json.loads((planted / "truth.json").read_text("utf-8"))
    items = [item for one in truth["instances"].values() for item in one["items"]]
    found = {n for item in items for n in item["needles"] if not (item["kind"] == "dob" and n.isdigit())}
    return sorted(n for n in found if len(n) >= 6)


def _found(needles: list[str], haystack: bytes) -> list[str]:
    folded = haystack.lower()
    return [n for n in needles if any(n.lower().encode(c, "replace") in folded for c in ("utf-8", "latin-1"))]


def _rows(database: Database, schema: str) -> bytes:
    """Every row of every table and view of a schema, as text, without digests: hexadecimal spells short numbers."""
    with database.begin(DatabaseRole.OWNER) as connection:
        names = connection.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema"), {"schema": schema}
        ).scalars()
        return b"\n".join(
            re.sub(r"[0-9a-f]{32,}", "", str(row[0])).encode()
            for name in list(names)
            for row in connection.execute(text(f'SELECT CAST(t AS text) FROM {schema}."{name}" t'))
        )


def _headers(database: Database) -> bytes:
    with database.begin(DatabaseRole.OWNER) as connection:
        return b"\n".join(connection.execute(text("SELECT header FROM hub.instance")).scalars())


def test_every_file_ends_in_exactly_one_state(hub: RunningHub) -> None:
    assert hub.count() == sum(hub.states().values()) >= FILES // 2
    assert hub.count("state = 'ARCHIVED'") > 0
    assert hub.count("state NOT IN ('ARCHIVED', 'QUARANTINED')") == 0


@pytest.mark.parametrize("schema", ["hub", "trust", "audit", "work"])
def test_no_table_outside_the_identifying_schema_holds_a_planted_identifier(
    hub: RunningHub, needles: list[str], schema: str
) -> None:
    assert _found(needles, _rows(hub.database, schema)) == []


def test_the_identifying_schema_is_where_the_scan_finds_them(hub: RunningHub, needles: list[str]) -> None:
    assert len(_found(needles, _rows(hub.database, "identifying"))) > 10


def test_no_indexed_header_holds_a_planted_identifier(hub: RunningHub, needles: list[str]) -> None:
    assert _found(needles, _headers(hub.database)) == []


def test_no_log_line_holds_a_planted_identifier(hub: RunningHub, needles: list[str]) -> None:
    written = hub.log.read_bytes()
    assert b'"event"' in written
    assert _found(needles, written) == []


def test_no_page_error_or_metric_holds_a_planted_identifier(hub: RunningHub, needles: list[str]) -> None:
    for origin in (hub.settings.hub_url, hub.settings.console_url):
        for path in ("/", "/metrics", "/studies", "/quarantine", "/api/v1/studies", f"/{needles[0]}", "/healthz"):
            answer = httpx.get(f"{origin}{path}")
            assert _found([n for n in needles if n not in path], answer.content) == []


def test_a_seeded_leak_is_found(hub: RunningHub, needles: list[str]) -> None:
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE hub.study SET description = :leak"), {"leak": f"CT {needles[0]}"})
    try:
        assert _found(needles, _rows(hub.database, "hub")) != []
    finally:
        with hub.database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text("UPDATE hub.study SET description = NULL"))


def test_what_the_archive_holds_scores_no_leak(
    hub: RunningHub, planted: Path, shared_tools: Path, tmp_path: Path
) -> None:
    objects = ObjectStore(hub.settings.objects)
    uids: dict[str, str] = {}
    with hub.database.begin(DatabaseRole.OWNER) as connection:
        rows = connection.execute(
            text(
                "SELECT sop_instance_uid AS before, deidentified_sop_instance_uid AS after,"
                " deidentified_digest AS digest FROM identifying.instance WHERE state = 'ARCHIVED'"
            )
        ).all()
    for row in rows:
        uids[row.before] = row.after
        (tmp_path / f"{row.digest}.dcm").write_bytes(objects.get(row.digest))
    uid_map = tmp_path / "uids.json"
    uid_map.write_text(json.dumps(uids))
    report = examine(shared_tools, planted, tmp_path, tmp_path / "report.json", uid_map)
    assert report["paired"] == len(rows)
    assert (report["text_leaks"], report["unpaired_with_identity"], report["path_leaks"][0]) == (0, 0, 0)
    assert report["burned_in"].get("leaks", 0) == 0
    assert report["uids"]["unchanged"] == report["uids"]["inconsistent"] == 0
