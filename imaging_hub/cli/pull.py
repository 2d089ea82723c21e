"""`imaging-hub pull`: retrieve listed studies from a hospital's PACS, or stable studies from its Orthanc."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging_hub.errors import HubError

if TYPE_CHECKING:
    from imaging_hub.database import DatabaseLogin
    from imaging_hub.gateway.reception import Reception
    from imaging_hub.gateway.senders import Sender
    from imaging_hub.retrieval.orthanc_source import OrthancSource
    from imaging_hub.retrieval.progress import RetrievedLine
    from imaging_hub.retrieval.study_list import StudyListRetrieval
    from imaging_hub.settings import Settings

app = typer.Typer()

FOLLOW_SECONDS = 5.0

_List = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A list, one value a line.")]


@app.command()
def pull(
    sender: Annotated[str, typer.Argument(help="AE title of the PACS, a known sender.")],
    *,
    accessions: _List = None,
    studies: _List = None,
    patients: _List = None,
    orthanc: Annotated[str | None, typer.Option(metavar="URL", help="The sender's Orthanc, instead of a list.")] = None,
    label: Annotated[str | None, typer.Option(help="Only its studies with this label (Orthanc 1.12).")] = None,
    follow: Annotated[bool, typer.Option(help="Go on following the Orthanc until stopped.")] = False,
    get: Annotated[
        bool, typer.Option("--get", help="C-GET on one association, instead of C-MOVE to our port.")
    ] = False,
    per_hour: Annotated[int | None, typer.Option(min=1, help="Lines asked for in an hour at most.")] = None,
    window: Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="Ask only at these hours.")] = None,
    again: Annotated[bool, typer.Option(help="Ask for lines that are complete, too.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="TOML settings file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each line.")] = False,
) -> None:
    """Retrieve the studies of a list, from where it was interrupted. Status 1 unless every line is complete."""
    from imaging_hub import log
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.gateway import senders
    from imaging_hub.gateway.reception import Reception
    from imaging_hub.retrieval import study_list
    from imaging_hub.retrieval.orthanc_source import OrthancFeed, OrthancSource
    from imaging_hub.retrieval.query_retrieve_scu import RetrieveLevel
    from imaging_hub.settings import load

    lists = {"accession": accessions, "study": studies, "patient": patients}
    given = {name: path for name, path in lists.items() if path is not None}
    if len(given) + (orthanc is not None) != 1:
        raise typer.BadParameter("give one of --accessions, --studies, --patients, --orthanc")
    settings = load(config)
    log.configure("error")
    database = open_database(settings)
    login = database.login(DatabaseRole.GATEWAY)
    with login.begin() as connection:
        known_sender = senders.find_by_title(connection, sender)
    if orthanc is not None:
        secret = settings.orthanc_source_password
        feed = OrthancFeed(orthanc, settings.orthanc_source_user, secret.get_secret_value() if secret else None, label)
        with Reception(settings, database).running() as reception:
            source = OrthancSource(feed, login, reception, known_sender, dataset_max_bytes=settings.dataset_max_bytes)
            complete = _print_transfers(source, follow=follow, as_json=as_json)
    else:
        ((level, path),) = given.items()
        pace = study_list.RetrievalPace(per_hour, study_list.parse_window(window) if window else None)
        wanted = study_list.parse_list(path.read_text("utf-8"))
        with Reception(settings, database).running() as reception:
            retrieval = _retrieval(settings, login, known_sender, reception, get=get)
            complete = _print_lines(retrieval.run(RetrieveLevel(level), wanted, pace, again=again), as_json=as_json)
    if not complete:
        raise typer.Exit(1)


def _retrieval(
    settings: Settings, login: DatabaseLogin, sender: Sender, reception: Reception, *, get: bool
) -> StudyListRetrieval:
    """Create the retrieval from the sender's PACS."""
    from imaging_hub.retrieval.query_retrieve_scu import QueryRetrieveScu
    from imaging_hub.retrieval.study_list import StudyListRetrieval

    if sender.query is None:
        raise HubError(
            "it is not known where this PACS can be asked",
            code="no-query-address",
            hint="add the sender again with --query HOST:PORT",
        )
    pacs = QueryRetrieveScu(sender, sender.query, settings.ae_title)
    fetch = (lambda study: pacs.get(study, reception)) if get else pacs.move
    return StudyListRetrieval(login, sender, pacs.find, fetch)


def _print_lines(retrieved: Iterable[RetrievedLine], *, as_json: bool) -> bool:
    """Print each line with its outcome, and the counts; return whether all are complete."""
    from imaging_hub.retrieval.progress import LineOutcome

    outcomes: Counter[str] = Counter()
    for line in retrieved:
        outcomes[line.outcome.value] += 1
        counts = f"{line.received} of {line.announced} instances" if line.studies else ""
        plain = f"{line.value}  {line.outcome.value}  {line.reason or counts}".rstrip()
        typer.echo(json.dumps(asdict(line)) if as_json else plain)
    summary = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    typer.echo(summary or "nothing left to do", err=True)
    return set(outcomes) <= {LineOutcome.COMPLETE.value}


def _print_transfers(source: OrthancSource, *, follow: bool, as_json: bool) -> bool:
    """Print each transferred study, once or until stopped; return whether no instance was refused."""
    refused = 0
    while True:
        try:
            for study in source.follow():
                refused += study.refused
                counts = f"{study.received} of {study.instances} instances"
                typer.echo(json.dumps(asdict(study)) if as_json else counts)
        except HubError as fault:
            if not follow:
                raise
            typer.echo(f"{fault} [{fault.code}]; trying again", err=True)
        if not follow:
            return not refused
        time.sleep(FOLLOW_SECONDS)
