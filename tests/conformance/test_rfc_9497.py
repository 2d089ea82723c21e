"""The library of blinded tokens against RFC 9497, VOPRF(ristretto255, SHA-512): its test vectors, appendix A.1.2.

Whatever takes the place of `voprf` has to pass these, or every token of a blinded epoch changes.
"""

from __future__ import annotations

import pytest
from voprf.ristretto import BlindedInput, Client, Evaluator

PUBLIC_KEY = "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"
OUTPUTS = {
    "00": "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d"
    "a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    "5a" * 17: "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60"
    "356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
}
EVALUATIONS = [
    (
        "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
        "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
    ),
    (
        "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c",
        "60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468",
    ),
]
"""Blinded elements, and what the evaluator makes of them."""


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator.from_seed(bytes.fromhex("a3" * 32), b"test key")


def test_the_key_pair_is_that_of_the_seed(evaluator: Evaluator) -> None:
    assert evaluator.public_key.serialize().hex() == PUBLIC_KEY


@pytest.mark.parametrize(("message", "output"), OUTPUTS.items())
def test_a_known_input_is_evaluated(evaluator: Evaluator, message: str, output: str) -> None:
    assert evaluator.evaluate_known_input(bytes.fromhex(message)).hex() == output


@pytest.mark.parametrize(("blinded", "evaluated"), EVALUATIONS)
def test_a_blinded_input_is_evaluated(evaluator: Evaluator, blinded: str, evaluated: str) -> None:
    element = BlindedInput.deserialize(bytes.fromhex(blinded))
    assert evaluated in evaluator.evaluate(element).serialize().hex()


@pytest.mark.parametrize(("message", "output"), OUTPUTS.items())
def test_the_output_is_the_same_under_any_blind(evaluator: Evaluator, message: str, output: str) -> None:
    client, blinded = Client.blind(bytes.fromhex(message))
    again, otherwise = Client.blind(bytes.fromhex(message))
    assert blinded.serialize() != otherwise.serialize()
    for mine, element in ((client, blinded), (again, otherwise)):
        assert mine.finalize(evaluator.evaluate(element), evaluator.public_key).hex() == output


def test_an_answer_made_with_another_key_is_refused(evaluator: Evaluator) -> None:
    client, blinded = Client.blind(b"message")
    other = Evaluator.from_seed(bytes(32), b"test key")
    with pytest.raises(ValueError):
        client.finalize(other.evaluate(blinded), evaluator.public_key)
