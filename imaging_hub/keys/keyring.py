"""Keyrings: files of 256-bit keys, one for each process that needs different keys.

    gateway.json    level1, evaluator:<epoch>      K1, the producers' side; pinned public key of the third party's OPRF
    hub.json        pseudonym, date-shift, uid     the worker's keys for values written in archived instances
    originals.json  originals:<hospital>           wrap the keys under which originals are encrypted
    projects.json   pid:<project>, uid:<project>   K3[p] and K4[p], created on demand, destroyed when a project ends
    access.json     access                         authenticates the hub to the third party, which holds the same key

and, in the third party's own folder (`trust.keyrings`), beside its `access.json`,

    trust.json      level2, blind:<epoch>          K2, the third party's side, and its OPRF key of a blinded epoch
    deliveries.json id_acc:<delivery>              encrypt the subjects of a delivery; destroyed with it

A keyring that others can read, that is a link, or that holds a sample key is refused. Losing one means losing every
pseudonym made with it, so a missing file is created at first start only.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from imaging_hub.errors import KeyringError
from imaging_hub.keys.aead import KEY_BYTES

_FORMAT = "imaging-hub-keyring-1"
_MIN_DISTINCT_BYTES = 16  # a random 256-bit key has about 30; fewer than 16 is a sample or a repeated pattern


@dataclass(frozen=True)
class Keyring:
    """Named 256-bit keys of one file, and their epoch; methods that change the file are safe among processes."""

    path: Path
    epoch: int
    _keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the keyring in `path`; raises `KeyringError` when it is missing, exposed, malformed or weak."""
        epoch, keys = _read(path)
        return cls(path, epoch, keys)

    @classmethod
    def create(cls, path: Path, names: tuple[str, ...] = ()) -> Self:
        """Create a keyring with random keys; raises `KeyringError` `keyring-exists` instead of replacing one."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = {name: secrets.token_bytes(KEY_BYTES) for name in names}
        try:
            _write_new(path, 1, keys)
        except FileExistsError:
            raise KeyringError("the keyring is already there", code="keyring-exists") from None
        return cls(path, 1, keys)

    def copy_to(self, folder: Path) -> None:
        """Copy the keyring to `folder`, unless a file of that name is there."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / self.path.name).exists():
            _write_new(folder / self.path.name, self.epoch, self._keys)

    def key(self, name: str) -> bytes:
        """Return the key of that name; raises `KeyringError` `key-missing`."""
        try:
            return self._keys[name]
        except KeyError:
            raise KeyringError("the keyring lacks a key it must have", code="key-missing", hint=f"`{name}`") from None

    def fingerprint(self, name: str) -> str:
        """Return 32 hexadecimal digits that identify a key without revealing it."""
        return hmac.digest(self.key(name), b"imaging-hub|fingerprint|1", "sha256").hex()[:32]

    def project_key(self, use: Literal["pid", "uid"], project: str) -> bytes:
        """Return K3[p] (`pid`) or K4[p] (`uid`) of a project, created on first use."""
        return self._get_or_create(f"{use}:{project}")

    def hospital_key(self, hospital: str) -> bytes:
        """Return the key that wraps the keys of a hospital's originals, created on first use."""
        return self._get_or_create(f"originals:{hospital}")

    def existing_hospital_key(self, hospital: str) -> bytes:
        """Return that key to unwrap with; raises `KeyringError` `key-missing`, as a new key could unwrap nothing."""
        name = f"originals:{hospital}"
        if name not in self._keys:
            self._keys.update(_read(self.path)[1])
        return self.key(name)

    def pin_evaluator(self, epoch: int, public_key: bytes) -> bool:
        """Pin the OPRF public key of an epoch on first use; returns whether `public_key` is the pinned one."""
        return self._get_or_create(f"evaluator:{epoch}", public_key) == public_key

    def destroy_evaluator(self, epoch: int) -> None:
        """Delete the pinned public key of an epoch that is over."""
        self._destroy(f"evaluator:{epoch}")

    def create_blinding_key(self, epoch: int) -> None:
        """Create the OPRF key of a blinded epoch, unless it exists."""
        self._get_or_create(f"blind:{epoch}")

    def blinding_key(self, epoch: int) -> bytes:
        """Return that key; raises `KeyringError` `key-missing` when it was never created, or is destroyed."""
        return self.key(f"blind:{epoch}")

    def destroy_blinding_key(self, epoch: int) -> None:
        """Destroy the OPRF key of an epoch that is over."""
        self._destroy(f"blind:{epoch}")

    def delivery_key(self, delivery: str) -> bytes:
        """Return the key that encrypts the subjects of a delivery, created on first use."""
        return self._get_or_create(f"id_acc:{delivery}")

    def existing_delivery_key(self, delivery: str) -> bytes | None:
        """Return that key, or None when the delivery is destroyed or unknown."""
        return _read(self.path)[1].get(f"id_acc:{delivery}")

    def destroy_delivery_key(self, delivery: str) -> None:
        """Destroy the key of a delivery; its id_acc can no longer be resolved, not from a database backup either."""
        self._destroy(f"id_acc:{delivery}")

    def rotate(self, name: str, epoch: int, successor: bytes | None = None) -> None:
        """Replace the key `name` for `epoch` by `successor` or a random key; no effect when the epoch is reached.

        The former key is kept until `destroy_former_key`.
        """
        with _locked(self.path):
            current_epoch, keys = _read(self.path)
            if current_epoch < epoch:
                keys |= {f"{name}:former": keys[name], name: successor or secrets.token_bytes(KEY_BYTES)}
                _replace(self.path, epoch, keys)

    def former_key(self, name: str) -> bytes | None:
        """Return the key before the last rotation, or None once it is destroyed."""
        return self._keys.get(f"{name}:former")

    def destroy_former_key(self, name: str) -> None:
        """Destroy the key before the last rotation."""
        self._destroy(f"{name}:former")

    def _get_or_create(self, name: str, key: bytes | None = None) -> bytes:
        if name not in self._keys:
            with _locked(self.path):
                epoch, keys = _read(self.path)
                if name not in keys:
                    keys[name] = key or secrets.token_bytes(KEY_BYTES)
                    _replace(self.path, epoch, keys)
            self._keys.update(keys)
        return self._keys[name]

    def destroy_project_keys(self, project: str) -> None:
        """Destroy a project's keys; its pseudonyms can no longer be made or checked."""
        self._destroy(f"pid:{project}", f"uid:{project}")

    def _destroy(self, *names: str) -> None:
        with _locked(self.path):
            epoch, keys = _read(self.path)
            _replace(self.path, epoch, {name: key for name, key in keys.items() if name not in names})
        for name in names:
            self._keys.pop(name, None)


_FIRST_KEYRINGS: dict[str, tuple[str, ...]] = {
    "gateway.json": ("level1",),
    "hub.json": ("pseudonym", "date-shift", "uid"),
    "projects.json": (),
}
_ORIGINALS = "originals.json"


def create_missing(folder: Path) -> None:
    """Create the hub's keyrings at first start.

    Raises `KeyringError` `keyring-lost` when one is missing beside others: it was lost and is not replaced.
    """
    missing = [name for name in _FIRST_KEYRINGS if not (folder / name).is_symlink() and not (folder / name).exists()]
    if missing and len(missing) < len(_FIRST_KEYRINGS):
        hint = f"restore {', '.join(missing)} from the backup: with new keys every patient would be somebody new"
        raise KeyringError("a keyring is missing while others are there", code="keyring-lost", hint=hint)
    for name in missing:
        Keyring.create(folder / name, _FIRST_KEYRINGS[name])
    # Hubs of earlier versions have none. If it was lost, unwrapping fails when an original is read.
    if not (folder / _ORIGINALS).exists():
        Keyring.create(folder / _ORIGINALS)


def gateway_keys(folder: Path) -> Keyring:
    """Open the gateway's keyring, with K1; raises `KeyringError` as `Keyring.open`."""
    return Keyring.open(folder / "gateway.json")


def access_key(folder: Path) -> str:
    """Return the bearer token of the hub at the third party, in hexadecimal, from either's folder.

    Raises `KeyringError` `keyring-missing` when access.json has not been brought.
    """
    if not (path := folder / "access.json").exists():
        hint = (
            f"bring it from the third party's folder of keys to {path}; where both are here, `imaging-hub serve` does"
        )
        raise KeyringError("the third party's key of access is missing", code="keyring-missing", hint=hint)
    return Keyring.open(path).key("access").hex()


def hub_keys(folder: Path) -> Keyring:
    """Open the worker's keyring, for values in archived instances; raises `KeyringError` as `Keyring.open`."""
    return Keyring.open(folder / "hub.json")


def project_keys(folder: Path) -> Keyring:
    """Open the keyring of projects; raises `KeyringError` as `Keyring.open`."""
    return Keyring.open(folder / "projects.json")


def original_keys(folder: Path) -> Keyring:
    """Open the keyring of hospitals, for their originals; raises `KeyringError` as `Keyring.open`."""
    return Keyring.open(folder / _ORIGINALS)


def _read(path: Path) -> tuple[int, dict[str, bytes]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as fault:
        hint = f"restore {path} from its backup; only at first start does `imaging-hub serve` make it"
        raise KeyringError("the keyring cannot be opened, or is a link", code="keyring-missing", hint=hint) from fault
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid != os.geteuid():
            raise KeyringError(
                "the keyring can be reached by others",
                code="keyring-exposed",
                hint=f"chmod 600 {path}, or make new keys",
            )
        content = file.read()
    try:
        document = json.loads(content)
        if document["format"] != _FORMAT:
            raise ValueError
        return int(document["epoch"]), {str(name): _parse_key(key) for name, key in document["keys"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyringError("the keyring is not what this version writes", code="keyring-malformed") from None


def _parse_key(digits: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError
    key = bytes.fromhex(digits)
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    if len(set(key)) < _MIN_DISTINCT_BYTES or len(steps) == 1:
        raise KeyringError("the keyring holds a sample key", code="key-weak", hint="make new keys")
    return key


def _write_new(path: Path, epoch: int, keys: Mapping[str, bytes]) -> None:
    """Write a new 0600 file atomically; raises `FileExistsError`."""
    draft = _write_draft(path, epoch, keys)
    try:
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _replace(path: Path, epoch: int, keys: Mapping[str, bytes]) -> None:
    _write_draft(path, epoch, keys).replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the folder, because no data may outlive the key it was made with."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_draft(path: Path, epoch: int, keys: Mapping[str, bytes]) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    content = {"format": _FORMAT, "epoch": epoch, "keys": {name: key.hex() for name, key in keys.items()}}
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    return draft


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a keyring for writing; the lock file stays, as removing it would let two writers in."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
