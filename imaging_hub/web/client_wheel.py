"""The download client to install: this very package as a wheel, since it is on no package index.

It is made of the files that run here, at the first request, and is the same bytes for the same files.
"""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

import imaging_hub
from imaging_hub.http.problems import foreign

pages = APIRouter(include_in_schema=False)

_NAME = "imaging_hub"
_PACKAGE = Path(imaging_hub.__file__).parent
BESIDE = {
    "imaging_hub/deidentification/profiles": "anonymization_profiles",
    "imaging_hub/cohorts/worked": "docs/cohorts",
}
"""Folders of a wheel that a checkout has elsewhere."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FORM = "Wheel-Version: 1.0\nGenerator: imaging-hub\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Wheel:
    """A wheel in memory."""

    name: str
    content: bytes
    digest: str
    """SHA-256."""

    def install_command(self, origin: str) -> str:
        """The line that installs it from the hub at `origin`; pip refuses other bytes than these."""
        return f"pip install {origin}/client/{self.name}#sha256={self.digest}"


@cache
def wheel() -> Wheel:
    """This package as a wheel (PyPA binary distribution format); raises `PackageNotFoundError` when not installed."""
    installed = distribution(_NAME)
    about = f"{_NAME}-{installed.version}.dist-info"
    files = dict(_files(_PACKAGE, _NAME))
    for inside, beside in BESIDE.items():
        if not (_PACKAGE.parent / inside).exists():
            files |= _files(_PACKAGE.parent / beside, inside)
    for file in sorted(installed.files or ()):
        if file.parts[0] == about and (file.name in ("METADATA", "entry_points.txt") or "licenses" in file.parts):
            files[file.as_posix()] = file.read_binary()
    files[f"{about}/WHEEL"] = _FORM.encode()
    record = f"{about}/RECORD"
    files[record] = "".join([*(_recorded(name, content) for name, content in files.items()), f"{record},,\n"]).encode()
    content = _zipped(files)
    return Wheel(f"{_NAME}-{installed.version}-py3-none-any.whl", content, hashlib.sha256(content).hexdigest())


@pages.get("/client/{name}")
def client(name: str) -> Response:
    """The wheel, for everybody; another name, such as one of another version, is not there."""
    if name != wheel().name:
        raise foreign()
    return Response(wheel().content, media_type="application/octet-stream")


def _files(folder: Path, inside: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield f"{inside}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _recorded(name: str, content: bytes) -> str:
    digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
