"""`imaging-hub trust`: the third party's process, and the rotation of its keys."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imaging_hub.cli.options import Config, Json
from imaging_hub.settings import Settings, load

if TYPE_CHECKING:
    from imaging_hub.database import Database

app = typer.Typer(no_args_is_help=True)

_CUSTODIANS = 2


def prepare(settings: Settings, hub: Database | None = None) -> Database:
    """Create the third party's database and keys; `hub` is the database from which an older version's are moved."""
    from imaging_hub.database import VAULT_SCHEMA, DatabaseRole, migrate, open_vault
    from imaging_hub.trust import epochs
    from imaging_hub.trust.keyrings import create_missing
    from imaging_hub.trust.vault_relocation import move_from_hub

    settings.home.mkdir(parents=True, exist_ok=True)
    database = open_vault(settings)
    migrate(database, VAULT_SCHEMA)
    if hub is not None:
        move_from_hub(hub, database, settings.keys, settings.trust_keys)
    with database.begin(DatabaseRole.TRUST) as connection:
        filled = epochs.any_begun(connection)
    create_missing(settings.trust_keys, filled=filled)
    return database


@app.callback()
def trust() -> None:
    """The trusted third party."""


@app.command()
def serve(config: Config = None) -> None:
    """Run the third party until stopped."""
    from imaging_hub import log
    from imaging_hub.http.serving import serve as serve_app
    from imaging_hub.trust.app import create_app
    from imaging_hub.trust.vault import Vault

    settings = load(config)
    log.configure(settings.log_level)
    vault = Vault(prepare(settings), settings.trust_keys)
    serve_app(create_app(vault), settings.bind_address, settings.trust_port)


@app.command()
def share(out: Annotated[Path, typer.Argument(help="New file, for its custodian alone.")]) -> None:
    """Make one custodian's share of the third party's next key."""
    from imaging_hub.trust.ceremony import KeyShare

    typer.echo(f"{out}: share {KeyShare.create(out).fingerprint}. Keep it where no other share is.")


@app.command()
def rekey(
    shares: Annotated[
        list[Path] | None, typer.Argument(help="Two custodians' shares, of which the third party's key is made.")
    ] = None,
    blinded: Annotated[
        bool | None,
        typer.Option(
            "--blinded/--open", help="Whether tokens want an evaluation by the third party; as before without."
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Give the third party a new key; studies wait until `trust resubmit` is run at the gateway."""
    from imaging_hub.trust import epochs
    from imaging_hub.trust.ceremony import KeyShare
    from imaging_hub.trust.vault import Vault

    if shares is not None and len(shares) != _CUSTODIANS:
        raise typer.BadParameter("two shares, or none")
    brought = (KeyShare.open(shares[0]), KeyShare.open(shares[1])) if shares else None
    settings = load(config)
    epoch = epochs.begin(Vault(prepare(settings), settings.trust_keys), brought, blinded=blinded)
    if as_json:
        typer.echo(json.dumps({"epoch": epoch}))
    else:
        typer.echo(f"epoch {epoch} has begun. Where the gateway is: imaging-hub trust resubmit")


@app.command()
def resubmit(config: Config = None, as_json: Json = False) -> None:
    """At the hub, give every token the third party's new key; subjects, links and projects stay.

    When interrupted, call it again to go on.
    """
    from imaging_hub.database import DatabaseRole, open_database
    from imaging_hub.pseudonymisation.rekeying import resubmit as submit_again
    from imaging_hub.pseudonymisation.third_party_client import ThirdParty

    settings = load(config)
    login = open_database(settings).login(DatabaseRole.GATEWAY)
    with ThirdParty.connect(settings) as third_party:
        report = submit_again(login, settings.keys, third_party)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        typer.echo(
            f"epoch {report.epoch}: {report.tokens} tokens, {report.left_behind} of identities no longer held destroyed"
        )


@app.command()
def verify(config: Config = None, as_json: Json = False) -> None:
    """Verify the third party's audit trail, and search its tables for a NIR; status 1 at a finding."""
    from imaging_hub.audit import nir_at_rest, trail
    from imaging_hub.database import DatabaseRole, open_vault

    settings = load(config)
    with open_vault(settings).begin(DatabaseRole.OWNER) as connection:
        chain = trail.verify(connection)
        scan = nir_at_rest.scan(connection, [])
    broken = asdict(chain) if isinstance(chain, trail.BrokenChain) else None
    if as_json:
        typer.echo(json.dumps({"broken": broken, "columns": scan.columns, "findings": scan.findings}))
    elif isinstance(chain, trail.BrokenChain):
        typer.echo(f"broken at entry {chain.sequence}: {chain.reason}")
    else:
        typer.echo(f"{chain} entries, chain intact; {sum(scan.findings.values())} numbers like a NIR")
    raise typer.Exit(bool(broken or scan.findings))
