"""Whatever an instance is made of, nothing of its patient leaves with it. The long form: scripts/privacy_generated."""

from __future__ import annotations

from collections import Counter

import pytest
from an_instance import PSEUDONYMS, delivered, leaves
from generated_instance import Person, days_of, generated, left_of
from hypothesis import HealthCheck, given, seed, settings

from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import compile as compile_plan
from imaging_hub.deidentification.profile.profile import load, shipped
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Pseudonyms, SourceInstance
from imaging_hub.dicom import part10

OTHER = Pseudonyms("S-OTHER-0000-0000-0002", bytes(32), -77)
PLANS = {name: compile_plan(load(name)) for name in shipped()}
EXAMPLES = 200
_METHODS = 0x00120064
_CHANGING = (b"2.25.", b"20", b"19")
"""How UIDs and dates begin."""
_slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.mark.parametrize("profile", sorted(PLANS))
def test_nothing_of_a_generated_patient_leaves(profile: str) -> None:
    outcomes = examine(profile, EXAMPLES // 4 if profile != "research-longitudinal" else EXAMPLES)
    assert set(outcomes) <= {"delivered", "residual-identifier"}
    assert outcomes["delivered"] > 0.9 * outcomes.total(), outcomes


def examine(profile: str, examples: int, first: int = 0) -> Counter[str]:
    """Try so many generated instances, others for another `first` seed; their outcomes."""
    engine, outcomes = Deidentifier(PLANS[profile]), Counter[str]()

    @seed(first)
    @settings(max_examples=examples, deadline=None, suppress_health_check=_slow, database=None)
    @given(generated())
    def each(made: tuple[SourceInstance, Person, str]) -> None:
        source, person, charset = made
        assert left_of(person, bytes(source.dataset), charset), "what is looked for can be found"
        outcome = engine.deidentify(source, PSEUDONYMS)
        if not isinstance(outcome, DeidentifiedInstance):
            outcomes[outcome.reason] += 1
            return
        outcomes["delivered"] += 1
        file = b"".join(outcome.part10)
        left = left_of(person, file, charset)
        assert left == set()
        assert days_of(delivered(outcome)).isdisjoint({person.day, person.born})
        assert file == b"".join(_again(Deidentifier(PLANS[profile]), source, PSEUDONYMS).part10), (
            "the same key, the same bytes"
        )
        _cannot_be_joined(outcome, _again(engine, source, OTHER))
        _is_done(outcome, engine)

    each()
    return outcomes


def _again(engine: Deidentifier, source: SourceInstance, pseudonyms: Pseudonyms) -> DeidentifiedInstance:
    outcome = engine.deidentify(source, pseudonyms)
    assert isinstance(outcome, DeidentifiedInstance), outcome
    return outcome


def _cannot_be_joined(one: DeidentifiedInstance, other: DeidentifiedInstance) -> None:
    """Two outputs of one source share no UID of their own, no pseudonym and no day."""
    first, second = delivered(one), delivered(other)
    shared = {bytes(leaf.value) for leaf in leaves(first)} & {bytes(leaf.value) for leaf in leaves(second)}  # type: ignore[arg-type]
    assert not [value for value in shared if value.startswith(b"2.25.") or value.startswith(b"S-")]
    dummies = {"", "19000101"}
    assert days_of(first) & days_of(second) <= dummies


def _is_done(outcome: DeidentifiedInstance, engine: Deidentifier) -> None:
    """A second pass takes nothing more away: it remaps UIDs, moves dates once more and says which options ran then."""
    _, encoded = part10.split(b"".join(outcome.part10))
    again = delivered(_again(engine, SourceInstance(bytes(encoded), outcome.transfer_syntax_uid), PSEUDONYMS))
    before, after = (
        list(leaves([element for element in dataset if element.tag != _METHODS]))
        for dataset in (delivered(outcome), again)
    )
    assert [leaf.tag for leaf in before] == [leaf.tag for leaf in after]
    for one, two in zip(before, after, strict=True):
        # In implicit VR nobody says which private values are UIDs and dates.
        if one.vr not in ("UI", "DA", "DT") and (one.vr != "UN" or not bytes(one.value).startswith(_CHANGING)):  # type: ignore[arg-type]
            assert bytes(one.value) == bytes(two.value), hex(one.tag)  # type: ignore[arg-type]
