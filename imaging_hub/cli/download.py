"""`imaging-hub download` and `imaging-hub verify`, the commands of a plain install."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from imaging_hub.cli.options import Json
from imaging_hub.client import DownloadSummary, download, verify
from imaging_hub.client.manifest import read
from imaging_hub.client.transfer import AdvanceProgress
from imaging_hub.errors import TransferError

app = typer.Typer()
verify_app = typer.Typer()

_console = Console(stderr=True)


@app.command("download")
def download_release(
    release: Annotated[str, typer.Argument(help="Name of the release, or the address of its page.")],
    dest: Annotated[Path, typer.Argument(help="Folder to download to; a download that stopped goes on.")],
    *,
    url: Annotated[str | None, typer.Option(help="Address of the hub, unless RELEASE is an address.")] = None,
    token: Annotated[str | None, typer.Option(help="Your token; others can see it in the process list.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File that holds your token; `-` is standard input.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Files at a time.")] = 4,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a release in preparation.")] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how much there is, fetch nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Download a release; every file is verified by its SHA-256 as it arrives."""
    bearer = token or _read_token(token_file)
    with _progress_bar(as_json or dry_run) as progress:

        def begin(summary: DownloadSummary) -> AdvanceProgress:
            task = progress.add_task(f"{summary.files} files", total=summary.bytes)
            return lambda gained: progress.advance(task, gained)

        summary = download(
            url, bearer, release, dest, parallel=parallel, dry_run=dry_run, wait_seconds=wait, begin=begin
        )
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
    elif dry_run:
        typer.echo(
            f"{summary.files} files, {decimal(summary.bytes)}, of which {decimal(summary.present_bytes)} are here;"
            " the disk has room. Nothing was fetched."
        )
    else:
        typer.echo(f"{summary.files} files, {decimal(summary.bytes)}, each verified, in {summary.folder}")


@verify_app.command("verify")
def verify_release(
    dest: Annotated[Path, typer.Argument(help="Folder of a downloaded release.")],
    *,
    as_json: Json = False,
) -> None:
    """Hash every file again; status 1 when one is missing, altered or added, each named."""
    with _progress_bar(as_json) as progress:
        task = progress.add_task("verify", total=sum(item.size for item in read(dest)))
        verification = verify(dest, lambda hashed: progress.advance(task, hashed))
    if as_json:
        typer.echo(json.dumps({"ok": verification.ok, **asdict(verification)}))
    else:
        for fault, names in (
            ("missing", verification.missing),
            ("altered", verification.altered),
            ("extra", verification.extra),
        ):
            for name in names:
                typer.echo(f"{fault}: {name}")
        typer.echo(f"{verification.files} files, " + ("all as released" if verification.ok else "not as released"))
    if not verification.ok:
        raise typer.Exit(1)


def _read_token(file: Path | None) -> str:
    if file is None and sys.stdin.isatty():
        return str(typer.prompt("Token", hide_input=True, err=True))
    if file is None:
        raise TransferError("a download needs a token", code="not-authenticated", hint="add --token-file FILE")
    try:
        content = sys.stdin.readline() if str(file) == "-" else file.read_text("utf-8")
    except OSError:
        raise TransferError("the token file cannot be read", code="not-authenticated") from None
    return content.strip()


def _progress_bar(quiet: bool) -> Progress:
    """Return a progress bar, shown on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=_console,
        disable=quiet or not _console.is_terminal,
    )
