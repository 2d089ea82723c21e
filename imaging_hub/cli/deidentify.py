"""`imaging-hub deidentify`: de-identify a folder of DICOM files, without a hub."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imaging_hub.cli.fault import print_fault
from imaging_hub.cli.options import Json
from imaging_hub.errors import HubError, KeyringError, StorageUnavailable

if TYPE_CHECKING:
    from imaging_hub.deidentification.folder import FileOutcome, FolderProgress
    from imaging_hub.deidentification.profile.profile import Profile

app = typer.Typer()


@app.command()
def deidentify(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A DICOM file, or a folder of them.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder for the output; outside SRC.")],
    *,
    profile: Annotated[str, typer.Option("--profile", help="Name of a profile, or a YAML file.")],
    key_file: Annotated[Path, typer.Option("--key-file", help="64 hexadecimal characters, mode 0600.")],
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes; default: one a core.")] = os.cpu_count() or 1,
    report: Annotated[Path | None, typer.Option("--report", help="JSON: state, reason, rules of each file.")] = None,
    as_json: Json = False,
) -> None:
    """De-identify DICOM files; files that cannot be proven clean are left out and named in the report.

    Pseudonyms, dates and UIDs depend on the key: the same key gives the same ones again, and the outputs of two keys
    cannot be joined.
    """
    from imaging_hub.deidentification import folder
    from imaging_hub.deidentification.profile.profile import load

    errors = Console(stderr=True)
    try:
        _check_paths(source, destination)
        loaded = load(profile)
        key = read_key(key_file)
    except HubError as fault:
        print_fault(fault)
        raise typer.Exit(2) from None
    files = folder.files_of(source)
    try:
        with _progress_bar(errors, len(files)) as progress:
            outcomes = folder.deidentify(files, destination, loaded, key, jobs=jobs, progress=progress)
        result = _summary(loaded, source, outcomes)
        if report is not None:
            report.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    except OSError:
        print_fault(
            StorageUnavailable(
                "the output could not be written",
                hint="check the free space and the permissions of DST and the report",
            )
        )
        raise typer.Exit(1) from None
    except HubError as fault:
        print_fault(fault)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({name: value for name, value in result.items() if name != "files"}))
    else:
        _print_summary(Console(), result)


def read_key(path: Path) -> bytes:
    """Read the 256-bit key of a key file. Raises `KeyringError` when others can read the file or it has no key."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise KeyringError("the key file cannot be read", hint="give a file that `openssl rand -hex 32` made") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyringError("the key file can be read by others", hint="chmod 600 the key file")
    if len(text) != 64 or not all(character in "0123456789abcdefABCDEF" for character in text):
        raise KeyringError("the key is not 64 hexadecimal characters", hint="make one with `openssl rand -hex 32`")
    return bytes.fromhex(text)


def _check_paths(source: Path, destination: Path) -> None:
    if not source.exists():
        raise HubError("there is no such source", code="wrong-call", hint="check SRC")
    if destination.exists() and not destination.is_dir():
        raise HubError("the destination is a file", code="wrong-call", hint="give a folder for DST")
    if source.is_dir() and destination.resolve().is_relative_to(source.resolve()):
        raise HubError("the destination lies inside the source", code="wrong-call", hint="give a folder outside SRC")


def _summary(profile: Profile, source: Path, outcomes: list[FileOutcome]) -> dict[str, object]:
    return {
        "profile": profile.name,
        "profile_digest": profile.digest,
        "states": dict(Counter(outcome.state for outcome in outcomes)),
        "reasons": dict(Counter(outcome.reason for outcome in outcomes if outcome.reason)),
        "faults": dict(Counter(outcome.fault for outcome in outcomes if outcome.fault)),
        "needs_review": sum(outcome.needs_review for outcome in outcomes),
        "files": [outcome.as_report(source) for outcome in outcomes],
    }


@contextmanager
def _progress_bar(console: Console, files: int) -> Iterator[FolderProgress]:
    """Show a progress bar, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        steps = {
            "read": bar.add_task("Reading patients", total=files),
            "clean": bar.add_task("De-identifying", total=files),
        }
        yield lambda step, done: bar.advance(steps[step], done)


def _print_summary(console: Console, result: dict[str, object]) -> None:
    states, reasons, faults = result["states"], result["reasons"], result["faults"]
    if not isinstance(states, dict) or not isinstance(reasons, dict) or not isinstance(faults, dict):
        return
    for state, count in sorted(states.items()):
        console.print(f"{count:8} {state}", highlight=False)
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        console.print(f"{count:16} {reason}", highlight=False)
    for fault, count in sorted(faults.items(), key=lambda pair: -pair[1]):
        console.print(f"{count:24} {fault}", highlight=False)
