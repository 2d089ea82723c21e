"""Steps of `imaging-hub demo`, in order."""

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
from imaging_hub.cli.snds import link_with_simulated_operator
from imaging_hub.client.download import download
from imaging_hub.client.verification import verify
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10
from imaging_hub.errors import HubError
from imaging_hub.gateway import console_operators, senders
from imaging_hub.gateway.senders import Sender
from imaging_hub.intake import completeness, journal
from imaging_hub.permits import accounts, projects
from imaging_hub.permits.policy import AccountRole
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.snds import indirect_linkage, loading
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.synthetic.generator import synthesize

ACTOR = "demo"
ASSOCIATIONS = 4
_TRIES = 3
_TIMEOUT_SECONDS = 300.0
_COHORT = "lung-ct-before-c34.yaml"
_REVIEWED_COHORT = "copd-chest-x-ray.yaml"


@dataclass
class Demonstration:
    """A running demo: its hub, the truth behind the synthetic data, and tokens by account."""

    settings: Settings
    database: Database
    console: Console
    truth: Mapping[str, Any] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    step_number: int = 0

    def step(self, title: str) -> None:
        """Print the title of the next step."""
        self.step_number += 1
        self.console.print(f"\n[bold]{self.step_number}. {title}[/bold]")

    def report(self, **facts: object) -> None:
        """Print what a step did, as names and counts."""
        for name, value in facts.items():
            self.console.print(f"   {name.replace('_', ' '):<34} {value}", highlight=False)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done` returns True. Raises `HubError` naming `what` after the timeout."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise HubError("waited in vain", code="demo", hint=f"{what}: see what the processes printed")
            time.sleep(0.2)

    def api(self, who: str) -> httpx.Client:
        """Return a client of the hub's API for one of the accounts."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.Client(base_url=f"{self.settings.hub_url}/api/v1", headers=headers, timeout=60)


def run_steps(demo: Demonstration, home: Path, persons: int, seed: int, began: float) -> None:
    """Run all steps; `began` is the monotonic time in seconds at which the command started."""
    _wait_for_pages(demo, began)
    _add_accounts(demo)
    _synthesise(demo, home / "synthetic", persons, seed)
    _send_studies(demo, home / "synthetic")
    _wait_for_archive(demo)
    _link(demo, home)
    cohort = _freeze_cohort(demo)
    _try_unreviewed_release(demo)
    _download_release(demo, cohort, home)
    _verify_trail(demo)
    _print_links(demo)


def _wait_for_pages(demo: Demonstration, began: float) -> None:
    demo.step("The hub starts")

    def pages_answer() -> bool:
        try:
            return (
                httpx.get(f"{demo.settings.hub_url}/readyz").is_success
                and httpx.get(f"{demo.settings.console_url}/healthz").is_success
            )
        except httpx.HTTPError:
            return False

    demo.wait(pages_answer, "the pages answer")
    demo.report(seconds_to_first_page=f"{time.monotonic() - began:.1f}")


def _add_accounts(demo: Demonstration) -> None:
    demo.step("People get their accounts, and a project its permit")
    until = datetime.now(UTC) + timedelta(days=30)
    finess = "990000101"
    people = {"operator": None, "hospital": finess, "radiologist": None, "researcher": None}
    with demo.database.begin(DatabaseRole.WORKER) as connection:
        for name, place in people.items():
            demo.tokens[name] = accounts.add(
                connection, f"demo-{name}", AccountRole(name), until, finess=place, by=ACTOR
            )
        projects.add(
            connection, "lung-ai", title="Earlier signs of lung cancer on chest CT",
            purpose="research", public_interest="earlier diagnosis of lung cancer",
            legal_basis="MR-004", by=ACTOR,
        )  # fmt: skip
        demo.tokens["permit"] = projects.grant(
            connection, "lung-ai", valid_from=date.today(), valid_until=date.today() + timedelta(days=30),  # noqa: DTZ011
            holders=["demo-researcher"], modalities=["CT", "DX", "MR"],
            domains=["diagnosis", "act", "drug", "ald", "stay", "death"], by=ACTOR,
        )  # fmt: skip
    with demo.database.begin(DatabaseRole.GATEWAY) as connection:
        for name in console_operators.OperatorRole:
            demo.tokens[f"console-{name}"] = console_operators.add(connection, f"demo-{name}", name, until, by=ACTOR)
    demo.report(accounts=len(people), permits=1)


def _synthesise(demo: Demonstration, folder: Path, persons: int, seed: int) -> None:
    demo.step("A small SNDS and the matching hospital studies are synthesised from the same events")
    written = synthesize(folder, persons, seed)
    demo.truth = json.loads((folder / "truth.json").read_text("utf-8"))
    modalities = sorted({series["modality"] for study in demo.truth["studies"] for series in study["series"]})
    demo.report(
        persons=written.persons, patients=written.patients, studies=written.studies, instances=written.instances,
        modalities=", ".join(modalities), events=written.events,
    )  # fmt: skip
    with demo.database.begin(DatabaseRole.GATEWAY) as connection:
        for hospital in demo.truth["hospitals"]:
            senders.add(
                connection,
                Sender(hospital["ae_title"], "127.0.0.1", hospital["name"], hospital["finess"], profile="snds-demo"),
            )


def _send_studies(demo: Demonstration, folder: Path) -> None:
    demo.step("Three hospitals push their studies by C-STORE")
    for hospital in demo.truth["hospitals"]:
        files = sorted((folder / hospital["folder"]).rglob("*.dcm"))
        began = time.monotonic()
        with ThreadPoolExecutor(ASSOCIATIONS) as pool:
            shares = [files[start::ASSOCIATIONS] for start in range(ASSOCIATIONS)]
            answers = pool.map(partial(_send, demo.settings, hospital["ae_title"]), shares)
        acknowledged = sum(answers)
        if acknowledged != len(files):
            raise HubError("an instance was not acknowledged", code="demo")
        demo.report(**{hospital["ae_title"]: f"{acknowledged} acknowledged in {time.monotonic() - began:.1f} s"})


def _send(settings: Settings, ae_title: str, files: Sequence[Path]) -> int:
    """Send files as a PACS does, again on a new association after a broken one; return how many were acknowledged."""
    waiting = list(files)
    for _ in range(_TRIES):
        if waiting:
            waiting = _send_once(settings, ae_title, waiting)
    return len(files) - len(waiting)


def _send_once(settings: Settings, ae_title: str, files: Sequence[Path]) -> list[Path]:
    """Send files on one association; return those that were not acknowledged."""
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


def _wait_for_archive(demo: Demonstration) -> None:
    demo.step("Complete studies are de-identified, archived and indexed; doubt is quarantined")

    def settled() -> bool:
        with demo.database.begin(DatabaseRole.WORKER) as connection:
            return completeness.count_unprocessed(connection) == 0

    demo.wait(settled, "every study is processed")
    with demo.database.begin(DatabaseRole.WORKER) as connection:
        instances = sorted(journal.count_by_state(connection).items(), key=lambda counted: counted[0][0])
        series = totals.count_series_by_modality(connection)
    demo.report(**{f"{state.lower()} {reason or ''}".strip(): number for (state, reason), number in instances})
    demo.report(series_archived=", ".join(f"{number} {modality}" for modality, number in series.items()))


def _link(demo: Demonstration, home: Path) -> None:
    demo.step("The SNDS is loaded, and patients are linked through the third party")
    loaded = loading.load(home / "synthetic" / "snds", demo.settings.tables)
    demo.report(persons=loaded.persons, events=sum(loaded.events.values()))
    with ThirdParty.connect(demo.settings) as third_party:
        operator = home / "synthetic" / "operator"
        report = link_with_simulated_operator(demo.settings, demo.database, third_party, operator)
    with demo.database.begin(DatabaseRole.WORKER) as connection:
        by_exams = indirect_linkage.link(connection, demo.settings.tables, codes=ProcedureCodes({}), actor="demo")
    linkable = len({patient["person"] for patient in demo.truth["patients"] if patient["linkable"]})
    demo.report(with_qualified_ins=linkable, sent=report["subjects"], linked=report["linked"])
    demo.report(id_acc_destroyed=report["id_acc_destroyed"], left_to_people=sum(by_exams.proposed.values()))


def _freeze_cohort(demo: Demonstration) -> str:
    demo.step("A start-up counts and freezes a cohort: chest CT before a first lung cancer")
    definition = _worked_cohort(_COHORT)
    with demo.api("researcher") as api:
        counted = _json(api.post("/cohorts/count", json={"definition": definition, "permit": demo.tokens["permit"]}))
        for row in counted["flowchart"]:
            demo.console.print(f"   {row['step']:<56} {row['subjects']:>8}", highlight=False)
        frozen = _json(api.post("/cohorts", json={"definition": definition, "permit": demo.tokens["permit"]}))
    demo.report(cohort=frozen["id"])
    return str(frozen["id"])


def _try_unreviewed_release(demo: Demonstration) -> None:
    demo.step("What waits for a radiologist cannot be released")
    with demo.api("radiologist") as api:
        waiting = _json(api.get("/reviews"))
    demo.report(series_waiting_for_review=len(waiting))
    with demo.api("researcher") as api:
        body = {"definition": _worked_cohort(_REVIEWED_COHORT), "permit": demo.tokens["permit"]}
        frozen = _json(api.post("/cohorts", json=body))
        refused = api.post("/releases", json={"cohort": frozen["id"], "permit": demo.tokens["permit"]})
    if refused.is_success:
        raise HubError("an unreviewed series was released", code="demo")
    demo.report(release_of_chest_x_rays=f"refused: {refused.json()['code']}")


def _download_release(demo: Demonstration, cohort: str, home: Path) -> None:
    demo.step("The release is prepared, downloaded and verified")
    with demo.api("researcher") as api:
        requested = _json(api.post("/releases", json={"cohort": cohort, "permit": demo.tokens["permit"]}))
    destination = home / "downloaded"
    summary = download(
        demo.settings.hub_url, demo.tokens["researcher"], requested["id"], destination, wait_seconds=_TIMEOUT_SECONDS
    )
    verification = verify(destination)
    if not verification.ok:
        raise HubError("the download does not verify", code="demo")
    demo.report(
        release=requested["id"],
        files=summary.files,
        megabytes=f"{summary.bytes / 1e6:.1f}",
        verified="every SHA-256",
    )


def _verify_trail(demo: Demonstration) -> None:
    demo.step("The audit trail holds")
    with demo.database.begin(DatabaseRole.WEB) as connection:
        result = trail.verify(connection)
    if isinstance(result, trail.BrokenChain):
        raise HubError("the audit trail is broken", code="demo")
    demo.report(entries=result)


def _print_links(demo: Demonstration) -> None:
    demo.step("Open the pages")
    for name in ("operator", "hospital", "radiologist", "researcher"):
        demo.console.print(f"   {name:<12} {demo.settings.hub_url}/login#token={demo.tokens[name]}", highlight=False)
    for name in console_operators.OperatorRole:
        link = f"{demo.settings.console_url}/login#token={demo.tokens[f'console-{name}']}"
        demo.console.print(f"   {name:<12} {link}  (console, sees identities)", highlight=False)


def _worked_cohort(name: str) -> str:
    """Return the definition of a worked cohort, from the wheel or from the checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "cohorts" / "worked", package.parent / "docs" / "cohorts"):
        if (folder / name).exists():
            return (folder / name).read_text("utf-8")
    raise HubError("the worked cohorts are missing", code="demo", hint="install the hub again")


def _json(response: httpx.Response) -> Any:
    if not response.is_success:
        raise HubError(
            "the hub refused a step of the demo", code=str(response.json().get("code", response.status_code))
        )
    return response.json()
