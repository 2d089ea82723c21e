"""`imaging-hub profile`: the de-identification profiles, for people."""

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

from imaging_hub.errors import HubError

if TYPE_CHECKING:
    from imaging_hub.deidentification.profile.profile import Profile
    from imaging_hub.dicom.elements import Dataset

app = typer.Typer(no_args_is_help=True)
_TOLD = 40

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Folder = Annotated[Path | None, typer.Option("--profiles", help="Folder of further profiles.")]


@app.callback()
def profile() -> None:
    """De-identification profiles, for people."""


@app.command("list")
def list_profiles(*, as_json: Json = False) -> None:
    """The profiles that come with the hub."""
    from imaging_hub.deidentification.profile.profile import load, shipped

    found = {name: load(name).title for name in shipped()}
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, title in found.items():
        typer.echo(f"{name:24} {title}")


@app.command()
def show(name: str, *, profiles: Folder = None, as_json: Json = False) -> None:
    """A profile with everything it extends worked in."""
    loaded = _loaded(name, profiles)
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
    """Check a profile; status 1 with file, line and cure when it is wrong or does not do what it says."""
    from imaging_hub.deidentification.profile_check import concerns

    loaded = _loaded(name, profiles)
    found = concerns(loaded)
    for concern in found:
        typer.echo(f"{concern.where}: {concern.message}\n  What to do: {concern.cure}")
    errors = sum(concern.is_error for concern in found)
    counts = f"{len(loaded.rules)} rules, {len(loaded.options)} options"
    typer.echo(f"{loaded.name}: {counts}, {errors or 'no'} error{'s' * (errors > 1)}")
    raise typer.Exit(1 if errors else 0)


@app.command()
def schema() -> None:
    """The JSON Schema of a profile, for editors and other programs."""
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
    """Which rule decides on an attribute, given as keyword, tag or path of sequences, and what it does."""
    from imaging_hub.deidentification import explanation
    from imaging_hub.deidentification.engine.plan import compile as compile_plan
    from imaging_hub.deidentification.profile import selector

    try:
        path = selector.attribute_path(attribute)
    except ValueError as fault:
        typer.echo(f"{fault}: try PatientComments, (0010,4000) or RequestAttributesSequence.StudyID", err=True)
        raise typer.Exit(2) from None
    plan = compile_plan(_loaded(name, profiles))
    if file is None:
        found = explanation.explain(plan, *path)
    else:
        found = explanation.explain_at(plan.scope_of(_read(file)), *path)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(f"{found.attribute} ({found.vr}, Type {found.type}): {found.becomes}")
    typer.echo(f"  because   {found.rule} says {found.action}")
    typer.echo(f"  otherwise {found.otherwise}")


@app.command()
def diff(first: str, second: str, *, profiles: Folder = None, as_json: Json = False) -> None:
    """The attributes that two profiles treat differently."""
    from imaging_hub.deidentification.explanation import differences

    pairs = differences(_loaded(first, profiles), _loaded(second, profiles))
    if as_json:
        typer.echo(json.dumps([{"first": asdict(one), "second": asdict(other)} for one, other in pairs]))
        return
    table = Table("Attribute", first, second)
    for one, other in pairs:
        table.add_row(one.attribute, one.becomes, other.becomes)
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
    """Try a profile on stored files and write nothing: what would change, stay and be quarantined."""
    from imaging_hub.deidentification.folder import files_of
    from imaging_hub.deidentification.rehearsal import rehearse

    loaded = _loaded(name, profiles)
    with _told(1):
        found = rehearse(files_of(source), loaded, show_values=show_values)
    if as_json:
        told = {name: dict(getattr(found, name)) for name in ("quarantined", "actions", "rules")}
        values = [asdict(value) for value in found.kept]
        typer.echo(json.dumps({"delivered": found.delivered, **told, "kept": values}, ensure_ascii=False))
        return
    typer.echo(f"{found.delivered} would come out, {found.quarantined.total()} would be quarantined")
    for title, counts in (("quarantined", found.quarantined), ("action", found.actions), ("rule", found.rules)):
        for key, count in counts.most_common():
            typer.echo(f"{count:8} {title} {key}")
    table = Table("Attribute", "Kept", "Unknown words", "Patients")
    for kept in found.kept[:_TOLD]:
        table.add_row(kept.attribute, kept.value, str(kept.unknown_words), str(kept.subjects))
    Console().print(table)


@app.command()
def edition(table: Path, *, as_json: Json = False) -> None:
    """The rows in which a table of another edition of PS3.15 Annex E differs from the one in use."""
    from imaging_hub.deidentification import edition as editions

    with _told(2):
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


def _loaded(name: str, folder: Path | None) -> Profile:
    from imaging_hub.deidentification.profile.profile import load

    with _told(1):
        return load(name, [folder] if folder else [])
    raise AssertionError("unreachable")


def _read(file: Path) -> Dataset:
    """The dataset of a DICOM file."""
    from imaging_hub.dicom import part10, walk

    with _told(1):
        meta, encoded = part10.split(file.read_bytes())
        return walk.read(encoded, meta.transfer_syntax_uid)
    raise AssertionError("unreachable")


@contextmanager
def _told(status: int) -> Iterator[None]:
    """A fault as message, cure and exit status."""
    try:
        yield
    except (HubError, OSError) as fault:
        console = Console(stderr=True)
        message = f"{fault} [{fault.code}]" if isinstance(fault, HubError) else "the file cannot be read"
        console.print(message, markup=False, highlight=False, soft_wrap=True)
        if isinstance(fault, HubError) and fault.hint:
            console.print(f"What to do: {fault.hint}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(status) from None


def _as_json(profile: Profile) -> dict[str, list[str]]:
    from imaging_hub.deidentification.profile.profile import selected

    return {
        "name": [profile.name],
        "options": sorted(profile.options),
        "suspect": sorted(profile.suspect),
        "trust": sorted(profile.trust),
        "documents": [profile.documents],
        "review": [*sorted(profile.review), *(one.condition for one in profile.reviewed)],
        "rules": [f"{rule.name}  {selected(rule)}  {rule.action}" for rule in profile.rules],
    }
