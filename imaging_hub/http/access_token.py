"""Access tokens: drawn here, shown once, and kept as their hash only."""

from __future__ import annotations

import hashlib
import secrets

_TOKEN_BYTES = 32


def draw() -> str:
    """A new token of 256 random bits, in URL-safe text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str) -> str:
    """What a table holds of a token: SHA-256 in hexadecimal, enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
