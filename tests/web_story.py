"""A small hub with people and studies in both zones, its two web apps served for real: for tests of pages and API."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from io import BytesIO

import httpx
import numpy as np
from archived import FINESS, SID, archive, deidentified, slice_of
from free_ports import free_ports
from originals import spool_of
from pydicom import Dataset
from running_hub import until_answered
from sqlalchemy import text
from starlette.types import ASGIApp

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.cohorts import release
from imaging_hub.console import create_console
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.source_and_outcome import AttributeChange, DeidentifiedInstance
from imaging_hub.gateway import console_operators
from imaging_hub.http.serving import serve
from imaging_hub.intake import journal
from imaging_hub.intake.spool import Spool
from imaging_hub.intake.study_keys import OriginalOwner
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole as Account
from imaging_hub.settings import Settings, load
from imaging_hub.web.app import create_app

HOSTILE = "DUPONT^<script>alert('name')</script><img src=x onerror=alert(1)>"
"""A patient's name as a hostile sender would write it."""
HOSTILE_DESCRIPTION = "<img src=x onerror=alert(1)>"
HOSPITAL = "chu-test"
OTHER_FINESS = "690781810"
SIDE = 192


@dataclass
class WebStory:
    """The hub under test, its people's tokens, and the names of what it holds."""

    settings: Settings
    database: Database
    tokens: dict[str, str] = field(default_factory=dict)
    permit: str = ""
    waiting: str = ""
    """A series that waits for review; its BEFORE is in the spool."""
    plain: str = ""
    """A series that needs no review."""
    study: str = ""
    held: int = 0
    """A journal row in quarantine."""

    def client(self, who: str | None, *, console: bool = False) -> httpx.Client:
        """The API, as one of the people."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        base = self.settings.console_url if console else self.settings.hub_url
        return httpx.Client(base_url=base, headers=headers, timeout=30)

    def execute(self, statement: str, **values: object) -> None:
        """SQL as the owner: for what only time or an attacker would do."""
        with self.database.begin(DatabaseRole.OWNER) as connection:
            connection.execute(text(statement), values)

    def scalar(self, statement: str, **values: object) -> object:
        """One value, read as the owner."""
        with self.database.begin(DatabaseRole.OWNER) as connection:
            return connection.execute(text(statement), values).scalar()

    def audited(self, action: str) -> int:
        """Entries of the trail for an action."""
        return int(str(self.scalar("SELECT count(*) FROM audit.entry WHERE action = :action", action=action)))


@contextmanager
def a_web_story(settings: Settings, database: Database) -> Iterator[WebStory]:
    """The story told, and both apps answering on free ports."""
    hub_port, console_port = free_ports(2)
    settings = load(**{**settings.model_dump(), "hub_port": hub_port, "console_port": console_port})
    story = WebStory(settings, database)
    _people(story)
    _studies(story)
    apps = ((create_app(settings, database), hub_port), (create_console(settings, database), console_port))
    with served(*apps):
        yield story


@contextmanager
def served(*apps: tuple[ASGIApp, int]) -> Iterator[None]:
    """Apps behind granian, in threads of this process."""
    stop = threading.Event()
    threads = [threading.Thread(target=serve, args=(app, "127.0.0.1", port, stop), daemon=True) for app, port in apps]
    for thread in threads:
        thread.start()
    for _, port in apps:
        until_answered(f"http://127.0.0.1:{port}/healthz")
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)


def _people(story: WebStory) -> None:
    until = datetime.now(UTC) + timedelta(days=7)
    with story.database.begin(DatabaseRole.OWNER) as connection:
        for role in Account:
            finess = FINESS if role is Account.HOSPITAL else None
            story.tokens[role] = accounts.add(connection, role, role, until, finess=finess, by="test")
        story.tokens["stranger"] = accounts.add(connection, "stranger", Account.RESEARCHER, until, by="test")
        story.tokens["elsewhere"] = accounts.add(
            connection, "elsewhere", Account.HOSPITAL, until, finess=OTHER_FINESS, by="test"
        )
        past = datetime.now(UTC) - timedelta(days=1)
        story.tokens["expired"] = accounts.add(connection, "expired", Account.RESEARCHER, past, by="test")
        projects.add(
            connection, "lung-ai", title="Earlier signs of lung cancer on chest CT", purpose="research",
            public_interest="earlier diagnosis of lung cancer", legal_basis="MR-004", by="test",
        )  # fmt: skip
        story.permit = grant(story, connection_until=30, connection=connection)
        for role in console_operators.OperatorRole:
            story.tokens[f"console-{role}"] = console_operators.add(connection, role, role, until, by="test")


def grant(story: WebStory, *, connection_until: int, connection: object) -> str:
    """A permit of the researcher that ends in so many days."""
    return projects.grant(
        connection, "lung-ai", valid_from=date.today() - timedelta(days=60),
        valid_until=date.today() + timedelta(days=connection_until), holders=["researcher"], modalities=["CT", "DX"],
        domains=["diagnosis"], by="test",
    )  # fmt: skip


def _studies(story: WebStory) -> None:
    objects, spool = ObjectStore(story.settings.objects), spool_of(story.settings, story.database)
    spool.folder.mkdir(parents=True, exist_ok=True)
    story.study, story.plain = "2.25.1001", "2.25.1002"
    plain = [_after(slice_of(story.study, story.plain, n, z=2.0 * n, **_picture(n))) for n in range(1, 5)]
    archive(story.database, plain, objects)
    story.waiting = "2.25.2002"
    pairs = [_pair(n) for n in range(1, 9)]
    archive(story.database, [after for _, after in pairs], objects)
    with story.database.begin(DatabaseRole.GATEWAY) as connection:
        for before, after in pairs:
            _journal(connection, spool, before, after)
        story.held = _journal(connection, spool, pairs[0][0], None)
        connection.execute(
            text(
                "INSERT INTO identifying.rejection (address, calling_ae_title, called_ae_title, reason)"
                " VALUES ('10.0.0.7', 'SCANNER3', 'IMAGINGHUB', 'unknown-sender')"
            )
        )


def _pair(number: int) -> tuple[Dataset, DeidentifiedInstance]:
    """An original with a hostile name, and its outcome."""
    before = slice_of(
        "1.2.3.4", "1.2.3.5", number, z=3.0 * number, PatientName=HOSTILE, PatientID="0012345678",
        PatientBirthDate="19551231", InstitutionName="CHU de Test", ReferringPhysicianName="MARTIN^JEANNE",
        **_picture(number, name=True),
    )  # fmt: skip
    after = slice_of(
        "2.25.2001", "2.25.2002", number, z=3.0 * number, Modality="DX", SeriesDescription=HOSTILE_DESCRIPTION,
        StudyDescription="Radiographie thoracique", PatientBirthDate="", **_picture(number),
    )  # fmt: skip
    return before, _after(after, needs_review=True)


def _after(dataset: Dataset, *, needs_review: bool = False) -> DeidentifiedInstance:
    made = deidentified(dataset, needs_review=needs_review)
    changes = (
        AttributeChange("SeriesDescription", "C", "E.1-1 Clean Descriptors"),
        AttributeChange("PatientName", "Z", "E.1-1 Basic"),
        AttributeChange("PatientID", "Z", "E.1-1 Basic"),
        AttributeChange("PatientBirthDate", "Z", "E.1-1 Basic"),
        AttributeChange("InstitutionName", "X", "E.1-1 Basic"),
        AttributeChange("ReferringPhysicianName", "X", "E.1-1 Basic"),
        AttributeChange("StudyDate", "shift", "E.1-1 Modified Dates"),
        AttributeChange("SOPInstanceUID", "U", "E.1-1 Basic"),
    )
    return DeidentifiedInstance(**{**{name: getattr(made, name) for name in made.__slots__}, "changes": changes})


def _picture(number: int, *, name: bool = False) -> dict[str, object]:
    """A body in cross-section; with a bar where a name would be burned in."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    pixels = np.zeros((SIDE, SIDE))
    pixels[(x / 0.86) ** 2 + (y / 0.66) ** 2 < 1] = 1050
    for side in (-0.4, 0.4):
        lung = ((x - side) / 0.3) ** 2 + (y / (0.42 + number / 60)) ** 2 < 1
        pixels[lung] = 220 + 60 * np.sin(14 * x[lung] + number) * np.cos(11 * y[lung])
    pixels[((x / 0.11) ** 2 + ((y - 0.34) / 0.13) ** 2) < 1] = 1700
    pixels[((x + 0.06 * number - 0.5) / 0.05) ** 2 + ((y + 0.1) / 0.05) ** 2 < 1] = 1150
    pixels += np.random.default_rng(number).normal(0, 25, pixels.shape)
    if name:
        pixels[8:22, 10:90] = 1900
    stored = np.clip(pixels, 0, 4095).astype("<u2")
    return {"Rows": SIDE, "Columns": SIDE, "PixelData": stored.tobytes(), "WindowCenter": "900", "WindowWidth": "1800"}


def _journal(connection: object, spool: Spool, before: Dataset, after: DeidentifiedInstance | None) -> int:
    """The original in the spool, with its row: archived as `after`, or held."""
    file = BytesIO()
    if after is None:
        before.SOPInstanceUID = "1.2.3.4.99"
    before.save_as(file, enforce_file_format=True)
    stored = spool.store([file.getvalue()], OriginalOwner("chu-test"))
    arrival = journal.Arrival(
        hospital=HOSPITAL, finess=FINESS, sop_instance_uid=str(before.SOPInstanceUID),
        sop_class_uid=str(before.SOPClassUID), transfer_syntax_uid="1.2.840.10008.1.2.1",
        study_instance_uid="1.2.3.4", series_instance_uid="1.2.3.5", patient_id="0012345678", modality="CT",
        digest=stored.digest, size=stored.size,
    )  # fmt: skip
    row = journal.record(connection, arrival, "research-longitudinal")
    if after is None:
        journal.settle_quarantined(connection, row.id, "residual-identifier", "ImageComments", "residual check")
        return row.id
    passed = journal.DeidentifiedEntry(row.id, after.sop_instance_uid, after.series_instance_uid, "0" * 64)
    journal.settle_deidentified(connection, [passed])
    journal.settle_archived(connection, [row.id])
    return row.id


DEFINITION = """\
cohort: chest-images
version: 1
index:
  event: {domain: diagnosis, set: lung}
sets:
  lung: {icd10: [C34*]}
imaging:
  - name: chest-ct
    modality: CT
    window: {before: [0, 3650], after: [0, 3650]}
"""


def freeze(story: WebStory, *series: str, cohort: str = "cohort-of-the-test") -> str:
    """A frozen cohort of these series, as `cohorts.frozen` writes it."""
    flowchart = {
        "steps": [
            {"name": "linked subjects", "subjects": "120", "missing": ""},
            {"name": "with lung", "subjects": "64", "missing": ""},
            {"name": "with chest-ct", "subjects": "38", "missing": "<11"},
        ],
        "series": "38",
        "data_version": "snds 0123 hub 4567",
    }
    story.execute(
        "INSERT INTO hub.cohort (id, project, name, definition, definition_digest, data_version, flowchart, frozen_by)"
        " VALUES (:id, 'lung-ai', 'chest-images', :definition, 'd', 'v', CAST(:flowchart AS jsonb), 'researcher')",
        id=cohort, definition=DEFINITION, flowchart=json.dumps(flowchart),
    )  # fmt: skip
    for uid in series:
        story.execute(
            "INSERT INTO hub.cohort_member (cohort, sid, index_date, series_instance_uid, content_digest, age_band,"
            " sex)"
            " SELECT :cohort, :sid, '2019-01-01', series_instance_uid, content_digest, '60-64', 'female'"
            " FROM hub.series WHERE series_instance_uid = :uid",
            cohort=cohort, sid=SID, uid=uid,
        )  # fmt: skip
    return cohort


def prepare(story: WebStory, release_id: str) -> None:
    """What the worker does for a release."""
    objects = ObjectStore(story.settings.objects)
    release.prepare(story.database.login(DatabaseRole.WORKER), objects, release_id, b"p" * 32, b"u" * 32)
