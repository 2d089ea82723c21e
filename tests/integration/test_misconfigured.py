"""Twenty-four misconfigurations, each scripted: the console's page names it, and so does the doctor."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from certificates import a_certificate, named
from free_ports import free_ports
from raw_scu import CT, Closed, RawScu, Refused, let_in, receiving
from sqlalchemy import text
from web_story import served

from imaging_hub.console import create_console
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import console_operators, senders
from imaging_hub.gateway.console_operators import OperatorRole
from imaging_hub.gateway.senders import QueryRetrieveAddress
from imaging_hub.gateway.tls import certificate_fingerprint
from imaging_hub.keys.keyring import create_missing
from imaging_hub.retrieval.query_retrieve_scu import QueryRetrieveScu, RetrieveLevel
from imaging_hub.retrieval.study_list import RetrievalPace, StudyListRetrieval
from imaging_hub.settings import Settings
from imaging_hub.work import hub_diagnosis

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
WORKLIST = "1.2.840.10008.5.1.4.31"


@dataclass
class Site:
    """A receiver with a console, and the certificates of its surroundings."""

    settings: Settings
    database: Database
    port: int
    token: str
    authority: Path
    hospital: Path
    other: Path
    expired: Path
    stranger: Path

    def page(self, path: str) -> str:
        """A page of the console, as staff see it."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/html"}
        answer = httpx.get(f"{self.settings.console_url}{path}", headers=headers)
        assert answer.is_success
        return answer.text

    def doctor(self, **changed: object) -> list[str]:
        """What the doctor says of this hub, with other settings where so told."""
        found = hub_diagnosis.find_problems(self.settings.model_copy(update=changed))
        return [f"{one.subject}: {one.message} -> {one.remedy}" for one in found]

    def tls(self, own: Path | None = None, **rules: object) -> ssl.SSLContext:
        """A sender's side of TLS."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if own is not None:
            context.load_cert_chain(own)
        for name, value in rules.items():
            setattr(context, name, value)
        return context

    def knock(self, **how: object) -> None:
        """Call as a sender; that it fails is expected."""
        with suppress(Refused, Closed, OSError):
            RawScu(self.port, timeout=10, **how).release()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    authority, key = a_certificate(folder, "authority")
    issuer = (named("authority"), key)
    return {
        "authority": authority,
        "ours": a_certificate(folder, "ours", issuer)[0],
        "hospital": a_certificate(folder, "hospital", issuer)[0],
        "other": a_certificate(folder, "other", issuer)[0],
        "expired": a_certificate(folder, "expired", issuer, valid_days=(-9, -1))[0],
        "stranger": a_certificate(folder, "stranger")[0],
    }


@pytest.fixture
def plain(settings: Settings, database: Database, made: dict[str, Path]) -> Iterator[Site]:
    yield from _site(settings, database, made)


@pytest.fixture
def secured(settings: Settings, database: Database, made: dict[str, Path]) -> Iterator[Site]:
    tls = {"dicom_tls_certificate": made["ours"], "dicom_tls_key": made["ours"]}
    yield from _site(settings.model_copy(update={**tls, "dicom_tls_client_ca": made["authority"]}), database, made)


def _site(settings: Settings, database: Database, made: dict[str, Path]) -> Iterator[Site]:
    (console,) = free_ports(1)
    settings = settings.model_copy(update={"console_port": console})
    create_missing(settings.keys)
    let_in(database, address="127.0.0.1", hospital="chu-test")
    with database.begin(DatabaseRole.GATEWAY) as connection:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        token = console_operators.add(connection, "staff", OperatorRole.HOSPITAL, tomorrow, by="test")
    with receiving(settings, database) as server, served((create_console(settings, database), console)):
        paths = {name: path for name, path in made.items() if name != "ours"}
        yield Site(settings, database, server.port, token, **paths)


def of_plain(do: Callable[[Site], None], reason: str) -> object:
    return pytest.param("plain", do, reason, id=reason)


def of_tls(do: Callable[[Site], None], reason: str) -> object:
    return pytest.param("secured", do, reason, id=reason)


def _get_a_page(site: Site) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
        client.recv(100)


def _not_its_own_certificate(site: Site) -> None:
    with site.database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="HOSPITAL",
                address="127.0.0.1",
                hospital="chu-test",
                finess="750000001",
                profile="basic",
                certificate=certificate_fingerprint(site.hospital),
            ),
        )
    site.knock(context=site.tls(site.other))


def _too_many(site: Site) -> None:
    open_ones = [RawScu(site.port, source="127.0.0.1") for _ in range(site.settings.associations_per_peer)]
    site.knock()
    for one in open_ones:
        one.release()


def _old_tls(site: Site) -> None:
    context = site.tls(site.hospital)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    site.knock(context=context)


SENDERS_FAULTS = [
    of_plain(lambda site: site.knock(calling="NOBODY"), "unknown-sender"),
    of_plain(lambda site: site.knock(source="127.0.0.77"), "wrong-address"),
    of_plain(lambda site: site.knock(called="OTHERHUB"), "wrong-called-ae-title"),
    of_plain(lambda site: site.knock(contexts=[(WORKLIST, (EXPLICIT,))]), "sop-class-refused"),
    of_plain(lambda site: site.knock(contexts=[(CT, (DEFLATED,))]), "transfer-syntax-refused"),
    of_plain(lambda site: site.knock(context=site.tls()), "unexpected-tls"),
    of_plain(_get_a_page, "not-dicom"),
    of_plain(_too_many, "too-many-associations"),
    of_tls(lambda site: site.knock(), "missing-tls"),
    of_tls(lambda site: site.knock(context=site.tls()), "certificate-missing"),
    of_tls(lambda site: site.knock(context=site.tls(site.expired)), "certificate-expired"),
    of_tls(lambda site: site.knock(context=site.tls(site.stranger)), "certificate-untrusted"),
    of_tls(_not_its_own_certificate, "wrong-certificate"),
    of_tls(lambda site: site.knock(context=ssl.create_default_context()), "our-certificate-refused"),
    of_tls(_old_tls, "tls-version"),
]


@pytest.mark.parametrize(("site", "do", "reason"), SENDERS_FAULTS)
def test_a_sender_that_is_set_wrongly_is_named(
    request: pytest.FixtureRequest, site: str, do: Callable[[Site], None], reason: str
) -> None:
    here: Site = request.getfixturevalue(site)
    do(here)
    wait_for(lambda: reason in here.page("/refusals"))
    (named_by_doctor,) = [one for one in here.doctor() if one.startswith("refusals: ")]
    assert named_by_doctor.startswith(f"refusals: {reason}: ")
    assert named_by_doctor.partition(" -> ")[2], "and the remedy"


def wait_for(so: Callable[[], bool]) -> None:
    """What was refused is written down a moment after the peer is told."""
    deadline = datetime.now() + timedelta(seconds=10)
    while not so():
        assert datetime.now() < deadline, "the page does not name it"


def _expose_keys(site: Site) -> dict[str, object]:
    (site.settings.keys / "gateway.json").chmod(0o644)
    return {}


def _a_profile_that_is_not_there(site: Site) -> dict[str, object]:
    with site.database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.sender SET profile = 'no-such'"))
    return {}


def _a_pacs_that_is_elsewhere(site: Site) -> dict[str, object]:
    (nobody,) = free_ports(1)
    with site.database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="HOSPITAL",
                address="127.0.0.1",
                hospital="chu-test",
                finess="750000001",
                profile="basic",
                query=QueryRetrieveAddress("127.0.0.1", nobody),
            ),
        )
    return {}


HUBS_FAULTS = [
    pytest.param(lambda site: {"dicom_tls_certificate": site.expired, "dicom_tls_key": site.expired},
                 "certificate: that of dicom_tls_certificate has expired", id="our certificate has expired"),
    pytest.param(lambda site: {"dicom_tls_certificate": site.other, "dicom_tls_key": site.hospital},
                 "certificate: the TLS certificate, its key", id="a key of another certificate"),
    pytest.param(lambda _: {"dicom_port": free_ports(1)[0]}, "gateway: nobody listens on port", id="the wrong port"),
    pytest.param(lambda _: {"spool_reserve_bytes": 1 << 60}, "disk: less is free", id="a full disk"),
    pytest.param(_expose_keys, "keys: ", id="keys that others can read"),
    pytest.param(_a_profile_that_is_not_there, "profile: no-such", id="a profile that is not there"),
    pytest.param(lambda _: {"orthanc_sink_url": f"http://127.0.0.1:{free_ports(1)[0]}"}, "sink: the Orthanc of",
                 id="a sink that is away"),
    pytest.param(lambda _: {}, "workers: none is alive", id="no workers"),
    pytest.param(_a_pacs_that_is_elsewhere, "query: no PACS listens at", id="a PACS at another port"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), HUBS_FAULTS)
def test_a_hub_that_is_set_wrongly_is_named(
    plain: Site, change: Callable[[Site], dict[str, object]], expected: str
) -> None:
    changed = change(plain)
    assert any(one.startswith(expected) for one in plain.doctor(**changed))
    hub_diagnosis.write_report(plain.settings.model_copy(update=changed), plain.database)
    message = expected.partition(": ")[2]
    assert message in plain.page("/health")
    assert "va bien" not in plain.page("/health")


def test_a_clock_that_is_wrong_is_named(plain: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=1)

    with monkeypatch.context() as patched:
        patched.setattr(hub_diagnosis, "datetime", Tomorrow)
        assert any(one.startswith("clock: ") for one in plain.doctor())
        hub_diagnosis.write_report(plain.settings, plain.database)
    assert "disagree on the time" in plain.page("/health")


def test_workers_that_never_looked_are_named(plain: Site) -> None:
    assert "Aucun examen du hub" in plain.page("/health")


def test_a_pacs_that_does_not_answer_is_on_the_page_of_retrievals(plain: Site) -> None:
    _a_pacs_that_is_elsewhere(plain)
    with plain.database.begin(DatabaseRole.GATEWAY) as connection:
        sender = senders.find_by_title(connection, "HOSPITAL")
    assert sender.query
    pacs = QueryRetrieveScu(sender, sender.query, "IMAGINGHUB")
    list(
        StudyListRetrieval(plain.database.login(DatabaseRole.GATEWAY), sender, pacs.find, pacs.move).run(
            RetrieveLevel.ACCESSION, ["ACC-DUPONT"], RetrievalPace()
        )
    )
    page = plain.page("/retrievals")
    assert "unreachable" in page
    assert "ACC-DUPONT" not in page
