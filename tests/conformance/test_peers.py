"""Peers that we did not write send to us and ask us; each test says with which version it ran."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from certificates import a_certificate, named
from dcmtk import tool
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session
from dicomweb_server import ORTHANC_PLUGINS, orthanc
from free_ports import free_ports
from http_gateway import HttpGateway, a_file, listening
from pydicom import dcmread
from raw_scu import an_instance, receiving, rows

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.gateway.query_retrieve_scp import QueryRetrieveScp
from imaging_hub.gateway.senders import QueryRetrieveAddress
from imaging_hub.settings import Settings

pytestmark = pytest.mark.peer
needs_orthanc = pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Debian's orthanc is not installed")
STUDY = "1.2.826.0.2.1"
DCMTK = ("echoscu", "storescu", "dcmsend", "findscu", "getscu", "movescu")
APPS = ("echoscu", "storescu", "findscu", "getscu", "movescu")


@dataclass
class Hub:
    """A receiver, its HTTP side and its query port; and a place where a hospital's own receiver may listen."""

    gateway: HttpGateway
    query_port: int
    destination_port: int
    database: Database

    @property
    def port(self) -> int:
        """Of the receiver."""
        return self.gateway.server.port


@pytest.fixture
def hub(settings: Settings, database: Database) -> Iterator[Hub]:
    destination, query = free_ports(2)
    with listening(settings, database) as gateway:
        let_ask(database, "HOSPITAL", destination)
        server = QueryRetrieveScp(settings.model_copy(update={"query_port": query}), database, gateway.server.metrics)
        server.start()
        try:
            yield Hub(gateway, query, destination, database)
        finally:
            server.stop()


def let_ask(database: Database, title: str, receives_on: int, *, right: bool = True) -> None:
    """Make a sender known that may ask, and whose own receiver listens there."""
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title=title,
                address="127.0.0.0/8",
                hospital="chu-test",
                finess="750000001",
                profile="research-longitudinal",
                query=QueryRetrieveAddress("127.0.0.1", receives_on),
                retrieves=right,
            ),
        )


@dataclass(frozen=True)
class Tool:
    """The command line tools of one maker."""

    named: str
    command: Callable[[str], list[str]]

    def run(self, name: str, *arguments: object, status: int = 0) -> str:
        """Run a tool; what it said."""
        said = subprocess.run(
            [*self.command(name), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
        )
        output = said.stdout + said.stderr
        assert said.returncode == status, (self.named, name, output[-2000:])
        return output


@pytest.fixture(params=["dcmtk", "pynetdicom"])
def tools(request: pytest.FixtureRequest) -> Tool:
    if request.param == "pynetdicom":
        version = importlib.metadata.version("pynetdicom")
        return Tool(f"pynetdicom {version}", lambda name: [sys.executable, "-m", "pynetdicom", name, "-d"])
    return dcmtk_tools()


def dcmtk_tools() -> Tool:
    found = {name: tool(name) for name in DCMTK}
    if not all(found.values()):
        pytest.skip("DCMTK is not installed")
    said = subprocess.run([str(found["echoscu"]), "--version"], capture_output=True, text=True, check=False).stdout
    return Tool(said.split("\n")[0].strip("$ "), lambda name: [str(found[name]), "-d"])


def files(folder: Path, *, instances: int = 3) -> list[Path]:
    """Files of one study to send."""
    folder.mkdir()
    made = []
    for number in range(instances):
        path = folder / f"{number}.dcm"
        path.write_bytes(a_file(an_instance(number)))
        made.append(path)
    return made


def test_tools_send(hub: Hub, tools: Tool, tmp_path: Path) -> None:
    sent = files(tmp_path / "study")
    to = ("-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.port)
    tools.run("echoscu", *to)
    tools.run("storescu", *to, *sent)
    assert [row.state for row in rows(hub.database)] == ["RECEIVED"] * 3, tools.named
    assert tools.named.split()[0] in ("dcmtk:", "pynetdicom")


def test_dcmsend_sends(hub: Hub, tmp_path: Path) -> None:
    dcmtk = dcmtk_tools()
    dcmtk.run("dcmsend", "-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.port, *files(tmp_path / "study"))
    assert [row.state for row in rows(hub.database)] == ["RECEIVED"] * 3, dcmtk.named


def test_tools_ask_what_is_there(hub: Hub, tools: Tool, tmp_path: Path) -> None:
    hub.gateway.post(_message(3))
    to = ("-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.query_port)
    keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}", "NumberOfStudyRelatedInstances", "PatientName")
    said = tools.run("findscu", "-S", *to, *(part for key in keys for part in ("-k", key)))
    assert "DUPONT^JEANNE" in said, tools.named
    assert re.search(r"0020,1208\) IS [\['\"]?3", said), tools.named


def test_tools_get_their_originals_back(hub: Hub, tools: Tool, tmp_path: Path) -> None:
    hub.gateway.post(_message(3))
    (tmp_path / "got").mkdir()
    where = ("-od", tmp_path / "got")
    to = ("-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.query_port)
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    tools.run("getscu", "-S", *where, *to, *keys)
    got = [dcmread(path, force=True) for path in (tmp_path / "got").iterdir()]
    assert sorted(one.SOPInstanceUID for one in got) == [f"1.2.826.0.1.1.{n}" for n in range(3)], tools.named
    assert {str(one.PatientName) for one in got} == {"DUPONT^JEANNE"}


@needs_orthanc
def test_tools_have_their_originals_moved(hub: Hub, tools: Tool, tmp_path: Path) -> None:
    """To the hospital's own receiver, an Orthanc."""
    hub.gateway.post(_message(3))
    with _an_orthanc(hub, tmp_path) as peer:
        to = ("-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.query_port)
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
        destination = "-aem"
        tools.run("movescu", "-S", destination, "HOSPITAL", *to, *keys)
        assert len(httpx.get(f"{peer}/instances").json()) == 3, tools.named


def test_dcmtk_sends_over_tls_with_the_certificate_of_its_hospital(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    dcmtk = dcmtk_tools()
    authority, key = a_certificate(tmp_path, "authority")
    issuer = (named("authority"), key)
    ours, hospital, other = (a_certificate(tmp_path, name, issuer)[0] for name in ("ours", "hospital", "other"))
    from imaging_hub.gateway.tls import certificate_fingerprint

    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="HOSPITAL",
                address="127.0.0.0/8",
                hospital="chu-test",
                finess="750000001",
                profile="research-longitudinal",
                certificate=certificate_fingerprint(hospital),
            ),
        )
    tls = {"dicom_tls_certificate": ours, "dicom_tls_key": ours, "dicom_tls_client_ca": authority}
    with receiving(settings, database, **tls) as server:
        to = ("-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", server.port)
        shown = {path: ("+tls", path, path, "+cf", authority, "-ic") for path in (hospital, other)}
        dcmtk.run("echoscu", *shown[hospital], *to)
        dcmtk.run("storescu", *shown[hospital], *to, *files(tmp_path / "study"))
        assert "Association Rejected" in dcmtk.run("echoscu", *shown[other], *to, status=1)
        assert len(rows(database)) == 3, dcmtk.named


@needs_orthanc
def test_orthanc_sends_by_association_and_by_stow(hub: Hub, tmp_path: Path) -> None:
    with _an_orthanc(hub, tmp_path) as peer:
        version = httpx.get(f"{peer}/system").json()["Version"]
        for number in range(3):
            httpx.post(f"{peer}/instances", content=a_file(an_instance(number))).raise_for_status()
        (study,) = httpx.get(f"{peer}/studies").json()
        httpx.post(f"{peer}/modalities/hub/store", content=study, timeout=60).raise_for_status()
        assert len(rows(hub.database)) == 3, version
        httpx.post(f"{peer}/instances", content=a_file(an_instance(4, study=2))).raise_for_status()
        stow = {"Resources": httpx.get(f"{peer}/studies").json(), "Synchronous": True}
        answer = httpx.post(f"{peer}/dicom-web/servers/hub/stow", json=stow, timeout=60)
        assert answer.is_success, (version, answer.text)
        assert len(rows(hub.database)) == 4, version


@needs_orthanc
def test_orthanc_asks_and_has_a_study_moved_to_itself(hub: Hub, tmp_path: Path) -> None:
    hub.gateway.post(_message(3))
    with _an_orthanc(hub, tmp_path) as peer:
        version = httpx.get(f"{peer}/system").json()["Version"]
        query = {"Level": "Study", "Query": {"StudyInstanceUID": STUDY, "PatientName": ""}}
        asked = httpx.post(f"{peer}/modalities/archive/query", json=query, timeout=60).json()
        assert len(httpx.get(f"{peer}/queries/{asked['ID']}/answers").json()) == 1, version
        httpx.post(f"{peer}/queries/{asked['ID']}/retrieve", content="HOSPITAL", timeout=60).raise_for_status()
        assert len(httpx.get(f"{peer}/instances").json()) == 3, version


def test_dicomweb_client_stores(hub: Hub) -> None:
    version = importlib.metadata.version("dicomweb-client")
    session = create_session()
    session.headers["Authorization"] = f"Bearer {hub.gateway.token}"
    client = DICOMwebClient(f"{hub.gateway.url}/dicom-web", session=session)
    sent = [dcmread(path) for path in _read(3)]
    answer = client.store_instances(sent, study_instance_uid=STUDY)
    assert len(answer.ReferencedSOPSequence) == 3, version
    assert len(rows(hub.database)) == 3


def _read(number: int) -> list[object]:
    from io import BytesIO

    return [BytesIO(a_file(an_instance(one))) for one in range(number)]


def _message(instances: int) -> bytes:
    from http_gateway import multipart

    return multipart(*(a_file(an_instance(number)) for number in range(instances)))


def _an_orthanc(hub: Hub, folder: Path) -> object:
    (http,) = free_ports(1)
    modalities = {
        "hub": {"AET": "IMAGINGHUB", "Host": "127.0.0.1", "Port": hub.port},
        "archive": {"AET": "IMAGINGHUB", "Host": "127.0.0.1", "Port": hub.query_port},
    }
    web = {
        "hub": {"Url": f"{hub.gateway.url}/dicom-web/", "HttpHeaders": {"Authorization": f"Bearer {hub.gateway.token}"}}
    }
    return orthanc(
        folder / "orthanc", http, DicomServerEnabled=True, DicomPort=hub.destination_port, DicomAet="HOSPITAL",
        DicomModalities=modalities, DicomWeb={"Servers": web}, Plugins=[str(ORTHANC_PLUGINS)],
    )  # fmt: skip


def test_a_sender_without_the_right_is_told_nothing(hub: Hub) -> None:
    dcmtk = dcmtk_tools()
    let_ask(hub.database, "HOSPITAL", hub.destination_port, right=False)
    said = dcmtk.run("findscu", "-S", "-aet", "HOSPITAL", "-aec", "IMAGINGHUB", "127.0.0.1", hub.query_port,
                     "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", status=2)  # fmt: skip
    assert "Association Rejected" in said or "rejected" in said.lower()
    assert json.dumps(said).count("DUPONT") == 0
