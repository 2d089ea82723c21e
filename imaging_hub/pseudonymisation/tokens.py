"""Level-1 tokens, which the gateway sends to the third party in place of a person's identity."""

from __future__ import annotations

from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import level1
from imaging_hub.pseudonymisation.third_party import ThirdParty


def level1_token(keyring: Keyring, third_party: ThirdParty, message: str) -> str:
    """Return the token of a message of `keys.pseudonym_chain`, in the epoch of `keyring`, the gateway's.

    Raises `ThirdPartyUnavailable`, in a blinded epoch only.
    """
    (token_input,) = third_party.token_inputs([message], keyring, keyring.epoch)
    return level1(keyring.key("level1"), token_input, keyring.epoch)
