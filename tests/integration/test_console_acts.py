"""What staff do at the console: let in, follow a first study, process again, purge, take a receipt away."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from free_ports import free_ports
from originals import spool_of
from raw_scu import Instance, RawScu, Refused, an_instance, let_in, receiving, rows
from sqlalchemy import text
from web_story import served

from imaging_hub.cli.serve import prepare
from imaging_hub.console import create_console, first_study_page
from imaging_hub.console.first_study_page import FirstStudyStep
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError
from imaging_hub.gateway import console_operators, senders
from imaging_hub.gateway.senders import QueryRetrieveAddress
from imaging_hub.intake import completeness
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work.pipeline import StudyPipeline

STRICT = """name: strict
title: No comments
extends: basic
rules:
  - attribute: ImageComments
    action: reject
"""


@dataclass
class Site:
    """A receiver, a worker's pipeline, and the console with a person of each role."""

    settings: Settings
    database: Database
    port: int
    pipeline: StudyPipeline
    tokens: dict[str, str]

    def ask(self, method: str, path: str, who: str = "hospital", **form: str) -> httpx.Response:
        """A request as a program makes it, with a token."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        url = f"{self.settings.console_url}{path}"
        return httpx.request(method, url, headers=headers, data=form or None, timeout=30)

    def page(self, path: str) -> str:
        answer = self.ask("GET", path)
        assert answer.is_success, answer.text
        return answer.text

    def process(self) -> None:
        """Close what is open and process whatever waits."""
        with self.database.begin(DatabaseRole.WORKER) as connection:
            completeness.close_quiet_studies(connection, -1)
            waiting = completeness.list_complete_studies(connection)
        for study in waiting:
            self.pipeline.process_study(study)

    def audited(self) -> list[str]:
        with self.database.begin(DatabaseRole.OWNER) as connection:
            return list(connection.execute(text("SELECT actor || ' ' || action FROM audit.entry ORDER BY 1")).scalars())


@pytest.fixture
def site(settings: Settings, database: Database, third_party: ThirdParty, tmp_path: Path) -> Iterator[Site]:
    (console,) = free_ports(1)
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "strict.yaml").write_text(STRICT)
    settings = settings.model_copy(update={"console_port": console, "profiles": profiles})
    prepare(settings).dispose()
    let_in(database)
    until = datetime.now(UTC) + timedelta(days=1)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        tokens = {
            role: console_operators.add(connection, role, role, until, by="test")
            for role in console_operators.OperatorRole
        }
        connection.execute(text("UPDATE identifying.sender SET profile = 'strict'"))
    with receiving(settings, database) as server, served((create_console(settings, database), console)):
        yield Site(settings, database, server.port, StudyPipeline(settings, database, third_party), tokens)


def hold_one(site: Site) -> int:
    """One instance that the profile holds back; its row."""
    assert RawScu(site.port).store(an_instance(note="a comment")) == 0
    site.process()
    (row,) = rows(site.database)
    assert (row.state, row.reason) == ("QUARANTINED", "rejected-by-profile")
    return row.id


def test_what_is_held_is_processed_again_after_the_rule_changed(site: Site) -> None:
    held = hold_one(site)
    assert "Retraiter" in site.page(f"/quarantine/{held}")
    assert site.ask("POST", f"/quarantine/{held}/replay").status_code == 303
    site.process()
    assert [row.state for row in rows(site.database)] == ["QUARANTINED"], "the rule is still there"
    assert site.settings.profiles
    (site.settings.profiles / "strict.yaml").write_text(STRICT.partition("rules:")[0])
    assert site.ask("POST", "/quarantine/replay", reason="rejected-by-profile").status_code == 303
    site.process()
    assert [row.state for row in rows(site.database)] == ["ARCHIVED"]
    assert site.audited().count("hospital quarantine-replayed") == 2


def test_what_no_rule_can_help_is_not_processed_again(site: Site) -> None:
    association = RawScu(site.port)
    association.store(Instance("1.2.3", an_instance(1).dataset[:-100]))
    association.store(an_instance(2, note="one"))
    association.store(an_instance(2, note="other"))
    unread, _, conflict = rows(site.database)
    for row in (unread, conflict):
        answer = site.ask("POST", f"/quarantine/{row.id}/replay")
        assert (answer.status_code, answer.json()["code"]) == (409, "not-replayable")
    assert [row.state for row in rows(site.database)] == ["QUARANTINED", "RECEIVED", "QUARANTINED"]


def test_what_is_purged_is_gone_and_its_row_stays(site: Site) -> None:
    held = hold_one(site)
    (row,) = rows(site.database)
    assert site.ask("POST", f"/quarantine/{held}/purge").status_code == 303
    assert not spool_of(site.settings, site.database).path(row.digest).exists()
    assert [(row.state, row.kept) for row in rows(site.database)] == [("QUARANTINED", False)]
    assert site.ask("POST", f"/quarantine/{held}/purge").status_code == 409
    assert site.ask("POST", f"/quarantine/{held}/replay").status_code == 409
    assert "hospital originals-purged" in site.audited()


def test_what_is_kept_always_is_not_purged(site: Site) -> None:
    held = hold_one(site)
    with site.database.begin(DatabaseRole.GATEWAY) as connection:
        connection.execute(text("UPDATE identifying.sender SET keep_originals = 'always'"))
    assert site.ask("POST", f"/quarantine/{held}/purge").status_code == 409
    assert [row.kept for row in rows(site.database)] == [True]


def test_a_refused_sender_is_let_in_with_one_click(site: Site) -> None:
    with pytest.raises(Refused):
        RawScu(site.port, calling="CT2")
    page = site.page("/refusals")
    assert "Autoriser pour chu-test" in page
    form = {"calling_ae_title": "CT2", "address": "127.0.0.1", "like": "HOSPITAL"}
    answer = site.ask("POST", "/senders", **form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/senders/CT2")
    assert RawScu(site.port, calling="CT2").store(an_instance()) == 0
    assert "hospital sender-added" in site.audited()
    assert site.ask("POST", "/senders", **{**form, "address": "nowhere"}).status_code == 422
    assert site.ask("POST", "/senders", **{**form, "like": "NOBODY"}).status_code == 404


def test_a_sender_that_moved_keeps_its_conditions(site: Site) -> None:
    with site.database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(
            connection,
            senders.Sender(
                calling_ae_title="HOSPITAL",
                address="10.0.0.0/8",
                hospital="chu-test",
                finess="750000001",
                profile="strict",
                certificate="ab" * 32,
                query=QueryRetrieveAddress("10.0.0.1", 104),
                retrieves=True,
                keep_originals=KeepOriginals.ALWAYS,
                quiet_seconds=7,
            ),
        )
        connection.execute(text("DELETE FROM identifying.sender WHERE address = '127.0.0.0/8'"))
    for title in ("HOSPITAL", "CT2"):
        form = {"calling_ae_title": title, "address": "192.0.2.1", "like": "HOSPITAL"}
        assert site.ask("POST", "/senders", **form).status_code == 303
    with site.database.begin(DatabaseRole.GATEWAY) as connection:
        known = {(one.calling_ae_title, one.address): one for one in senders.list_senders(connection)}
    moved, other = known["HOSPITAL", "192.0.2.1/32"], known["CT2", "192.0.2.1/32"]
    assert replace(moved, address="10.0.0.0/8") == known["HOSPITAL", "10.0.0.0/8"]
    assert (other.keep_originals, other.quiet_seconds) == (KeepOriginals.ALWAYS, 7)
    assert (other.certificate, other.query, other.retrieves) == (None, None, False), "those are of one machine"


def test_a_study_is_processed_when_staff_say_that_it_is_complete(site: Site) -> None:
    assert RawScu(site.port).store(an_instance()) == 0
    assert "L&#39;examen est complet" in site.page("/studies/1") or "L'examen est complet" in site.page("/studies/1")
    assert site.ask("POST", "/studies/1/complete").status_code == 303
    assert site.ask("POST", "/studies/1/complete").status_code == 409
    with site.database.begin(DatabaseRole.WORKER) as connection:
        assert completeness.list_complete_studies(connection) == [1]
    assert "hospital study-received" in site.audited()


def test_only_staff_may(site: Site) -> None:
    held = hold_one(site)
    for path in (
        f"/quarantine/{held}/replay",
        f"/quarantine/{held}/purge",
        "/quarantine/replay",
        "/senders",
        "/studies/1/complete",
    ):
        assert site.ask("POST", path, "radiologist", reason="x").status_code == 403
    for path in ("/studies/1.csv", "/studies/1.json", "/senders/HOSPITAL", "/health", "/retrievals"):
        assert site.ask("GET", path, "radiologist").status_code == 403


def test_a_browser_of_another_site_changes_nothing(site: Site) -> None:
    held = hold_one(site)
    cookies = {"imaging_hub_console": f"nonce.{site.tokens['hospital']}"}
    url = f"{site.settings.console_url}/quarantine/{held}/purge"
    foreign = httpx.post(url, cookies=cookies, headers={"Origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign-origin")
    own = httpx.post(url, cookies=cookies, headers={"Origin": site.settings.console_url})
    assert own.status_code == 303


def test_a_receipt_can_be_taken_away(site: Site) -> None:
    hold_one(site)
    assert RawScu(site.port).store(an_instance(2)) == 0
    site.process()
    found = {row.sop_instance_uid: row for row in rows(site.database)}
    lines = [line for study in (1, 2) for line in csv.DictReader(StringIO(site.page(f"/studies/{study}.csv")))]
    assert {line["sop_instance_uid"]: (line["sha256"], line["state"], line["reason"]) for line in lines} == {
        uid: (row.digest, row.state, row.reason or "") for uid, row in found.items()
    }
    receipt = site.ask("GET", "/studies/1.json").json()
    assert receipt["study_instance_uid"] == "1.2.826.0.2.1"
    assert (receipt["quarantined"], len(receipt["instances"])) == (1, 1)
    assert "DUPONT" not in site.page("/studies/1.json") + site.page("/studies/1.csv")
    assert site.ask("GET", "/studies/99.csv").status_code == 404


def test_a_first_study_is_followed_on_one_page(site: Site) -> None:
    waiting = site.page("/senders/HOSPITAL")
    assert "Rien n'est encore venu" in waiting.replace("&#39;", "'")
    assert 'http-equiv="refresh"' in waiting
    with pytest.raises(Refused):
        RawScu(site.port, called="OTHERHUB")
    assert "wrong-called-ae-title" in site.page("/senders/HOSPITAL")
    assert RawScu(site.port).store(an_instance()) == 0
    site.process()
    arrived = site.page("/senders/HOSPITAL")
    assert "Instances reçues : 1, archivées : 1" in arrived
    assert "<code>PatientName</code>" in arrived
    assert "E.1-1 Basic" in arrived
    assert "DUPONT" not in arrived
    assert 'http-equiv="refresh"' not in arrived
    hold = RawScu(site.port)
    assert hold.store(an_instance(3, study=3, note="a comment")) == 0
    site.process()
    assert "ImageComments" in site.page("/senders/HOSPITAL")
    assert site.ask("GET", "/senders/NOBODY").status_code == 404


def follow(site: Site, *doing: Callable[[], object]) -> list[FirstStudyStep]:
    """The steps that a trial of the sender tells while things are done between its looks."""
    still = list(doing)

    def sleep(_seconds: float) -> None:
        if still:
            still.pop(0)()

    clock = iter(range(100))
    return list(
        first_study_page.follow_first_study(
            site.database.login(DatabaseRole.GATEWAY), "HOSPITAL", 10, clock=lambda: next(clock), sleep=sleep
        )
    )


def test_a_trial_follows_a_study_into_the_archive(site: Site) -> None:
    def be_refused() -> None:
        with pytest.raises(Refused):
            RawScu(site.port, called="OTHERHUB")

    steps = follow(site, be_refused, lambda: RawScu(site.port).store(an_instance()), site.process)
    assert [step.text for step in steps] == [
        "refused from 127.0.0.1: wrong-called-ae-title",
        "the association is accepted",
        "study 1 is complete: 1 instances",
        "profile strict: 1 of 1 instances are in the archive",
    ]
    assert [(step.good, step.final) for step in steps] == [(False, False), (True, False), (True, False), (True, True)]


def test_a_trial_says_what_was_held_back(site: Site) -> None:
    steps = follow(site, lambda: RawScu(site.port).store(an_instance(note="a comment")), site.process)
    assert [step.text for step in steps][2:] == [
        "held back: rejected-by-profile",
        "profile strict: 0 of 1 instances are in the archive",
    ]
    assert not steps[-1].good


def test_a_trial_in_which_nothing_comes_says_so(site: Site) -> None:
    (step,) = follow(site)
    assert (step.good, "firewalls" in step.remedy) == (False, True)
    with pytest.raises(HubError) as fault:
        list(first_study_page.follow_first_study(site.database.login(DatabaseRole.GATEWAY), "NOBODY", 1))
    assert fault.value.code == "unknown-sender"
