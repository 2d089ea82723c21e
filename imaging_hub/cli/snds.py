"""`imaging-hub snds`: make a synthetic SNDS, load tables, link subjects through the third party."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imaging_hub.archive import opposed_subjects
from imaging_hub.audit import trail
from imaging_hub.cli.options import Config, Json
from imaging_hub.database import Database, DatabaseRole, migrate, open_database
from imaging_hub.errors import LinkageError
from imaging_hub.pseudonymisation import snds_delivery
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.snds import direct_linkage, indirect_linkage, loading
from imaging_hub.snds.indirect_linkage import IndirectReport
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.synthetic import snds_operator as simulated_operator
from imaging_hub.synthetic.generator import synthesize as write_synthetic

app = typer.Typer(no_args_is_help=True, help="SNDS tables: synthesize, load, link.")

ACTOR = "operator"


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="New folder to write.")],
    persons: Annotated[int, typer.Option(min=50, help="Persons of the synthetic SNDS.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same files.")] = 1,
    as_json: Json = False,
) -> None:
    """Write a small coherent SNDS and the hospital studies that match it; nobody in it exists."""
    written = write_synthetic(out, persons, seed)
    _print(as_json, {"folder": str(out), **asdict(written)})


@app.command("load")
def load_tables(
    folder: Annotated[Path, typer.Argument(help="Folder of SNDS tables, Parquet or CSV.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Load SNDS tables with their mandatory filters; print how many rows were kept and why others were dropped."""
    settings = load(config)
    version = loading.load(folder, settings.tables)
    with _database(settings).begin(DatabaseRole.WORKER) as connection:
        counts = {"persons": version.persons, "events": version.events}
        trail.append(connection, ACTOR, trail.AuditAction.SNDS_LOADED, version.version, counts)
    if as_json:
        _print(True, {**asdict(version), "folder": str(version.folder)})
        return
    table = Table("table", "read", "kept", "dropped")
    for loaded in version.tables:
        dropped = ", ".join(f"{number} {reason}" for reason, number in loaded.dropped.items())
        table.add_row(loaded.table, str(loaded.read), str(loaded.kept), dropped)
    console = Console()
    console.print(table)
    console.print(f"version {version.version}: {version.persons} persons, events {version.events}", highlight=False)


@app.command()
def link(  # noqa: PLR0917 - options of a command are given by name
    export: Annotated[Path | None, typer.Option("--export", help="Write a delivery for the SNDS operator.")] = None,
    answer: Annotated[Path | None, typer.Option("--import", help="Read the operator's answer.")] = None,
    delivery_id: Annotated[str | None, typer.Option("--delivery", help="The delivery that --import answers.")] = None,
    operator: Annotated[
        Path | None, typer.Option("--operator", help="Export, let this simulated operator answer, import.")
    ] = None,
    by_exams: Annotated[
        bool, typer.Option("--by-exams", help="Without an INS: by exams that images and claims have in common.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Link subjects to SNDS persons: by INS through the third party, or by exams."""
    if sum(choice is not None for choice in (export, answer, operator)) + by_exams != 1:
        raise typer.BadParameter("one of --export, --import, --operator and --by-exams")
    if (answer is None) != (delivery_id is None):
        raise typer.BadParameter("--import and --delivery go together")
    settings = load(config)
    database = _database(settings)
    if by_exams:
        _print_indirect_report(as_json, _link_by_exams(settings, database))
        return
    with ThirdParty.connect(settings) as third_party:
        if answer is not None and delivery_id is not None:
            _print(as_json, _import(database, third_party, answer, delivery_id))
        elif export is not None:
            _print(as_json, asdict(_export(database, third_party, export)))
        elif operator is not None:
            _print(as_json, link_with_simulated_operator(settings, database, third_party, operator))


def _link_by_exams(settings: Settings, database: Database) -> IndirectReport:
    codes = ProcedureCodes.read(settings.procedure_codes)
    with database.begin(DatabaseRole.WORKER) as connection:
        return indirect_linkage.link(connection, settings.tables, codes=codes, actor=ACTOR)


def _print_indirect_report(as_json: bool, report: IndirectReport) -> None:
    if as_json:
        _print(True, asdict(report))
        return
    table = Table("method", "linked", "precision on pairs known by INS (95 %)", "pairs")
    for method, share in report.precision.items():
        lower, upper = share.interval
        precision = "–" if share.value is None else f"{share.value:.4f} ({lower:.4f} to {upper:.4f})"
        table.add_row(method, str(report.linked.get(method, 0)), precision, str(share.of))
    console = Console()
    console.print(table)
    _print(False, {name: getattr(report, name) for name in ("subjects", "proposed", "settled", "discarded", "alone")})


def link_with_simulated_operator(
    settings: Settings, database: Database, third_party: ThirdParty, operator: Path
) -> dict[str, object]:
    """Export, let the simulated operator answer, and import; the files are deleted at the end."""
    folder = settings.home / "identifying" / "deliveries"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    outgoing, answer = folder / "outgoing.csv", folder / "return.csv"
    outgoing.unlink(missing_ok=True)
    try:
        sent = _export(database, third_party, outgoing)
        simulated_operator.answer_delivery(outgoing, operator, answer)
        return {"subjects": sent.subjects, **_import(database, third_party, answer, sent.id)}
    finally:
        outgoing.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)


def _export(database: Database, third_party: ThirdParty, path: Path) -> snds_delivery.SndsDelivery:
    with database.begin(DatabaseRole.WORKER) as connection:
        opposed = opposed_subjects.list_opposed(connection)
    try:
        with database.begin(DatabaseRole.GATEWAY) as connection:
            return snds_delivery.export(connection, third_party, path, actor=ACTOR, excluded=opposed)
    except FileExistsError:
        raise LinkageError("the file to write is there already", code="not-empty", hint="name a new file") from None


def _import(database: Database, third_party: ThirdParty, path: Path, name: str) -> dict[str, object]:
    with database.begin(DatabaseRole.WORKER) as connection:
        report = direct_linkage.import_return(
            connection, path, delivery=name, resolve=lambda id_accs: third_party.resolve(name, id_accs), actor=ACTOR
        )
    return {"delivery": name, **asdict(report), "id_acc_destroyed": third_party.destroy(name)}


def _database(settings: Settings) -> Database:
    database = open_database(settings)
    migrate(database)
    return database


def _print(as_json: bool, values: dict[str, Any]) -> None:
    if as_json:
        sys.stdout.write(json.dumps(values, default=str) + "\n")
        return
    console = Console()
    for name, value in values.items():
        console.print(f"{name.replace('_', ' '):<20} {value}", highlight=False, markup=False)
