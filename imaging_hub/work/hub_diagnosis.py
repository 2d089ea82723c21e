"""Health check of a hub: problems of its settings, keys, disk, certificates, database, processes and peers.

It changes nothing, and may run beside the hub or where the hub does not start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import httpx
from cryptography import x509
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub import database as databases
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.profile import profile
from imaging_hub.errors import HubError, ThirdPartyUnavailable
from imaging_hub.gateway import senders
from imaging_hub.gateway.tls import server_context
from imaging_hub.intake import completeness, deidentification_socket, last_diagnosis, spool_capacity, study_keys
from imaging_hub.intake.last_diagnosis import Problem
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.intake.spool_capacity import CLOSE_AT
from imaging_hub.keys.keyring import gateway_keys, hub_keys, original_keys, project_keys
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work import job_queue, peer_diagnosis

_EXPIRES_SOON = timedelta(days=30)
_CLOCK_SKEW = timedelta(seconds=5)
_OVERDUE = timedelta(minutes=15)
_TIMEOUT_SECONDS = 3.0


def find_problems(settings: Settings) -> list[Problem]:
    """List the problems of the hub of these settings; an empty list for a hub without any."""
    embedded = settings.database_url is None
    if not settings.home.is_dir() or (embedded and not settings.embedded_database.is_dir()):
        return [
            Problem("home", "no hub was ever started here", "imaging-hub serve, or set IMAGING_HUB_HOME to its folder")
        ]
    problems = [
        *_certificate_problems(settings),
        *_key_problems(settings),
        *_disk_problems(settings),
        *_port_problems(settings),
    ]
    problems += [*_archive_problems(settings), *_sink_problems(settings), *_third_party_problems(settings)]
    try:
        database = databases.open_database(settings)
        with database.begin(DatabaseRole.OWNER) as connection:
            now = databases.database_time(connection)
    except (SQLAlchemyError, OSError, RuntimeError):
        no_database = Problem(
            "database", "PostgreSQL does not answer", "start it, or correct database_url and its password"
        )
        return [*problems, no_database]
    if abs(now - datetime.now(UTC)) > _CLOCK_SKEW:
        problems.append(Problem("clock", "this machine and the database disagree on the time", "have both follow NTP"))
    try:
        behind = [*_schema_problems(database)]
        return [
            *problems,
            *(
                behind
                or (
                    *_role_problems(database),
                    *_feed_problems(settings, database),
                    *_original_key_problems(settings, database),
                    *peer_diagnosis.peer_problems(database, settings.ae_title),
                )
            ),
        ]
    finally:
        database.dispose()


def write_report(settings: Settings, database: Database) -> None:
    """Check the hub and store the problems for the console."""
    problems = find_problems(settings)
    with database.begin(DatabaseRole.WORKER) as connection:
        last_diagnosis.write(connection, problems)


def _certificate_problems(settings: Settings) -> Iterator[Problem]:
    try:
        server_context(settings)
    except HubError as fault:
        yield Problem("certificate", str(fault), fault.hint)
        return
    for setting in ("dicom_tls_certificate", "dicom_tls_client_ca"):
        path: Path | None = getattr(settings, setting)
        now = datetime.now(UTC)
        for certificate in x509.load_pem_x509_certificates(path.read_bytes()) if path else ():
            if certificate.not_valid_before_utc > now:
                yield Problem(
                    "certificate", f"that of {setting} is not valid yet", "check the clock, or have it made anew"
                )
            elif certificate.not_valid_after_utc < now:
                yield Problem("certificate", f"that of {setting} has expired", "renew it and start the gateway anew")
            elif certificate.not_valid_after_utc < now + _EXPIRES_SOON:
                days = (certificate.not_valid_after_utc - now).days
                yield Problem("certificate", f"that of {setting} expires in {days} days", "renew it", False)


def _key_problems(settings: Settings) -> Iterator[Problem]:
    for ring in (gateway_keys, hub_keys, project_keys, original_keys):
        try:
            ring(settings.keys)
        except (HubError, OSError) as fault:
            hint = fault.hint if isinstance(fault, HubError) else "check the owner of the folder of keys"
            yield Problem("keys", str(fault) if isinstance(fault, HubError) else "a keyring cannot be read", hint)


def _disk_problems(settings: Settings) -> Iterator[Problem]:
    folder = settings.spool if settings.spool.is_dir() else settings.home
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Problem("disk", "the spool cannot be written", "give its folder to the user of the gateway")
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < settings.spool_reserve_bytes:
        yield Problem(
            "disk", "less is free than spool_reserve_bytes: senders are asked to wait", "free space on the disk"
        )
    elif free < 2 * settings.spool_reserve_bytes:
        yield Problem("disk", "free space comes near spool_reserve_bytes", "free space on the disk", False)
    if disk.f_files and disk.f_favail < disk.f_files // 100:
        yield Problem(
            "disk", "almost no file can be made: the disk is out of inodes", "remove small files, or format anew"
        )


def _port_problems(settings: Settings) -> Iterator[Problem]:
    start = "start it: imaging-hub serve"
    if not peer_diagnosis.accepts_connections(settings.bind_address, settings.dicom_port):
        yield Problem("gateway", f"nobody listens on port {settings.dicom_port}: nothing is received", start)
    if settings.query_port and not peer_diagnosis.accepts_connections(settings.bind_address, settings.query_port):
        yield Problem("gateway", f"nobody listens on port {settings.query_port}: no hospital can ask", start)
    parts = {"hub": settings.hub_port, "console": settings.console_port, "gateway": settings.gateway_port}
    for name, port in parts.items():
        if name == "gateway" and not port:
            continue
        if not peer_diagnosis.accepts_connections(settings.bind_address, port):
            yield Problem(name, f"nobody listens on port {port}", start)
        elif not _is_hub_process(f"http://{peer_diagnosis.reachable_host(settings.bind_address)}:{port}/healthz"):
            yield Problem(
                name, f"on port {port} another program answers", f"stop that program, or set {name}_port to another"
            )


def _is_hub_process(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False).json() == {"status": "ok"})
    except (httpx.HTTPError, ValueError):
        return False


def _archive_problems(settings: Settings) -> Iterator[Problem]:
    folder = Path(unquote(settings.objects.removeprefix("file://")))
    if folder.is_absolute():
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            yield Problem("archive", "the object store cannot be written", "give its folder to the user of the workers")
        return
    try:
        ObjectStore(settings.objects).exists("0" * 64)
    except HubError:
        yield Problem(
            "archive", "the object store does not answer", "check object_store_url, its rights and the network"
        )


def _sink_problems(settings: Settings) -> Iterator[Problem]:
    if settings.orthanc_sink_url is None:
        return
    url = settings.orthanc_sink_url.rstrip("/") + "/system"
    try:
        httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPStatusError as fault:
        yield Problem("sink", f"Orthanc answers {fault.response.status_code}", "check the user in orthanc_sink_url")
    except (httpx.HTTPError, httpx.InvalidURL):
        yield Problem("sink", "the Orthanc of orthanc_sink_url does not answer", "start it, or correct the URL")


def _third_party_problems(settings: Settings) -> Iterator[Problem]:
    try:
        with ThirdParty.connect(settings) as third_party:
            third_party.check()
    except ThirdPartyUnavailable as away:
        yield Problem("third party", f"{away}: complete studies wait", away.hint)
    except (HubError, OSError) as fault:
        yield Problem("third party", str(fault), getattr(fault, "hint", "check the owner of the folder of keys"))


def _schema_problems(database: Database) -> Iterator[Problem]:
    behind = databases.count_missing_revisions(database)
    if behind is None:
        yield Problem("schema", "the database was made by a newer imaging-hub", "install that version again")
    elif behind:
        yield Problem("schema", f"the database lacks {behind} revisions of the schema", "start imaging-hub serve once")


def _role_problems(database: Database) -> Iterator[Problem]:
    for role in databases.HUB_SCHEMA.roles:
        try:
            with database.begin(role):
                pass
        except SQLAlchemyError:
            yield Problem(
                "database", f"the role {role.value} cannot log in", "is database_role_password that of serve?"
            )


def _feed_problems(settings: Settings, database: Database) -> Iterator[Problem]:
    """Problems of senders, profiles, spool, workers and waiting studies."""
    with database.begin(DatabaseRole.OWNER) as connection:
        known = senders.list_senders(connection)
        used = spool_capacity.spool_bytes(connection)
        workers_alive = job_queue.count_live_workers(connection)
        longest_wait = completeness.longest_wait(connection)
    if not known:
        yield Problem("senders", "no hospital may send", "imaging-hub sender add", False)
    for name in sorted({sender.profile for sender in known} | {settings.default_profile}):
        try:
            profile.load(name, settings.profile_folders)
        except HubError as fault:
            yield Problem("profile", f"{name}: {fault}", fault.hint)
    keeps_none = any(sender.keep_originals is KeepOriginals.NEVER for sender in known)
    if keeps_none and not deidentification_socket.is_listening(settings.handover_socket):
        yield Problem(
            "inline-deidentification",
            "it does not answer: originals that are never kept lie sealed in the spool until they are archived",
            "start it: imaging-hub inline-deidentification",
            False,
        )
    if used >= CLOSE_AT * settings.spool_max_bytes:
        yield Problem(
            "spool", "it is full: senders are asked to wait", "raise spool_max_bytes, or see why nothing is archived"
        )
    if not workers_alive:
        yield Problem("workers", "none is alive: what is received waits", "start one: imaging-hub worker")
    if longest_wait is not None and longest_wait > _OVERDUE:
        minutes = int(longest_wait.total_seconds() // 60)
        yield Problem(
            "workers", f"a complete study has waited for {minutes} minutes", "start more workers, or read their log"
        )


def _original_key_problems(settings: Settings, database: Database) -> Iterator[Problem]:
    try:
        keys = original_keys(settings.keys)
    except (HubError, OSError):
        return  # `_key_problems` names it
    with database.begin(DatabaseRole.OWNER) as connection:
        for hospital in study_keys.list_locked_hospitals(connection, keys):
            yield Problem("keys", f"originals of {hospital} cannot be opened", "restore originals.json from its backup")
