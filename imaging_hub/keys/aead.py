"""Authenticated encryption, AES-256-GCM (NIST SP 800-38D): what is sealed is read and changed with its key only.

nonce       12 random bytes
ciphertext  as long as what was sealed
tag         16 bytes
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from imaging_hub.errors import SealBroken

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class AuthenticatedCipher:
    """Seals and opens under one key of 256 bits."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a key has 256 bits")
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: bytes = b"") -> bytes:
        """Nonce, ciphertext and tag; opened again with the same `context` only, which is not part of it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes:
        """What `seal` was given; raises `SealBroken`."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise SealBroken
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            raise SealBroken from None

    def seal_into(self, nonce: bytes, plain: memoryview, sealed: memoryview) -> None:
        """Write ciphertext and tag into `sealed`, of `TAG_BYTES` more; the caller sees that no nonce comes twice."""
        self._cipher.encrypt_into(nonce, plain, None, sealed)

    def open_into(self, nonce: bytes, sealed: memoryview, plain: memoryview) -> None:
        """Write what was sealed into `plain`, of `TAG_BYTES` less; raises `SealBroken`."""
        try:
            self._cipher.decrypt_into(nonce, sealed, None, plain)
        except InvalidTag:
            raise SealBroken from None
