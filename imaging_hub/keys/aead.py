"""Authenticated encryption with AES-256-GCM (NIST SP 800-38D).

A sealed value is

    nonce       12 random bytes
    ciphertext  as long as the plaintext
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
    """Encrypts (seals) and decrypts (opens) under one 256-bit key; raises `ValueError` for a key of another length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a key has 256 bits")
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: bytes = b"") -> bytes:
        """Return the sealed value; `context` is authenticated but not included, and must be given to open it."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes:
        """Return the plaintext; raises `SealBroken` when value, key or context is not that of `seal`."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise SealBroken
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            raise SealBroken from None

    def seal_into(self, nonce: bytes, plain: memoryview, sealed: memoryview) -> None:
        """Write ciphertext and tag into `sealed`, `TAG_BYTES` longer than `plain`; a nonce must not be used twice."""
        self._cipher.encrypt_into(nonce, plain, None, sealed)

    def open_into(self, nonce: bytes, sealed: memoryview, plain: memoryview) -> None:
        """Write the plaintext into `plain`, `TAG_BYTES` shorter than `sealed`; raises `SealBroken`."""
        try:
            self._cipher.decrypt_into(nonce, sealed, None, plain)
        except InvalidTag:
            raise SealBroken from None
