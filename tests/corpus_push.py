"""The shared corpus through DCMTK and Orthanc into a receiver, with an account of every file."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from dcmtk import tool
from free_ports import free_ports
from raw_scu import CALLED, CALLING

_FILE = re.compile(r"Filename\s+: (.+)")
_STATUS = re.compile(r"DIMSE Status\s+: 0x([0-9a-f]{4})")


@dataclass(frozen=True)
class Sent:
    """What a sender says of one file."""

    file: str
    status: int | None
    """Status of the C-STORE response; None when no context was accepted or the sender gave up itself."""


def files_of(corpus: Path) -> list[Path]:
    """Everything in the corpus but its licences and catalogue."""
    skipped = ("LICENSES", "catalogue", ".complete", "README")
    return sorted(
        file for file in corpus.rglob("*") if file.is_file() and not str(file.relative_to(corpus)).startswith(skipped)
    )


def stratified(corpus: Path, number: int) -> list[Path]:
    """About `number` files, some of every folder."""
    folders: dict[Path, list[Path]] = {}
    for file in files_of(corpus):
        folders.setdefault(file.parent, []).append(file)
    share = max(1, number // len(folders))
    return [file for files in folders.values() for file in files[:: max(1, len(files) // share)][:share]]


def dcmsend(port: int, files: Iterable[Path], report: Path) -> list[Sent]:
    """DCMTK's dcmsend: one association, every file it can read."""
    subprocess.run(
        [
            "dcmsend", "-aet", CALLING, "-aec", CALLED, "--no-halt", "--no-uid-checks",
            "--create-report-file", str(report), "127.0.0.1", str(port), *map(str, files),
        ],
        check=False, capture_output=True,
    )  # fmt: skip
    sent = []
    for block in report.read_text("utf-8", "replace").split("Number        :")[1:]:
        file, status = _FILE.search(block), _STATUS.search(block)
        if file:
            sent.append(Sent(file[1], int(status[1], 16) if status else None))
    return sent


def storescu(port: int, files: Sequence[Path]) -> Counter[str]:
    """DCMTK's storescu, one file an association; what it printed of each response."""
    answers: Counter[str] = Counter()
    ours = tool("storescu") or "storescu"
    for file in files:
        said = subprocess.run(
            [ours, "-v", "-aet", CALLING, "-aec", CALLED, "-R", "127.0.0.1", str(port), str(file)],
            check=False, capture_output=True, text=True, errors="replace",
        ).stderr  # fmt: skip
        response = re.search(r"Received Store Response \((.*)\)", said)
        if response is None:
            print(said)  # shown by pytest beside a failure
        answers[response[1] if response else "not sent"] += 1
    return answers


@contextmanager
def orthanc(folder: Path, receiver_port: int) -> Iterator[httpx.Client]:
    """Debian's Orthanc, knowing the receiver as a modality `hub`."""
    dicom, http = free_ports(2)
    folder.mkdir()
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "DicomAet": CALLING,
                "DicomPort": dicom,
                "HttpPort": http,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomModalities": {"hub": [CALLED, "127.0.0.1", receiver_port]},
            }
        )
    )
    process = subprocess.Popen(
        ["Orthanc", str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=300) as client:
            for _ in range(300):
                try:
                    client.get("/system").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def from_orthanc(client: httpx.Client, files: Iterable[Path]) -> Counter[str]:
    """Put the files into Orthanc, then have it send each to the receiver; outcomes."""
    outcomes: Counter[str] = Counter()
    held: dict[str, None] = {}
    for file in files:
        answer = client.post("/instances", content=file.read_bytes())
        if answer.is_success and answer.json().get("ID"):
            held[answer.json()["ID"]] = None
        else:
            outcomes["not readable by Orthanc"] += 1
    for instance in held:
        answer = client.post("/modalities/hub/store", json={"Resources": [instance], "Synchronous": True})
        outcomes["sent" if answer.is_success else "failed"] += 1
    return outcomes
