"""Key ceremony: the third party's key, derived from the shares of two custodians.

A share is 256 random bits in a 0600 file, made by its custodian (`imaging-hub trust share`) and needed again only to
restore the key. Neither share reveals anything of the key without the other (HKDF-SHA-256 over both, RFC 5869).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from imaging_hub.errors import KeyringError
from imaging_hub.keys.aead import KEY_BYTES

_FINGERPRINT_DIGITS = 16


@dataclass(frozen=True)
class KeyShare:
    """One custodian's share of a key."""

    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the share without revealing it, for the protocol and the trail."""
        return hashlib.sha256(b"imaging-hub|share|1|" + self.secret).hexdigest()[:_FINGERPRINT_DIGITS]

    @classmethod
    def create(cls, path: Path) -> KeyShare:
        """Create a random share in a new 0600 file; raises `KeyringError` `share-exists`."""
        share = cls(secrets.token_bytes(KEY_BYTES))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise KeyringError("the file is there already", code="share-exists", hint="name a new file") from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(share.secret.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return share

    @classmethod
    def open(cls, path: Path) -> KeyShare:
        """Read a share; raises `KeyringError` when the file is missing, exposed or no share."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as fault:
            raise KeyringError("the share cannot be opened, or is a link", code="share-missing") from fault
        with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise KeyringError("the share can be reached by others", code="share-exposed", hint="make a new one")
            digits = file.read().strip()
        try:
            secret = bytes.fromhex(digits)
        except ValueError:
            secret = b""
        if len(secret) != KEY_BYTES:
            raise KeyringError("this is no share", code="share-malformed", hint="64 hexadecimal characters")
        return cls(secret)


def combine_shares(first: KeyShare, second: KeyShare, epoch: int) -> bytes:
    """Return the third party's key of an epoch; raises `KeyringError` `share-alone` when both shares are the same."""
    if first.secret == second.secret:
        raise KeyringError("both shares are one", code="share-alone", hint="each custodian makes an own share")
    label = f"imaging-hub|level2|{epoch}".encode()
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=label).derive(first.secret + second.secret)
