"""`imaging-hub sender`: the hospitals that may send."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from imaging_hub.database import Database
    from imaging_hub.settings import Settings

app = typer.Typer(no_args_is_help=True)

_CONFIG = typer.Option(None, "--config", help="TOML settings file.")
_CERTIFICATE = typer.Option(None, exists=True, dir_okay=False, help="PEM certificate that it must show over TLS.")


def _database(settings: Settings) -> Database:
    """The database, made when it is not there: adding senders may be the first thing one does."""
    from imaging_hub.database import migrate, open_database

    database = open_database(settings)
    migrate(database)
    return database


@app.callback()
def sender() -> None:
    """Hospitals that may send."""


@app.command()
def add(
    ae_title: str = typer.Argument(help="Calling AE title of the sender."),
    address: str = typer.Argument(help="Its address, or a network such as 10.1.2.0/24."),
    *,
    hospital: str = typer.Option(help="Short name of the hospital."),
    finess: str = typer.Option(help="FINESS number, nine digits."),
    profile: str | None = typer.Option(None, help="De-identification profile; default from the settings."),
    certificate: Path | None = _CERTIFICATE,
    retrieve: bool = typer.Option(False, "--retrieve", help="It may ask for what it sent (`query_port`)."),
    keep_originals: str | None = typer.Option(
        None,
        metavar="never|until-released|always|DAYS",
        help="How long its originals stay once archived; with never, none is written.",
    ),
    quiet: float | None = typer.Option(None, min=1, help="Seconds without news after which its studies are complete."),
    query: str | None = typer.Option(
        None, metavar="HOST:PORT", help="Where its query/retrieve SCP listens, for `imaging-hub pull`."
    ),
    config: Path | None = _CONFIG,
) -> None:
    """Let a sender in, or describe a known one anew."""
    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.gateway.tls import fingerprint
    from imaging_hub.settings import load

    settings = load(config)
    described = senders.Sender(
        calling_ae_title=ae_title,
        address=address,
        hospital=hospital,
        finess=finess,
        profile=profile or settings.default_profile,
        certificate=fingerprint(certificate) if certificate else None,
        query=senders.QueryRetrieveAddress.parse(query) if query else None,
        retrieves=retrieve,
        keep_originals=keep_originals,
        quiet_seconds=quiet,
    )
    with _database(settings).begin(DatabaseRole.GATEWAY) as connection:
        added = senders.add(connection, described)
    typer.echo(
        f"{added.calling_ae_title} from {added.address} may send for {added.hospital}"
        f" to {settings.ae_title}@{settings.bind_address}:{settings.dicom_port}"
    )


@app.command("list")
def list_(
    config: Path | None = _CONFIG,
    as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
) -> None:
    """Who may send."""
    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.settings import load

    with _database(load(config)).begin(DatabaseRole.GATEWAY) as connection:
        known = senders.list_senders(connection)
    if as_json:
        typer.echo(json.dumps({"senders": [asdict(one) for one in known]}))
        return
    for one in known:
        typer.echo(f"{one.calling_ae_title:<16}  {one.address:<20}  {one.finess}  {one.hospital}  ({one.profile})")
    if not known:
        typer.echo("Nobody may send yet: imaging-hub sender add AE_TITLE ADDRESS --hospital NAME --finess NUMBER")


@app.command()
def token(
    ae_title: str = typer.Argument(help="AE title of a known sender."),
    days: int = typer.Option(365, min=1, help="Days until it ends."),
    config: Path | None = _CONFIG,
) -> None:
    """Give a sender a token for STOW-RS, in place of any it had; it is printed once."""
    from datetime import UTC, datetime, timedelta

    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.settings import load

    settings = load(config)
    with _database(settings).begin(DatabaseRole.GATEWAY) as connection:
        known = senders.named(connection, ae_title)
        given = senders.give_token(connection, known, datetime.now(UTC) + timedelta(days=days))
    typer.echo(given)
    typer.echo(
        f"{known.calling_ae_title} may POST to http://{settings.bind_address}:{settings.gateway_port}/dicom-web/studies"
        " with `Authorization: Bearer` and this token, which cannot be shown again",
        err=True,
    )


@app.command()
def test(
    ae_title: str = typer.Argument(help="AE title of a known sender."),
    wait: float = typer.Option(120.0, min=0, help="Seconds to wait for its first study to be settled."),
    config: Path | None = _CONFIG,
) -> None:
    """Follow a sender's next study from the association to the archive; status 1 when it does not get there in time."""
    from imaging_hub.console.sender_trial import TrialStep, follow
    from imaging_hub.database import DatabaseRole
    from imaging_hub.settings import load

    settings = load(config)
    typer.echo(
        f"Send one study to {settings.ae_title}@{settings.bind_address}:{settings.dicom_port} as {ae_title} now."
    )
    last: TrialStep | None = None
    for last in follow(_database(settings).login(DatabaseRole.GATEWAY), ae_title, wait):
        typer.echo(f"{'✓' if last.good else '✗'} {last.text}")
        if last.cure:
            typer.echo(f"  What to do: {last.cure}")
    raise typer.Exit(0 if last and last.good and last.final else 1)


@app.command()
def echo(
    host: str = typer.Argument(help="Host of the hospital's own receiver."),
    port: int = typer.Argument(help="Its port."),
    ae_title: str = typer.Argument(help="Its AE title."),
    config: Path | None = _CONFIG,
) -> None:
    """Ask a hospital's application entity for a C-ECHO, under our own AE title; status 1 when it does not answer."""
    from pynetdicom import AE

    from imaging_hub import log
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    entity = AE(ae_title=settings.ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 10
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate(host, port, ae_title=ae_title)
    answered = False
    if association.is_established:
        answered = association.send_c_echo().get("Status") == 0
        association.release()
    if answered:
        typer.echo(f"{ae_title} answers")
        return
    refused = "refused the association" if association.is_rejected else "does not answer"
    typer.echo(f"{ae_title} {refused}: check host, port, its AE title, and that it knows {settings.ae_title}", err=True)
    raise typer.Exit(1)
