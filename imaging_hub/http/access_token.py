"""Access tokens: random, shown once, and stored as their hash only."""

from __future__ import annotations

import hashlib
import secrets

_TOKEN_BYTES = 32


def generate_token() -> str:
    """Return a new token of 256 random bits, as URL-safe text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, which tables store; no salt is needed for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
