"""`imaging-hub sender`: the hospitals that may send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imaging_hub.cli.options import Config, Json

if TYPE_CHECKING:
    from imaging_hub.database import Database
    from imaging_hub.settings import Settings

app = typer.Typer(no_args_is_help=True)

_CERTIFICATE = typer.Option(None, exists=True, dir_okay=False, help="PEM certificate that it must show over TLS.")


def _database(settings: Settings) -> Database:
    """Open the database, with its schema created if needed: `sender add` may be the first command."""
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
    config: Config = None,
) -> None:
    """Add a sender, or change a known one."""
    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.gateway.tls import certificate_fingerprint
    from imaging_hub.intake import retention
    from imaging_hub.settings import load

    settings = load(config)
    described = senders.Sender(
        calling_ae_title=ae_title,
        address=address,
        hospital=hospital,
        finess=finess,
        profile=profile or settings.default_profile,
        certificate=certificate_fingerprint(certificate) if certificate else None,
        query=senders.QueryRetrieveAddress.parse(query) if query else None,
        retrieves=retrieve,
        keep_originals=None if keep_originals is None else retention.parse_policy(keep_originals),
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
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the senders."""
    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.settings import load

    with _database(load(config)).begin(DatabaseRole.GATEWAY) as connection:
        known = senders.list_senders(connection)
    if as_json:
        typer.echo(json.dumps({"senders": [senders.as_text(sender) for sender in known]}))
        return
    for sender in known:
        origin = f"{sender.calling_ae_title:<16}  {sender.address:<20}"
        typer.echo(f"{origin}  {sender.finess}  {sender.hospital}  ({sender.profile})")
    if not known:
        typer.echo("Nobody may send yet: imaging-hub sender add AE_TITLE ADDRESS --hospital NAME --finess NUMBER")


@app.command()
def token(
    ae_title: str = typer.Argument(help="AE title of a known sender."),
    days: int = typer.Option(365, min=1, help="Days until it ends."),
    config: Config = None,
) -> None:
    """Give a sender a new token for STOW-RS, which replaces the previous one and is printed once."""
    from datetime import UTC, datetime, timedelta

    from imaging_hub.database import DatabaseRole
    from imaging_hub.gateway import senders
    from imaging_hub.settings import load

    settings = load(config)
    with _database(settings).begin(DatabaseRole.GATEWAY) as connection:
        known = senders.find_by_title(connection, ae_title)
        given = senders.issue_token(connection, known, datetime.now(UTC) + timedelta(days=days))
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
    config: Config = None,
) -> None:
    """Follow a sender's next study from the association to the archive; status 1 when it does not arrive in time."""
    from imaging_hub.console.first_study_page import FirstStudyStep, follow_first_study
    from imaging_hub.database import DatabaseRole
    from imaging_hub.settings import load

    settings = load(config)
    typer.echo(
        f"Send one study to {settings.ae_title}@{settings.bind_address}:{settings.dicom_port} as {ae_title} now."
    )
    last: FirstStudyStep | None = None
    for last in follow_first_study(_database(settings).login(DatabaseRole.GATEWAY), ae_title, wait):
        typer.echo(f"{'✓' if last.good else '✗'} {last.text}")
        if last.remedy:
            typer.echo(f"  What to do: {last.remedy}")
    raise typer.Exit(0 if last and last.good and last.final else 1)


@app.command()
def echo(
    host: str = typer.Argument(help="Host of the hospital's own receiver."),
    port: int = typer.Argument(help="Its port."),
    ae_title: str = typer.Argument(help="Its AE title."),
    config: Config = None,
) -> None:
    """Send a C-ECHO to a hospital's application entity; status 1 when it does not answer."""
    from pynetdicom import AE

    from imaging_hub import log
    from imaging_hub.dicom.sop_class import VERIFICATION
    from imaging_hub.settings import load

    settings = load(config)
    log.configure(settings.log_level)
    entity = AE(ae_title=settings.ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 10
    entity.add_requested_context(VERIFICATION)
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
