"""Retrieval by a list from a PACS, Debian's Orthanc 1.10, and from the same Orthanc as a source of changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

import httpx
import pytest
from dicomweb_server import orthanc
from free_ports import free_ports
from http_gateway import a_file
from raw_scu import an_instance, receiving, rows
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError, RetrievalRefused
from imaging_hub.gateway import senders
from imaging_hub.gateway.senders import QueryRetrieveAddress, Sender
from imaging_hub.retrieval.progress import LineOutcome
from imaging_hub.retrieval.query_retrieve_scu import FoundStudy, RetrieveLevel
from imaging_hub.retrieval.study_list import RetrievalPace, StudyListRetrieval, parse_list, parse_window
from imaging_hub.settings import Settings

needs_orthanc = pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's orthanc is not installed")


@dataclass
class Pacs:
    """An Orthanc with a DICOM port that knows us, and a hub that knows it."""

    url: str
    port: int
    settings: Settings
    database: Database

    def hold(self, *files: bytes) -> None:
        """Put files into the PACS."""
        for file in files:
            httpx.post(f"{self.url}/instances", content=file).raise_for_status()

    def pull(self, *arguments: str, **changed: str) -> tuple[int, list[dict[str, object]], str]:
        """Status, the JSON lines and the errors of `imaging-hub pull`."""
        said = subprocess.run(
            [sys.executable, "-m", "imaging_hub", "pull", "PACS", *arguments, "--json"],
            env={**os.environ, **self.settings.as_environment(), **changed},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return said.returncode, [json.loads(line) for line in said.stdout.splitlines()], said.stderr

    def states(self) -> list[str]:
        """States of the studies in the journal."""
        with self.database.begin(DatabaseRole.OWNER) as connection:
            return list(connection.execute(text("SELECT state FROM identifying.study ORDER BY id")).scalars())


def known(database: Database, query: QueryRetrieveAddress | None) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="PACS",
                address="127.0.0.0/8",
                hospital="chu-test",
                finess="750000001",
                profile="research-longitudinal",
                query=query,
            ),
        )


@pytest.fixture
def pacs(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Pacs]:
    if shutil.which("Orthanc") is None:
        pytest.skip("Debian's orthanc is not installed")
    http, dicom = free_ports(2)
    known(database, QueryRetrieveAddress("127.0.0.1", dicom))
    with receiving(settings, database) as server:
        hub = {"AET": "IMAGINGHUB", "Host": "127.0.0.1", "Port": server.port}
        configuration = {
            "DicomServerEnabled": True, "DicomPort": dicom, "DicomAet": "PACS", "DicomModalities": {"hub": hub},
            "StableAge": 1,
        }  # fmt: skip
        with orthanc(tmp_path / "orthanc", http, **configuration) as url:
            yield Pacs(url, dicom, settings, database)


def a_list(folder: Path, *values: str) -> str:
    path = folder / "list.txt"
    path.write_text("# a comment\n" + "\n".join(values) + "\n")
    return str(path)


@pytest.mark.peer
@pytest.mark.parametrize("how", [(), ("--get",)])
def test_studies_come_by_move_and_by_get(pacs: Pacs, tmp_path: Path, how: tuple[str, ...]) -> None:
    pacs.hold(*(a_file(an_instance(number, study=study)) for study in (1, 2, 3) for number in range(study)))
    listed = a_list(tmp_path, "1.2.826.0.2.2", "1.2.826.0.2.3", "1.2.826.0.2.9", "1.2.*")
    status, said, _ = pacs.pull("--studies", listed, *how)
    assert status == 1, "not everything is complete"
    assert [(line["value"], line["outcome"], line["received"], line["announced"]) for line in said] == [
        ("1.2.826.0.2.2", "complete", 2, 2),
        ("1.2.826.0.2.3", "complete", 3, 3),
        ("1.2.826.0.2.9", "not-found", 0, 0),
        ("1.2.*", "invalid", 0, 0),
    ]
    assert len(rows(pacs.database)) == 5
    assert pacs.states() == ["COMPLETE", "COMPLETE"], "a study that is whole waits for no quiet period"


@pytest.mark.peer
def test_a_list_goes_on_where_it_was(pacs: Pacs, tmp_path: Path) -> None:
    pacs.hold(a_file(an_instance(1, study=1)))
    listed = a_list(tmp_path, "1.2.826.0.2.1", "1.2.826.0.2.2")
    assert [line["outcome"] for line in pacs.pull("--studies", listed)[1]] == ["complete", "not-found"]
    pacs.hold(a_file(an_instance(1, study=2)))
    assert [line["value"] for line in pacs.pull("--studies", listed)[1]] == ["1.2.826.0.2.2"]
    status, said, errors = pacs.pull("--studies", listed)
    assert (status, said, errors.strip()) == (0, [], "nothing left to do")
    assert len(pacs.pull("--studies", listed, "--again")[1]) == 2


@pytest.mark.peer
def test_a_patient_is_several_studies(pacs: Pacs, tmp_path: Path) -> None:
    for study in (1, 2):
        pacs.hold(*(a_file(an_instance(number, study=study, patient="IPP7")) for number in range(2)))
    pacs.hold(a_file(an_instance(1, study=3, patient="IPP77")))
    ((line,),) = [pacs.pull("--patients", a_list(tmp_path, "IPP7"))[1]]
    assert (line["outcome"], line["studies"], line["received"]) == ("complete", 2, 4)


@pytest.mark.peer
def test_what_is_wrong_with_a_pacs_is_named(pacs: Pacs, tmp_path: Path) -> None:
    listed = a_list(tmp_path, "1.2.826.0.2.1")
    pacs.hold(a_file(an_instance(1, study=1)))
    ((line,),) = [pacs.pull("--studies", listed, IMAGING_HUB_AE_TITLE="STRANGER")[1]]
    assert (line["outcome"], line["reason"]) == ("refused", "query-failed"), (
        "Orthanc lets a stranger in, and then answers nothing"
    )
    (nobody,) = free_ports(1)
    known(pacs.database, QueryRetrieveAddress("127.0.0.1", nobody))
    ((line,),) = [pacs.pull("--studies", listed)[1]]
    assert (line["outcome"], line["reason"]) == ("refused", "unreachable")
    known(pacs.database, None)
    status, said, errors = pacs.pull("--studies", listed)
    assert (status, said) == (1, [])
    assert "--query HOST:PORT" in errors


@pytest.mark.peer
def test_an_orthanc_is_followed_from_change_to_change(pacs: Pacs) -> None:
    pacs.hold(*(a_file(an_instance(number, study=1)) for number in range(3)))
    _until_stable(pacs, 1)
    assert pacs.pull("--orthanc", pacs.url)[:2] == (0, [{"instances": 3, "received": 3, "refused": 0}])
    assert pacs.states() == ["COMPLETE"]
    assert pacs.pull("--orthanc", pacs.url)[:2] == (0, [])
    pacs.hold(a_file(an_instance(1, study=2)))
    _until_stable(pacs, 2)
    assert pacs.pull("--orthanc", pacs.url)[:2] == (0, [{"instances": 1, "received": 1, "refused": 0}])
    assert len(rows(pacs.database)) == 4


@pytest.mark.peer
def test_what_is_wrong_with_an_orthanc_is_named(pacs: Pacs) -> None:
    status, _, errors = pacs.pull("--orthanc", pacs.url, "--label", "research")
    assert status == 1
    assert "[source-labels]" in errors
    (nobody,) = free_ports(1)
    assert "[source-unavailable]" in pacs.pull("--orthanc", f"http://127.0.0.1:{nobody}")[2]
    assert "[source-unavailable]" in pacs.pull("--orthanc", f"{pacs.url}/elsewhere/")[2]


def _until_stable(pacs: Pacs, studies: int) -> None:
    deadline = datetime.now() + timedelta(seconds=30)
    while True:
        changes = httpx.get(f"{pacs.url}/changes?limit=1000").json()["Changes"]
        if len({one["ID"] for one in changes if one["ChangeType"] == "StableStudy"}) >= studies:
            return
        assert datetime.now() < deadline, "no study became stable"


SENDER = Sender("PACS", "127.0.0.0/8", "chu-test", "750000001", "research-longitudinal")


def retrieval_by(
    database: Database,
    find: Callable[[RetrieveLevel, str], list[FoundStudy]],
    fetch: Callable[[str], None] = lambda _study: None,
) -> StudyListRetrieval:
    return StudyListRetrieval(database.login(DatabaseRole.GATEWAY), SENDER, find, fetch)


def test_a_pacs_that_sends_less_than_it_announced_is_incomplete(database: Database) -> None:
    retrieval = retrieval_by(database, lambda _level, _value: [FoundStudy("1.2.3", 5)])
    (line,) = retrieval.run(RetrieveLevel.STUDY, ["1.2.3"], RetrievalPace())
    assert (line.outcome, line.announced, line.received) == (LineOutcome.INCOMPLETE, 5, 0)


def test_a_refusal_on_the_way_is_told_with_its_reason(database: Database) -> None:
    def refuse(_study: str) -> None:
        raise RetrievalRefused("no", code="move-destination")

    retrieval = retrieval_by(database, lambda _level, _value: [FoundStudy("1.2.3", 5)], refuse)
    (line,) = retrieval.run(RetrieveLevel.STUDY, ["1.2.3"], RetrievalPace())
    assert (line.outcome, line.reason) == (LineOutcome.REFUSED, "move-destination")


@dataclass
class Clock:
    """A clock that only sleeping moves."""

    now: datetime

    def pace(self, **rule: object) -> RetrievalPace:
        return RetrievalPace(**rule, clock=lambda: self.now, sleep=self._sleep)  # type: ignore[arg-type]

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_the_pace_is_kept(database: Database) -> None:
    clock = Clock(datetime(2026, 1, 1, 12))
    asked = []

    def find(_level: RetrieveLevel, _value: str) -> list[FoundStudy]:
        asked.append(clock.now.time())
        return []

    retrieval = retrieval_by(database, find)
    list(retrieval.run(RetrieveLevel.ACCESSION, ["A1", "A2", "A3"], clock.pace(per_hour=4)))
    assert asked == [time(12, 0), time(12, 15), time(12, 30)]


@pytest.mark.parametrize(
    ("now", "rule", "begins"),
    [
        (datetime(2026, 1, 1, 12), "20:00-06:00", datetime(2026, 1, 1, 20)),
        (datetime(2026, 1, 1, 23), "20:00-06:00", datetime(2026, 1, 1, 23)),
        (datetime(2026, 1, 1, 5, 59), "20:00-06:00", datetime(2026, 1, 1, 5, 59)),
        (datetime(2026, 1, 1, 6), "20:00-06:00", datetime(2026, 1, 1, 20)),
        (datetime(2026, 1, 1, 18), "12:00-14:00", datetime(2026, 1, 2, 12)),
        (datetime(2026, 1, 1, 13), "12:00-14:00", datetime(2026, 1, 1, 13)),
    ],
)
def test_a_window_of_the_day_is_waited_for(now: datetime, rule: str, begins: datetime) -> None:
    clock = Clock(now)
    clock.pace(window=parse_window(rule)).wait(None)
    assert clock.now == begins


@pytest.mark.parametrize("written", ["20:00", "20-06", "25:00-06:00", ""])
def test_a_window_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(HubError) as fault:
        parse_window(written)
    assert fault.value.code == "window"


def test_a_list_is_read_as_people_write_it() -> None:
    assert parse_list('\ufeffA1\n# no\n\n "A2" \nA1\n') == ["A1", "A2"]
