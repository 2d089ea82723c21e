"""Keys in files of their own: who can open one cannot open the next.

    gateway.json    level1, evaluator:<epoch>  K1, the producers' side; which public key evaluates its blinded inputs
    hub.json        pseudonym, date-shift, uid the worker's: what is written in archived instances
    originals.json  originals:<hospital>       wraps the keys under which originals are at rest
    projects.json   pid:<project>, uid:<project>   K3[p] and K4[p], made on demand, destroyed when a project ends
    access.json     access                     lets the hub in at the third party, which holds the same

and, in the third party's own folder (`trust.keyrings`), beside its `access.json`,

    trust.json      level2, blind:<epoch>      K2, the third party's side, and what blinded inputs are evaluated with
    deliveries.json id_acc:<delivery>          seals what the id_acc of a delivery stand for; destroyed with it

A keyring that others can read, that is a link, or that holds a sample key is refused. Losing one means losing every
pseudonym made with it: a missing file is created at first start only, by whoever says `create`.
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
_DISTINCT_BYTES_MIN = 16  # a random 256-bit key has about 30; fewer than 16 is a sample or a repeated pattern


@dataclass(frozen=True)
class Keyring:
    """Named 256-bit keys of one file, and the epoch they belong to."""

    path: Path
    epoch: int
    _keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The keyring in `path`; raises `KeyringError` when it is missing, exposed or weak."""
        epoch, keys = _read(path)
        return cls(path, epoch, keys)

    @classmethod
    def create(cls, path: Path, names: tuple[str, ...] = ()) -> Self:
        """A new keyring with random keys; never over an existing one."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = {name: secrets.token_bytes(KEY_BYTES) for name in names}
        try:
            _write(path, 1, keys)
        except FileExistsError:
            raise KeyringError("the keyring is already there", code="keyring-exists") from None
        return cls(path, 1, keys)

    def copy(self, folder: Path) -> None:
        """Leave the same keyring in `folder`, unless one of that name is there."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / self.path.name).exists():
            _write(folder / self.path.name, self.epoch, self._keys)

    def key(self, name: str) -> bytes:
        """The key of that name."""
        try:
            return self._keys[name]
        except KeyError:
            raise KeyringError("the keyring lacks a key it must have", code="key-missing", hint=f"`{name}`") from None

    def fingerprint(self, name: str) -> str:
        """Tells one key from another without giving it away."""
        return hmac.digest(self.key(name), b"imaging-hub|fingerprint|1", "sha256").hex()[:32]

    def project_key(self, use: Literal["pid", "uid"], project: str) -> bytes:
        """K3[p] (`pid`) or K4[p] (`uid`) of a project, made on first use; safe among processes."""
        return self._made(f"{use}:{project}")

    def hospital_key(self, hospital: str) -> bytes:
        """The key that wraps the keys of a hospital's originals, made on first use; safe among processes."""
        return self._made(f"originals:{hospital}")

    def known_hospital_key(self, hospital: str) -> bytes:
        """That key, to open what it wraps; raises `KeyringError` when there is none: a new one would open nothing."""
        name = f"originals:{hospital}"
        if name not in self._keys:
            self._keys.update(_read(self.path)[1])
        return self.key(name)

    def is_evaluator(self, epoch: int, public_key: bytes) -> bool:
        """Whether that public key evaluates blinded inputs of an epoch: the first that is asked after does."""
        return self._made(f"evaluator:{epoch}", public_key) == public_key

    def forget_evaluator(self, epoch: int) -> None:
        """Forget the one of an epoch that is over."""
        self._destroy(f"evaluator:{epoch}")

    def make_blinding_key(self, epoch: int) -> None:
        """Make what blinded inputs of an epoch are evaluated with, unless it is there."""
        self._made(f"blind:{epoch}")

    def blinding_key(self, epoch: int) -> bytes:
        """That key; raises `KeyringError` when it was never made, or is destroyed."""
        return self.key(f"blind:{epoch}")

    def forget_blinding(self, epoch: int) -> None:
        """Destroy that of an epoch that is over."""
        self._destroy(f"blind:{epoch}")

    def delivery_key(self, delivery: str) -> bytes:
        """The key that seals the id_acc of a delivery, made on first use; safe among processes."""
        return self._made(f"id_acc:{delivery}")

    def known_delivery_key(self, delivery: str) -> bytes | None:
        """That key, as long as the delivery is not destroyed."""
        return _read(self.path)[1].get(f"id_acc:{delivery}")

    def destroy_delivery(self, delivery: str) -> None:
        """Forget the key of a delivery: nobody can say any more what its id_acc stood for, from a backup either."""
        self._destroy(f"id_acc:{delivery}")

    def advance(self, name: str, epoch: int, successor: bytes | None = None) -> None:
        """Give the key `name` a successor in `epoch`, drawn unless it is given; done once, it is done.

        The former stays until `forget_former`.
        """
        with _locked(self.path):
            now, keys = _read(self.path)
            if now < epoch:
                keys |= {f"{name}:former": keys[name], name: successor or secrets.token_bytes(KEY_BYTES)}
                _replace(self.path, epoch, keys)

    def former(self, name: str) -> bytes | None:
        """The key before this one, while the vault is being filled with the new."""
        return self._keys.get(f"{name}:former")

    def forget_former(self, name: str) -> None:
        """Destroy the key before this one."""
        self._destroy(f"{name}:former")

    def _made(self, name: str, made: bytes | None = None) -> bytes:
        if name not in self._keys:
            with _locked(self.path):
                epoch, keys = _read(self.path)
                if name not in keys:
                    keys[name] = made or secrets.token_bytes(KEY_BYTES)
                    _replace(self.path, epoch, keys)
            self._keys.update(keys)
        return self._keys[name]

    def destroy_project(self, project: str) -> None:
        """Forget a project's keys: its pseudonyms can no longer be made or checked by anyone."""
        self._destroy(f"pid:{project}", f"uid:{project}")

    def _destroy(self, *names: str) -> None:
        with _locked(self.path):
            epoch, keys = _read(self.path)
            _replace(self.path, epoch, {name: key for name, key in keys.items() if name not in names})
        for name in names:
            self._keys.pop(name, None)


_FILES: dict[str, tuple[str, ...]] = {
    "gateway.json": ("level1",),
    "hub.json": ("pseudonym", "date-shift", "uid"),
    "projects.json": (),
}
_ADDED_LATER = "originals.json"


def create_missing(folder: Path) -> None:
    """Make the keyrings at first start; later, one of the first three that is missing was lost and is not replaced."""
    missing = [name for name in _FILES if not (folder / name).is_symlink() and not (folder / name).exists()]
    if missing and len(missing) < len(_FILES):
        hint = f"restore {', '.join(missing)} from the backup: with new keys every patient would be somebody new"
        raise KeyringError("a keyring is missing while others are there", code="keyring-lost", hint=hint)
    for name in missing:
        Keyring.create(folder / name, _FILES[name])
    # A hub of before has none yet. Were it lost, what it sealed says so when it is read: the wrapping is authentic.
    if not (folder / _ADDED_LATER).exists():
        Keyring.create(folder / _ADDED_LATER)


def gateway_keys(folder: Path) -> Keyring:
    """K1 of the identifying zone."""
    return Keyring.open(folder / "gateway.json")


def access_key(folder: Path) -> str:
    """What the hub shows the third party to be let in, in hexadecimal; either's folder."""
    if not (path := folder / "access.json").exists():
        hint = (
            f"bring it from the third party's folder of keys to {path}; where both are here, `imaging-hub serve` does"
        )
        raise KeyringError("the third party's key of access is missing", code="keyring-missing", hint=hint)
    return Keyring.open(path).key("access").hex()


def hub_keys(folder: Path) -> Keyring:
    """Keys of what is written in archived instances."""
    return Keyring.open(folder / "hub.json")


def project_keys(folder: Path) -> Keyring:
    """Keys of projects, none at first."""
    return Keyring.open(folder / "projects.json")


def original_keys(folder: Path) -> Keyring:
    """A key for each hospital, which wraps the keys of its originals; none at first."""
    return Keyring.open(folder / _ADDED_LATER)


def _read(path: Path) -> tuple[int, dict[str, bytes]]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as fault:
        hint = f"restore {path} from its backup; only at first start does `imaging-hub serve` make it"
        raise KeyringError("the keyring cannot be opened, or is a link", code="keyring-missing", hint=hint) from fault
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or stat.S_IMODE(state.st_mode) & 0o077 or state.st_uid != os.geteuid():
            raise KeyringError(
                "the keyring can be reached by others",
                code="keyring-exposed",
                hint=f"chmod 600 {path}, or make new keys",
            )
        content = file.read()
    try:
        known = json.loads(content)
        if known["format"] != _FORMAT:
            raise ValueError
        return int(known["epoch"]), {str(name): _parse(key) for name, key in known["keys"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyringError("the keyring is not what this version writes", code="keyring-malformed") from None


def _parse(digits: str) -> bytes:
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError
    key = bytes.fromhex(digits)
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    if len(set(key)) < _DISTINCT_BYTES_MIN or len(steps) == 1:
        raise KeyringError("the keyring holds a sample key", code="key-weak", hint="make new keys")
    return key


def _write(path: Path, epoch: int, keys: Mapping[str, bytes]) -> None:
    """Write a whole 0600 file under its name, or raise `FileExistsError`."""
    draft = _draft(path, epoch, keys)
    try:
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    _sync(path.parent)


def _replace(path: Path, epoch: int, keys: Mapping[str, bytes]) -> None:
    _draft(path, epoch, keys).replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make a name in `folder` durable: what is made with a key must not outlive it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draft(path: Path, epoch: int, keys: Mapping[str, bytes]) -> Path:
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
    """Writers of one keyring take turns; the lock file stays, as removing it would let two in."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
