"""The third party's keyrings, in a folder of its own; their form is that of `keys.keyring`."""

from __future__ import annotations

from pathlib import Path

from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring


def trust_keys(folder: Path) -> Keyring:
    """K2 of the third party, from its own folder."""
    return Keyring.open(folder / "trust.json")


def delivery_keys(folder: Path) -> Keyring:
    """A key for each delivery under way; made when it is not there: it has no backup, and needs none."""
    path = folder / "deliveries.json"
    if not path.exists():
        try:
            return Keyring.create(path)
        except KeyringError as there:
            if there.code != "keyring-exists":
                raise
    return Keyring.open(path)


def create_missing(folder: Path, *, filled: bool) -> None:
    """Make the third party's keyrings at first start; none takes the place of one that a vault was `filled` with."""
    if not (folder / "trust.json").exists():
        if filled:
            hint = "restore the third party's trust.json: with a new key every patient would be somebody new"
            raise KeyringError("the third party's keyring is missing", code="keyring-lost", hint=hint)
        Keyring.create(folder / "trust.json", ("level2",))
    if not (folder / "access.json").exists():
        Keyring.create(folder / "access.json", ("access",))
