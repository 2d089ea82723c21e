"""The DICOMweb resources on a port, and Debian's Orthanc beside them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from archived import archive, deidentified
from fastapi import Depends, FastAPI
from pydicom import Dataset

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance
from imaging_hub.dicomweb import routes
from imaging_hub.http import problem_details
from imaging_hub.http.pages import PageTemplates
from imaging_hub.http.serving import serve
from imaging_hub.permits.policy import AccountRole, Action, RequestActor

PATIENCE_SECONDS = 60
ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass
class Archive:
    """An archive served under `/dicom-web`, and what a test put into it."""

    database: Database
    objects: ObjectStore
    origin: str
    stored: dict[str, bytes] = field(default_factory=dict)
    """Files by SOP Instance UID."""

    @property
    def url(self) -> str:
        """Address of the service."""
        return self.origin + "/dicom-web"

    def hold(self, *datasets: Dataset) -> list[DeidentifiedInstance]:
        """Archive datasets, study by study."""
        made = [deidentified(dataset) for dataset in datasets]
        for study in dict.fromkeys(instance.study_instance_uid for instance in made):
            archive(self.database, [one for one in made if one.study_instance_uid == study], self.objects)
        self.stored |= {one.sop_instance_uid: b"".join(one.part10) for one in made}
        return made


def everybody(action: Action) -> Any:
    """A guard that lets everybody in, as somebody who sees every study."""
    return Depends(lambda: SimpleNamespace(person=RequestActor("everybody", AccountRole.RADIOLOGIST)))


@contextmanager
def served(database: Database, folder: Path, port: int) -> Iterator[Archive]:
    """The archive in `folder`, served until the end of the block."""
    objects = ObjectStore((folder / "objects").as_uri())
    app = FastAPI()
    origin = f"http://127.0.0.1:{port}"
    app.include_router(
        routes.router(database.login(DatabaseRole.WEB), objects, everybody, origin=origin), prefix="/dicom-web"
    )
    problem_details.install(app, PageTemplates(folder, lambda _: {}))
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(app, "127.0.0.1", port, stop))
    thread.start()
    try:
        found = Archive(database, objects, origin)
        answers(found.url + "/studies")
        yield found
    finally:
        stop.set()
        thread.join()


@contextmanager
def orthanc(folder: Path, port: int, **configuration: object) -> Iterator[str]:
    """Debian's Orthanc in `folder`; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "HttpPort": port,
                "DicomServerEnabled": False,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "Plugins": [str(ORTHANC_PLUGINS)],
                **configuration,
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(config)], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        answers(url + "/system")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> None:
    """Wait until something answers there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"nothing answered at {url}"
            time.sleep(0.1)
        else:
            return
