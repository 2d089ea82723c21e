"""The faults of the hub, a reason code each, never a value.

A *decision* (refused, denied, quarantined) is a value, not an exception: see
`deidentification.instance`, `permits.policy`. What follows is for faults and wrong calls.

    HubError
    ├── SettingsError          a setting is missing, unsafe or contradictory
    ├── ProfileError           a de-identification profile is wrong
    ├── DefinitionError        a cohort definition is wrong
    ├── MalformedDataset       bytes that are not the DICOM they claim to be
    ├── StorageUnavailable     disk full or I/O error while storing
    ├── KeyringError           a key is missing or its file is readable by others
    ├── ThirdPartyUnavailable  the trusted third party gives no subject now
    ├── RetrievalRefused       a PACS did not do what it was asked
    ├── LinkageError           an SNDS table or return file is wrong
    ├── TransferError          a download or a verification failed
    └── NotFound               what was asked for is not there, or not for you
"""

from __future__ import annotations


class HubError(Exception):
    """Something went wrong in the hub.

    `code` is stable and safe to log; `hint` says what to do next. Neither ever holds a value
    read from a dataset.
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
    """Bytes that are not the DICOM they claim to be; `code` names the fault."""

    code = "malformed"


class StorageUnavailable(HubError):
    """The disk is full or failing; the sender may try again later."""

    code = "storage-unavailable"


class KeyringError(HubError):
    """A key is missing, or its file can be read by others."""

    code = "keyring"


class ThirdPartyUnavailable(HubError):
    """The trusted third party does not answer, refuses, or has no key in force; the call may be repeated."""

    code = "third-party-away"


class RetrievalRefused(HubError):
    """A PACS did not do what it was asked; `code` says at which step."""

    code = "retrieval-refused"


class LinkageError(HubError):
    """An SNDS table or a return file is not what its name says."""

    code = "linkage"


class TransferError(HubError):
    """A download or a verification failed."""

    code = "transfer"


class NotFound(HubError):
    """What was asked for is not there, or not there for you: the two look alike on purpose."""

    code = "not-found"
