"""`imaging-hub opposition`: record and lift oppositions of people to the use of their data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from imaging_hub.archive import opposed_subjects as oppositions
from imaging_hub.cli.options import Config, Json
from imaging_hub.cohorts.applied_oppositions import apply
from imaging_hub.database import Database, DatabaseRole, open_database
from imaging_hub.keys.keyring import gateway_keys
from imaging_hub.pseudonymisation.oppositions import import_oppositions
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings, load

app = typer.Typer(no_args_is_help=True)

ACTOR = "operator"
People = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV `ins;birth_date;sex;hospital;patient_id`.")
]


@app.callback()
def opposition() -> None:
    """People who oppose the use of their data."""


@app.command()
def add(people: People, config: Config = None, as_json: Json = False) -> None:
    """Archive and use nothing of these people from now on, and print what was done."""
    settings = load(config)
    database = open_database(settings)
    sids = _subjects(settings, database, people)
    with database.begin(DatabaseRole.WORKER) as connection:
        applied = asdict(apply(connection, sids, by=ACTOR))
    typer.echo(
        json.dumps(applied) if as_json else "\n".join(f"{name.replace('_', ' ')}: {n}" for name, n in applied.items())
    )


@app.command()
def lift(people: People, config: Config = None, as_json: Json = False) -> None:
    """Lift the opposition of these people for future data; data that were removed do not come back."""
    settings = load(config)
    database = open_database(settings)
    sids = _subjects(settings, database, people)
    with database.begin(DatabaseRole.WORKER) as connection:
        lifted = oppositions.lift(connection, sids, by=ACTOR)
    typer.echo(json.dumps({"lifted": lifted}) if as_json else f"lifted: {lifted}")


def _subjects(settings: Settings, database: Database, people: Path) -> list[str]:
    with ThirdParty.connect(settings) as third_party, database.begin(DatabaseRole.GATEWAY) as connection:
        return import_oppositions(connection, gateway_keys(settings.keys), third_party, people)
