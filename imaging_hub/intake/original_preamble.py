"""Preamble of an original, which names its hospital; PS3.10 §7.1 leaves the use of a preamble open."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_hub.dicom.elements import Buffer

_PREAMBLE_BYTES = 128


@dataclass(frozen=True, slots=True)
class OriginalPreamble:
    """The hospital that an original belongs to."""

    hospital: str
    finess: str

    def encode(self) -> bytes:
        """Return the 128 bytes before `DICM`."""
        return f"{self.finess} {self.hospital}".encode()[:_PREAMBLE_BYTES].ljust(_PREAMBLE_BYTES, b"\0")

    @classmethod
    def decode(cls, file: Buffer) -> OriginalPreamble | None:
        """Read the preamble of a file; None when it names no hospital."""
        finess, _, hospital = bytes(file[:_PREAMBLE_BYTES]).rstrip(b"\0").decode("utf-8", "replace").partition(" ")
        return cls(hospital, finess) if hospital else None


def replace_preamble(file_meta: bytes, preamble: OriginalPreamble) -> bytes:
    """Return `file_meta`, which begins with a preamble, with this one instead."""
    return preamble.encode() + file_meta[_PREAMBLE_BYTES:]
