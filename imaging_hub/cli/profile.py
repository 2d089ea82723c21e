"""`imaging-hub profile`: list, check, explain, compare and try de-identification profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from imaging_hub.cli.fault import print_fault
from imaging_hub.cli.options import Json
from imaging_hub.errors import HubError

if TYPE_CHECKING:
    from imaging_hub.deidentification.profile.profile import Profile
    from imaging_hub.dicom.elements import Dataset

app = typer.Typer(no_args_is_help=True)
_KEPT_VALUES_SHOWN = 40

Folder = Annotated[Path | None, typer.Option("--profiles", help="Folder of further profiles.")]


@app.callback()
def profile() -> None:
    """De-identification profiles."""


@app.command("list")
def list_profiles(*, as_json: Json = False) -> None:
    """List the profiles that come with the hub."""
    from imaging_hub.deidentification.profile.profile import load, shipped

    titles = {name: load(name).title for name in shipped()}
    if as_json:
        typer.echo(json.dumps(titles))
        return
    for name, title in titles.items():
        typer.echo(f"{name:24} {title}")


@app.command()
def show(name: str, *, profiles: Folder = None, as_json: Json = False) -> None:
    """Print a profile together with all that it extends."""
    loaded = _load(name, profiles)
    shown = _as_json(loaded)
    if as_json:
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo(f"{loaded.title}  ({loaded.name})\n{loaded.description}\n")
    typer.echo("extends   " + " > ".join(loaded.lineage))
    for key in ("options", "suspect", "trust", "documents", "review"):
        typer.echo(f"{key:9} " + (", ".join(shown[key]) or "none"))
    typer.echo(f"digest    {loaded.digest}")
    for rule in shown["rules"]:
        typer.echo(f"rule      {rule}")


@app.command()
def check(name: str, *, profiles: Folder = None) -> None:
    """Check a profile; every error is shown with file, line and remedy, and gives status 1."""
    from imaging_hub.deidentification.profile_check import concerns

    loaded = _load(name, profiles)
    concerns_found = concerns(loaded)
    for concern in concerns_found:
        typer.echo(f"{concern.where}: {concern.message}\n  What to do: {concern.remedy}")
    errors = sum(concern.is_error for concern in concerns_found)
    counts = f"{len(loaded.rules)} rules, {len(loaded.options)} options"
    typer.echo(f"{loaded.name}: {counts}, {errors or 'no'} error{'s' * (errors > 1)}")
    raise typer.Exit(1 if errors else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a profile, for editors and other programs."""
    from imaging_hub.deidentification.profile import profile as profiles

    typer.echo(json.dumps(profiles.schema(), indent=2))


@app.command()
def explain(
    attribute: str,
    *,
    name: Annotated[str, typer.Option("--profile", help="Name or YAML file.")] = "research-longitudinal",
    file: Annotated[Path | None, typer.Option("--for", help="Explain for this DICOM file.")] = None,
    profiles: Folder = None,
    as_json: Json = False,
) -> None:
    """Print the rule that decides on an attribute, given as keyword, tag or path through sequences."""
    from imaging_hub.deidentification import attribute_explanation
    from imaging_hub.deidentification.engine.plan import compile as compile_plan
    from imaging_hub.deidentification.profile import selector

    try:
        path = selector.attribute_path(attribute)
    except ValueError as fault:
        typer.echo(f"{fault}: try PatientComments, (0010,4000) or RequestAttributesSequence.StudyID", err=True)
        raise typer.Exit(2) from None
    plan = compile_plan(_load(name, profiles))
    if file is None:
        explained = attribute_explanation.explain(plan, *path)
    else:
        explained = attribute_explanation.explain_at(plan.scope_of(_read_dataset(file)), *path)
    if as_json:
        typer.echo(json.dumps(asdict(explained)))
        return
    typer.echo(f"{explained.attribute} ({explained.vr}, Type {explained.type}): {explained.becomes}")
    typer.echo(f"  because   {explained.rule} says {explained.action}")
    typer.echo(f"  otherwise {explained.otherwise}")


@app.command()
def diff(first: str, second: str, *, profiles: Folder = None, as_json: Json = False) -> None:
    """List the attributes that two profiles treat differently."""
    from imaging_hub.deidentification.attribute_explanation import differences

    pairs = differences(_load(first, profiles), _load(second, profiles))
    if as_json:
        typer.echo(json.dumps([{"first": asdict(before), "second": asdict(after)} for before, after in pairs]))
        return
    table = Table("Attribute", first, second)
    for before, after in pairs:
        table.add_row(before.attribute, before.becomes, after.becomes)
    Console().print(table)
    typer.echo(f"{len(pairs)} attributes differ")


@app.command("dry-run")
def dry_run(
    name: str,
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A DICOM file, or a folder of them.")],
    *,
    show_values: Annotated[bool, typer.Option("--show-values", help="Kept text as it stands, not its shape.")] = False,
    profiles: Folder = None,
    as_json: Json = False,
) -> None:
    """Try a profile on stored files without writing: print what would be changed, kept and quarantined."""
    from imaging_hub.deidentification.dry_run import rehearse
    from imaging_hub.deidentification.folder import files_of

    loaded = _load(name, profiles)
    with _exit_on_fault(1):
        rehearsal = rehearse(files_of(source), loaded, show_values=show_values)
    if as_json:
        counters = {name: dict(getattr(rehearsal, name)) for name in ("quarantined", "actions", "rules")}
        values = [asdict(value) for value in rehearsal.kept]
        typer.echo(json.dumps({"delivered": rehearsal.delivered, **counters, "kept": values}, ensure_ascii=False))
        return
    typer.echo(f"{rehearsal.delivered} would come out, {rehearsal.quarantined.total()} would be quarantined")
    for title, counts in (
        ("quarantined", rehearsal.quarantined),
        ("action", rehearsal.actions),
        ("rule", rehearsal.rules),
    ):
        for key, count in counts.most_common():
            typer.echo(f"{count:8} {title} {key}")
    table = Table("Attribute", "Kept", "Unknown words", "Patients")
    for kept in rehearsal.kept[:_KEPT_VALUES_SHOWN]:
        table.add_row(kept.attribute, kept.value, str(kept.unknown_words), str(kept.subjects))
    Console().print(table)


@app.command()
def edition(table: Path, *, as_json: Json = False) -> None:
    """List the rows in which a table of another edition of PS3.15 Annex E differs from the one in use."""
    from imaging_hub.deidentification import standard_edition as editions

    with _exit_on_fault(2):
        new = editions.read(table)
    used = editions.in_use(new.table)
    changes = used.differences(new)
    if as_json:
        rows = [{"before": change.before, "after": change.after, "concern": change.concern} for change in changes]
        typer.echo(json.dumps({"table": new.table, "before": used.name, "after": new.name, "rows": rows}))
        return
    added, removed = (sum(getattr(change, side) is None for change in changes) for side in ("before", "after"))
    counts = f"{added} added, {removed} removed, {len(changes) - added - removed} changed"
    typer.echo(f"{used.name} → {new.name}, Table {new.table}: {counts}")
    for change in changes:
        typer.echo(str(change) + (f"\n  ! {change.concern}" if change.concern else ""))


def _load(name: str, folder: Path | None) -> Profile:
    from imaging_hub.deidentification.profile.profile import load

    with _exit_on_fault(1):
        return load(name, [folder] if folder else [])
    raise AssertionError("unreachable")


def _read_dataset(file: Path) -> Dataset:
    """Read the dataset of a DICOM file."""
    from imaging_hub.dicom import part10, walk

    with _exit_on_fault(1):
        meta, encoded = part10.split(file.read_bytes())
        return walk.read(encoded, meta.transfer_syntax_uid)
    raise AssertionError("unreachable")


@contextmanager
def _exit_on_fault(status: int) -> Iterator[None]:
    """Print a fault with its remedy, and exit with `status`."""
    try:
        yield
    except (HubError, OSError) as fault:
        unreadable = HubError("the file cannot be read", code="file-unreadable", hint="check its path and permissions")
        print_fault(fault if isinstance(fault, HubError) else unreadable)
        raise typer.Exit(status) from None


def _as_json(profile: Profile) -> dict[str, list[str]]:
    from imaging_hub.deidentification.profile.profile import selected

    return {
        "name": [profile.name],
        "options": sorted(profile.options),
        "suspect": sorted(profile.suspect),
        "trust": sorted(profile.trust),
        "documents": [profile.documents],
        "review": [*sorted(profile.review), *(condition.condition for condition in profile.reviewed)],
        "rules": [f"{rule.name}  {selected(rule)}  {rule.action}" for rule in profile.rules],
    }
