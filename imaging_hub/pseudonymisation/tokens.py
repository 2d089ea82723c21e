"""What the gateway sends the third party for a person: a level-1 token of the epoch its key is of."""

from __future__ import annotations

from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import level1
from imaging_hub.pseudonymisation.third_party import ThirdParty


def token(keyring: Keyring, third_party: ThirdParty, message: str) -> str:
    """The token of a message of `chain`; `keyring` is the gateway's. Raises `ThirdPartyAway` in a blinded epoch."""
    (concealed,) = third_party.concealed([message], keyring, keyring.epoch)
    return level1(keyring.key("level1"), concealed, keyring.epoch)
