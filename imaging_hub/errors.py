"""Exceptions of the hub, each with a reason code and never a value.

A *decision* (refused, denied, quarantined) is a value, not an exception: see `deidentification.source_and_outcome` and
`permits.policy`. Exceptions are for faults and wrong calls.

    HubError
    ├── SettingsError          a setting is missing, unsafe or contradictory
    ├── ProfileError           a de-identification profile is wrong
    ├── DefinitionError        a cohort definition is wrong
    ├── MalformedDataset       bytes that are not the DICOM they claim to be
    ├── StorageUnavailable     disk full or I/O error while storing
    ├── KeyringError           a key is missing or its file is readable by others
    ├── SealBroken             sealed data cannot be decrypted
    ├── ThirdPartyUnavailable  the trusted third party cannot answer now
    ├── RetrievalRefused       a PACS did not do what was requested
    ├── LinkageError           an SNDS table or return file is wrong
    ├── TransferError          a download or a verification failed
    └── NotFound               what was requested does not exist, or is not the caller's
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Self

_PACKAGE = f"{__package__}."


class HubError(Exception):
    """Base of the hub's exceptions.

    `code` is stable and safe to log; `hint` says what to do next. Neither holds a value read from a dataset.
    """

    code = "hub-error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.hint = hint


class SettingsError(HubError):
    """A setting is missing, unsafe or contradictory."""

    code = "settings"


class ProfileError(HubError):
    """A de-identification profile is wrong; the message starts with `file:line`."""

    code = "profile"


class DefinitionError(HubError):
    """A cohort definition is wrong; the message starts with `file:line`."""

    code = "cohort-definition"


class MalformedDataset(HubError):
    """Bytes are not the DICOM that they claim to be; `code` names the fault."""

    code = "malformed"


class StorageUnavailable(HubError):
    """The disk is full or failing; the sender may try again later."""

    code = "storage-unavailable"


class KeyringError(HubError):
    """A key is missing, or its file can be read by others."""

    code = "keyring"


class SealBroken(HubError):
    """Sealed data cannot be decrypted: they were altered or truncated, or the key is another."""

    code = "seal-broken"

    def __init__(self) -> None:
        super().__init__(
            "what was sealed cannot be opened: it was altered, or its key is another",
            hint="restore keys and data from the same backup",
        )


class ThirdPartyUnavailable(HubError):
    """The trusted third party does not answer, refuses, or has no key in force; the call may be repeated later."""

    code = "third-party-away"


class RetrievalRefused(HubError):
    """A PACS did not do what was requested; `code` names the step."""

    code = "retrieval-refused"


class LinkageError(HubError):
    """An SNDS table or a return file is not what its name says."""

    code = "linkage"


class TransferError(HubError):
    """A download or a verification failed."""

    code = "transfer"


class NotFound(HubError):
    """What was requested does not exist, or belongs to others; the two cannot be told apart, on purpose."""

    code = "not-found"


@dataclass(frozen=True, slots=True)
class FaultSite:
    """Type of an exception and the line of our code where it rose, without its message, which may quote data."""

    kind: str
    """Its class, `ValueError`."""
    place: str
    """The innermost line of this package that it passed, `deidentification.engine.actions:71`; else empty."""

    @classmethod
    def from_exception(cls, fault: BaseException) -> Self:
        """Return the site of an exception that was raised."""
        ours = [
            f"{module.removeprefix(_PACKAGE)}:{line}"
            for frame, line in traceback.walk_tb(fault.__traceback__)
            if (module := frame.f_globals.get("__name__", "")).startswith(_PACKAGE)
        ]
        return cls(type(fault).__name__, ours[-1] if ours else "")

    def __str__(self) -> str:
        return f"{self.kind} at {self.place}" if self.place else self.kind
