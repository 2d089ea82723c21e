"""Whose file an original is, written into it: its preamble, whose use PS3.10 §7.1 leaves open."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_hub.dicom.elements import Buffer

_PREAMBLE = 128


@dataclass(frozen=True, slots=True)
class OriginalOrigin:
    """Whose file it is; written into the preamble."""

    hospital: str
    finess: str

    def preamble(self) -> bytes:
        """The 128 bytes before `DICM`."""
        return f"{self.finess} {self.hospital}".encode()[:_PREAMBLE].ljust(_PREAMBLE, b"\0")

    @classmethod
    def of(cls, file: Buffer) -> OriginalOrigin | None:
        """The origin that a file's preamble names, if it names one."""
        finess, _, hospital = bytes(file[:_PREAMBLE]).rstrip(b"\0").decode("utf-8", "replace").partition(" ")
        return cls(hospital, finess) if hospital else None


def mark(file_meta: bytes, origin: OriginalOrigin) -> bytes:
    """`file_meta` with its preamble replaced by the one that names `origin`."""
    return origin.preamble() + file_meta[_PREAMBLE:]
