"""Every file of the corpus that a sender can read ends in exactly one named state, and the sums match."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from corpus_push import dcmsend, from_orthanc, orthanc, storescu, stratified
from dcmtk import tool
from originals import spool_of
from pydicom import dcmread
from raw_scu import let_in, receiving, rejections, rows

from imaging_hub.database import Database
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.settings import Settings

pytestmark = [pytest.mark.corpus, pytest.mark.peer]
NAMED = {"RECEIVED", "QUARANTINED"}


def _answered(server: StorageServer) -> Counter[str]:
    """C-STORE responses by outcome, as the receiver counted them."""
    counted: Counter[str] = Counter()
    for metric in server.metrics.instances.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                counted[sample.labels["outcome"]] += int(sample.value)
    return counted


def _uid(file: str) -> str:
    """The SOP Instance UID of the dataset, which DCMTK sends; some files have another in their meta information."""
    return str(dcmread(file, force=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)


def _agrees(server: StorageServer, settings: Settings, database: Database) -> Counter[str]:
    """Journal, spool and counters say the same."""
    journal, counted = rows(database), _answered(server)
    assert {row.state for row in journal} <= NAMED
    assert all(bool(row.reason) == (row.state == "QUARANTINED") for row in journal)
    assert {row.digest for row in journal} == {file.stem for file in settings.spool.rglob("*.dcm")}
    # Each answer is a row, or says again what a row says already.
    assert counted.total() - counted["duplicate"] >= len(journal)
    assert counted["stored"] == sum(row.state == "RECEIVED" for row in journal)
    assert counted["no-space"] == 0
    return counted


@pytest.mark.skipif(tool("dcmsend") is None, reason="DCMTK is not installed")
def test_every_file_that_dcmtk_can_send_ends_in_one_named_state(
    settings: Settings, database: Database, corpus: Path, tmp_path: Path
) -> None:
    let_in(database)
    with receiving(settings, database) as server:
        sent = dcmsend(server.port, stratified(corpus, 120), tmp_path / "report")
        counted = _agrees(server, settings, database)
        answered = [one for one in sent if one.status is not None]
        assert len(answered) > 60
        assert counted.total() == len(answered)
        journalled = {row.sop_instance_uid for row in rows(database)}
        assert [one.file for one in answered if _uid(one.file) not in journalled] == [], "each file answered has a row"
        # The same again: every answer as before, and not one row more.
        before = len(rows(database))
        again = dcmsend(server.port, stratified(corpus, 120), tmp_path / "again")
        assert Counter(one.status for one in again) == Counter(one.status for one in sent)
        assert len(rows(database)) == before
    refused = {syntax for reason, _, syntax in rejections(database) if reason.endswith("-refused")}
    if len(answered) < len(sent):
        # DICOMDIR is no storage class; the others dcmsend could not convert and did not send.
        assert refused <= {"1.2.840.10008.1.3.10", "1.2.840.10008.1.2.1.99"}


@pytest.mark.skipif(tool("storescu") is None, reason="DCMTK is not installed")
def test_storescu_gets_an_answer_for_each_file(settings: Settings, database: Database, corpus: Path) -> None:
    let_in(database)
    with receiving(settings, database) as server:
        answers = storescu(server.port, stratified(corpus, 60)[::3])
        assert _agrees(server, settings, database).total() == answers.total() - answers["not sent"]
        assert answers["Success"] > 5


@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")
def test_orthanc_sends_what_it_holds(settings: Settings, database: Database, corpus: Path, tmp_path: Path) -> None:
    let_in(database)
    with receiving(settings, database) as server, orthanc(tmp_path / "orthanc", server.port) as client:
        outcomes = from_orthanc(client, stratified(corpus, 60)[::2])
        counted = _agrees(server, settings, database)
        assert outcomes["sent"] > 10
        assert counted["stored"] + counted["quarantined"] + counted["duplicate"] == outcomes["sent"]
    assert len(list(spool_of(settings, database).digests())) > 0
