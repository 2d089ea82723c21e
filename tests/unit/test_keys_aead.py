"""One authenticated cipher: what was sealed is opened whole and unaltered, under its own key, or not at all."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from imaging_hub.errors import SealBroken
from imaging_hub.keys.aead import NONCE_BYTES, TAG_BYTES, AuthenticatedCipher

KEY = bytes(range(32))
CIPHER = AuthenticatedCipher(KEY)


@given(plain=st.binary(max_size=200), context=st.binary(max_size=40))
def test_what_is_sealed_is_opened_under_the_same_key_and_context_only(plain: bytes, context: bytes) -> None:
    sealed = CIPHER.seal(plain, context)
    assert len(sealed) == NONCE_BYTES + len(plain) + TAG_BYTES
    assert CIPHER.open(sealed, context) == plain
    for cipher, other in ((AuthenticatedCipher(KEY[::-1]), context), (CIPHER, context + b"x")):
        with pytest.raises(SealBroken):
            cipher.open(sealed, other)


@given(plain=st.binary(max_size=40), data=st.data())
def test_no_altered_bit_and_no_missing_byte_passes(plain: bytes, data: st.DataObject) -> None:
    sealed = CIPHER.seal(plain)
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    altered = bytearray(sealed)
    altered[bit // 8] ^= 1 << bit % 8
    for broken in (bytes(altered), sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + b"\0"):
        with pytest.raises(SealBroken) as refused:
            CIPHER.open(broken)
        assert refused.value.hint


def test_no_two_seals_are_alike() -> None:
    assert len({CIPHER.seal(b"the same") for _ in range(100)}) == 100


def test_what_earlier_versions_sealed_is_opened() -> None:
    """They wrote a nonce of 12 bytes, then what AES-GCM makes of the plain bytes."""
    nonce = bytes(range(12))
    assert CIPHER.open(nonce + AESGCM(KEY).encrypt(nonce, b"identifiers", None)) == b"identifiers"
    assert CIPHER.open(nonce + AESGCM(KEY).encrypt(nonce, b"sid", b"id_acc"), b"id_acc") == b"sid"


def test_the_cipher_is_that_of_the_published_vectors() -> None:
    """Test case 14 of McGrew and Viega, The Galois/Counter Mode of Operation (2005): AES-256, zeros throughout."""
    cipher, sealed = AuthenticatedCipher(bytes(32)), bytearray(16 + TAG_BYTES)
    cipher.seal_into(bytes(12), memoryview(bytes(16)), memoryview(sealed))
    assert sealed.hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    opened = bytearray(16)
    cipher.open_into(bytes(12), memoryview(sealed), memoryview(opened))
    assert bytes(opened) == bytes(16)
    sealed[0] ^= 1
    with pytest.raises(SealBroken):
        cipher.open_into(bytes(12), memoryview(sealed), memoryview(opened))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_has_256_bits(size: int) -> None:
    with pytest.raises(ValueError, match="256"):
        AuthenticatedCipher(bytes(size))
