"""`imaging-hub import`: receive a folder of DICOM files, such as a CD or an old archive, as if a sender had sent it."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from imaging_hub.cli.options import Config, Json

if TYPE_CHECKING:
    from imaging_hub.retrieval.folder_import import ImportedFile

app = typer.Typer()

WAITING = (
    "The import waits: the spool is near its quota, or the disk has less free than spool_reserve_bytes."
    " It goes on by itself; imaging-hub doctor says which, and what to do."
)


@app.command()
def take(
    sender: Annotated[str, typer.Argument(help="AE title of the known sender whose files these are.")],
    folder: Annotated[Path, typer.Argument(exists=True, help="A DICOM file, or a folder of them.")],
    *,
    report: Annotated[Path | None, typer.Option(help="CSV: outcome and reason of each file.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Import a folder; files imported before are duplicates. Status 1 when a file was refused."""
    from imaging_hub import log
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.gateway import senders
    from imaging_hub.gateway.reception import Reception
    from imaging_hub.retrieval import folder_import
    from imaging_hub.settings import load

    settings = load(config)
    log.configure("error")
    database = open_database(settings)
    with database.begin(DatabaseRole.GATEWAY) as connection:
        known_sender = senders.find_by_title(connection, sender)
    files = folder_import.list_files(folder)
    console = Console(stderr=True)
    with Reception(settings, database).running() as reception:
        imported = list(
            track(
                folder_import.import_files(
                    reception,
                    known_sender,
                    files,
                    settings.dataset_max_bytes,
                    on_wait=lambda: console.print(WAITING, soft_wrap=True),
                ),
                "Importing",
                total=len(files),
                console=console,
                disable=not console.is_terminal,
            )
        )
    if report is not None:
        _write_report(report, folder, imported)
    outcomes = Counter(file.received.situation.value for file in imported)
    reasons = Counter(file.received.reason for file in imported if file.received.reason)
    if as_json:
        typer.echo(json.dumps({"files": len(files), "outcomes": outcomes, "reasons": reasons}))
    else:
        for kind in (outcomes, reasons):
            for name, count in sorted(kind.items(), key=lambda pair: -pair[1]):
                typer.echo(f"{count:>{8 if kind is outcomes else 16}} {name}")
    if sum(outcomes[name] for name in ("stored", "duplicate", "quarantined")) < len(files):
        raise typer.Exit(1)


def _write_report(report: Path, folder: Path, imported: Iterable[ImportedFile]) -> None:
    """Write the report, mode 0600, since file names may contain names of people."""
    from imaging_hub.spreadsheet import escape_formula

    with os.fdopen(os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="") as output:
        rows = csv.writer(output)
        rows.writerow(("file", "outcome", "reason"))
        for imported_file in imported:
            name = str(imported_file.path.relative_to(folder)) if folder.is_dir() else imported_file.path.name
            rows.writerow(
                (escape_formula(name), imported_file.received.situation.value, imported_file.received.reason or "")
            )
