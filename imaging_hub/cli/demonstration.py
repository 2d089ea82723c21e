"""The story that `imaging-hub demo` tells, chapter by chapter."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pynetdicom import AE, build_context
from rich.console import Console

from imaging_hub.archive import totals
from imaging_hub.audit import trail
from imaging_hub.cli.snds import round_trip
from imaging_hub.client.download import download
from imaging_hub.client.verification import verify
from imaging_hub.console import operators
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10
from imaging_hub.errors import HubError
from imaging_hub.gateway import senders
from imaging_hub.gateway.senders import Sender
from imaging_hub.intake import completeness, journal
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole as Account
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.snds import indirect, loading
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.synthetic.generator import synthesize

ACTOR = "demo"
ASSOCIATIONS = 4
_TRIES = 3
CONSOLE_ROLES: tuple[operators.ConsoleRole, ...] = ("hospital", "radiologist")
_PATIENCE_SECONDS = 300.0
_COHORT = "lung-ct-before-c34.yaml"
_REVIEWED_COHORT = "copd-chest-x-ray.yaml"


@dataclass
class Demonstration:
    """A demo under way: what runs, what was made, and who may sign in."""

    settings: Settings
    database: Database
    console: Console
    truth: Mapping[str, Any] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    step_number: int = 0

    def step(self, title: str) -> None:
        """Announce the next step."""
        self.step_number += 1
        self.console.print(f"\n[bold]{self.step_number}. {title}[/bold]")

    def tell(self, **facts: object) -> None:
        """Say what a step did, in counts."""
        for name, value in facts.items():
            self.console.print(f"   {name.replace('_', ' '):<34} {value}", highlight=False)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until something is so, or fail naming it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise HubError("waited in vain", code="demo", hint=f"{what}: see what the processes printed")
            time.sleep(0.2)

    def api(self, who: str) -> httpx.Client:
        """The hub's API as one of the demo's people."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.Client(base_url=f"{self.settings.hub_url}/api/v1", headers=headers, timeout=60)


def tell(story: Demonstration, home: Path, persons: int, seed: int, began: float) -> None:
    """Tell it from the start of the hub to the pages; `began` is when the command began, monotonic seconds."""
    _start(story, began)
    _people(story)
    _synthesise(story, home / "synthetic", persons, seed)
    _push(story, home / "synthetic")
    _settle(story)
    _join(story, home)
    cohort = _cohort(story)
    _review_gate(story)
    _release(story, cohort, home)
    _trail(story)
    _pages(story)


def _start(story: Demonstration, began: float) -> None:
    story.step("The hub starts")

    def answers() -> bool:
        try:
            return (
                httpx.get(f"{story.settings.hub_url}/readyz").is_success
                and httpx.get(f"{story.settings.console_url}/healthz").is_success
            )
        except httpx.HTTPError:
            return False

    story.wait(answers, "the pages answer")
    story.tell(seconds_to_first_page=f"{time.monotonic() - began:.1f}")


def _people(story: Demonstration) -> None:
    story.step("People get their accounts, and a project its permit")
    until = datetime.now(UTC) + timedelta(days=30)
    finess = "990000101"
    people = {"operator": None, "hospital": finess, "radiologist": None, "researcher": None}
    with story.database.begin(DatabaseRole.WORKER) as connection:
        for name, place in people.items():
            story.tokens[name] = accounts.add(connection, f"demo-{name}", Account(name), until, finess=place, by=ACTOR)
        projects.add(
            connection, "lung-ai", title="Earlier signs of lung cancer on chest CT",
            purpose="research", public_interest="earlier diagnosis of lung cancer",
            legal_basis="MR-004", by=ACTOR,
        )  # fmt: skip
        story.tokens["permit"] = projects.grant(
            connection, "lung-ai", valid_from=date.today(), valid_until=date.today() + timedelta(days=30),  # noqa: DTZ011
            holders=["demo-researcher"], modalities=["CT", "DX", "MR"],
            domains=["diagnosis", "act", "drug", "ald", "stay", "death"], by=ACTOR,
        )  # fmt: skip
    with story.database.begin(DatabaseRole.GATEWAY) as connection:
        for name in CONSOLE_ROLES:
            story.tokens[f"console-{name}"] = operators.add(connection, f"demo-{name}", name, until, by=ACTOR)
    story.tell(accounts=len(people), permits=1)


def _synthesise(story: Demonstration, folder: Path, persons: int, seed: int) -> None:
    story.step("A small SNDS and the matching hospital studies are synthesised from the same events")
    made = synthesize(folder, persons, seed)
    story.truth = json.loads((folder / "truth.json").read_text("utf-8"))
    modalities = sorted({series["modality"] for study in story.truth["studies"] for series in study["series"]})
    story.tell(
        persons=made.persons, patients=made.patients, studies=made.studies, instances=made.instances,
        modalities=", ".join(modalities), events=made.events,
    )  # fmt: skip
    with story.database.begin(DatabaseRole.GATEWAY) as connection:
        for hospital in story.truth["hospitals"]:
            senders.add(
                connection,
                Sender(hospital["ae_title"], "127.0.0.1", hospital["name"], hospital["finess"], profile="snds-demo"),
            )


def _push(story: Demonstration, folder: Path) -> None:
    story.step("Three hospitals push their studies by C-STORE")
    for hospital in story.truth["hospitals"]:
        files = sorted((folder / hospital["folder"]).rglob("*.dcm"))
        began = time.monotonic()
        with ThreadPoolExecutor(ASSOCIATIONS) as pool:
            shares = [files[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]
            answers = pool.map(partial(_send, story.settings, hospital["ae_title"]), shares)
        acknowledged = sum(answers)
        if acknowledged != len(files):
            raise HubError("an instance was not acknowledged", code="demo")
        story.tell(**{hospital["ae_title"]: f"{acknowledged} acknowledged in {time.monotonic() - began:.1f} s"})


def _send(settings: Settings, ae_title: str, files: Sequence[Path]) -> int:
    """Send as a PACS does: what an association that broke left unanswered goes out again on another."""
    waiting = list(files)
    for _ in range(_TRIES):
        if waiting:
            waiting = _send_once(settings, ae_title, waiting)
    return len(files) - len(waiting)


def _send_once(settings: Settings, ae_title: str, files: Sequence[Path]) -> list[Path]:
    """One association; the files that were not acknowledged on it."""
    metas = {part10.split(file.read_bytes())[0] for file in files}
    contexts = [build_context(uid, syntax) for uid, syntax in {(m.sop_class_uid, m.transfer_syntax_uid) for m in metas}]
    ae = AE(ae_title)
    # pynetdicom 3.0.4 now and then gives an answer to its own idle loop, and the sender waits for it in vain.
    ae.dimse_timeout = 10
    association = ae.associate("127.0.0.1", settings.dicom_port, contexts=contexts, ae_title=settings.ae_title)
    unanswered = [
        file for file in files if not association.is_established or association.send_c_store(file).get("Status") != 0
    ]
    if association.is_established:
        association.release()
    return unanswered


def _settle(story: Demonstration) -> None:
    story.step("Complete studies are de-identified, archived and indexed; doubt is quarantined")

    def settled() -> bool:
        with story.database.begin(DatabaseRole.WORKER) as connection:
            return completeness.unprocessed(connection) == 0

    story.wait(settled, "every study is processed")
    with story.database.begin(DatabaseRole.WORKER) as connection:
        instances = sorted(journal.counts(connection).items(), key=lambda counted: counted[0][0])
        series = totals.series_by_modality(connection)
    story.tell(**{f"{state.lower()} {reason or ''}".strip(): number for (state, reason), number in instances})
    story.tell(series_archived=", ".join(f"{number} {modality}" for modality, number in series.items()))


def _join(story: Demonstration, home: Path) -> None:
    story.step("The SNDS is loaded, and patients are linked through the third party")
    loaded = loading.load(home / "synthetic" / "snds", story.settings.tables)
    story.tell(persons=loaded.persons, events=sum(loaded.events.values()))
    third_party = ThirdParty.connect(story.settings)
    report = round_trip(story.settings, story.database, third_party, home / "synthetic" / "operator")
    with story.database.begin(DatabaseRole.WORKER) as connection:
        found = indirect.link(connection, story.settings.tables, codes=ProcedureCodes({}), actor="demo")
    linkable = len({patient["person"] for patient in story.truth["patients"] if patient["linkable"]})
    story.tell(with_qualified_ins=linkable, sent=report["subjects"], linked=report["linked"])
    story.tell(id_acc_destroyed=report["id_acc_destroyed"], left_to_people=sum(found.proposed.values()))


def _cohort(story: Demonstration) -> str:
    story.step("A start-up counts and freezes a cohort: chest CT before a first lung cancer")
    definition = _worked(_COHORT)
    with story.api("researcher") as api:
        counted = _ok(api.post("/cohorts/count", json={"definition": definition, "permit": story.tokens["permit"]}))
        for row in counted["flowchart"]:
            story.console.print(f"   {row['step']:<56} {row['subjects']:>8}", highlight=False)
        frozen = _ok(api.post("/cohorts", json={"definition": definition, "permit": story.tokens["permit"]}))
    story.tell(cohort=frozen["id"][:16])
    return str(frozen["id"])


def _review_gate(story: Demonstration) -> None:
    story.step("What waits for a radiologist cannot be released")
    with story.api("radiologist") as api:
        waiting = _ok(api.get("/reviews"))
    story.tell(series_waiting_for_review=len(waiting))
    with story.api("researcher") as api:
        body = {"definition": _worked(_REVIEWED_COHORT), "permit": story.tokens["permit"]}
        frozen = _ok(api.post("/cohorts", json=body))
        refused = api.post("/releases", json={"cohort": frozen["id"], "permit": story.tokens["permit"]})
    if refused.is_success:
        raise HubError("an unreviewed series was released", code="demo")
    story.tell(release_of_chest_x_rays=f"refused: {refused.json()['code']}")


def _release(story: Demonstration, cohort: str, home: Path) -> None:
    story.step("The release is prepared, downloaded and verified")
    with story.api("researcher") as api:
        asked = _ok(api.post("/releases", json={"cohort": cohort, "permit": story.tokens["permit"]}))
    destination = home / "downloaded"
    got = download(
        story.settings.hub_url, story.tokens["researcher"], asked["id"], destination, wait_seconds=_PATIENCE_SECONDS
    )
    checked = verify(destination)
    if not checked.ok:
        raise HubError("the download does not verify", code="demo")
    story.tell(release=asked["id"][:16], files=got.files, megabytes=f"{got.bytes / 1e6:.1f}", verified="every SHA-256")


def _trail(story: Demonstration) -> None:
    story.step("The audit trail holds")
    with story.database.begin(DatabaseRole.WEB) as connection:
        result = trail.verify(connection)
    if isinstance(result, trail.BrokenChain):
        raise HubError("the audit trail is broken", code="demo")
    story.tell(entries=result)


def _pages(story: Demonstration) -> None:
    story.step("Open the pages")
    for name in ("operator", "hospital", "radiologist", "researcher"):
        story.console.print(f"   {name:<12} {story.settings.hub_url}/login#token={story.tokens[name]}", highlight=False)
    for name in CONSOLE_ROLES:
        link = f"{story.settings.console_url}/login#token={story.tokens[f'console-{name}']}"
        story.console.print(f"   {name:<12} {link}  (console, sees identities)", highlight=False)


def _worked(name: str) -> str:
    """A worked cohort, from the wheel or from the checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "cohorts" / "worked", package.parent / "docs" / "cohorts"):
        if (folder / name).exists():
            return (folder / name).read_text("utf-8")
    raise HubError("the worked cohorts are missing", code="demo", hint="install the hub again")


def _ok(response: httpx.Response) -> Any:
    if not response.is_success:
        raise HubError(
            "the hub refused a step of the demo", code=str(response.json().get("code", response.status_code))
        )
    return response.json()
