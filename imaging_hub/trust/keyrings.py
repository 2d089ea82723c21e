"""The third party's keyrings, in a folder of its own and in the format of `keys.keyring`."""

from __future__ import annotations

from pathlib import Path

from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring


def trust_keys(folder: Path) -> Keyring:
    """Open the keyring with K2; raises `KeyringError` as `Keyring.open`."""
    return Keyring.open(folder / "trust.json")


def delivery_keys(folder: Path) -> Keyring:
    """Open the keyring of deliveries, created when it is missing, because it has no backup on purpose.

    Raises `KeyringError` as `Keyring.open`.
    """
    path = folder / "deliveries.json"
    if not path.exists():
        try:
            return Keyring.create(path)
        except KeyringError as fault:
            if fault.code != "keyring-exists":
                raise
    return Keyring.open(path)


def create_missing(folder: Path, *, filled: bool) -> None:
    """Create the third party's keyrings at first start.

    Raises `KeyringError` `keyring-lost` when the vault is `filled` and its keyring is missing.
    """
    if not (folder / "trust.json").exists():
        if filled:
            hint = "restore the third party's trust.json: with a new key every patient would be somebody new"
            raise KeyringError("the third party's keyring is missing", code="keyring-lost", hint=hint)
        Keyring.create(folder / "trust.json", ("level2",))
    if not (folder / "access.json").exists():
        Keyring.create(folder / "access.json", ("access",))
