"""What a profile does, in words: for one attribute, and in comparison with another profile."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import attribute_name, vr_of
from imaging_hub.deidentification.engine.decision import AttributeDecision, Handling
from imaging_hub.deidentification.engine.decision_scope import DecisionScope
from imaging_hub.deidentification.engine.plan import Plan, compile
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.profile.selector import place_of

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

WORDS = {
    Handling.KEEP: "kept as it stands",
    Handling.RETAIN: "kept as it stands",
    Handling.REMOVE: "removed",
    Handling.EMPTY: "emptied",
    Handling.DUMMY: "replaced by a dummy",
    Handling.PSEUDONYM: "replaced by the patient's pseudonym",
    Handling.SCAN: "kept without the patient's identifiers",
    Handling.CLEAN: "cleaned: without identifiers and unknown words",
    Handling.REMAP: "UID remapped",
    Handling.SHIFT: "moved by the patient's offset",
    Handling.TIME: "kept when it is a time or date",
    Handling.NUMBER: "kept when it is a number",
    Handling.CSA: "kept, of its fields only those of numbers that the hub knows",
    Handling.AGE: "kept when it is an age",
    Handling.REPLACE: "replaced by what the profile says",
    Handling.HASH: "replaced by a keyed hash",
    Handling.TRUNCATE: "shortened, without the patient's identifiers",
    Handling.REJECT: "the instance is quarantined",
    Handling.RECURSE: "kept, its items cleaned",
    Handling.CONTENT: "kept, its content items cleaned by Table E.3.4-1",
}
"""Each handling as people read it."""


@dataclass(frozen=True, slots=True)
class AttributeExplanation:
    """The decision on one attribute, and its reason."""

    attribute: str
    vr: str
    type: str
    """Type in the IOD asked for."""
    action: str
    becomes: str
    otherwise: str
    """The action on a value that cannot be kept after all."""
    rule: str


def explain(plan: Plan, *path: int) -> AttributeExplanation:
    """Explain why a plan treats an attribute of a CT image as it does; `path` as in `explain_at`."""
    return explain_at(plan.scope(CT_IMAGE, "CT"), *path)


def explain_at(scope: DecisionScope, *path: int) -> AttributeExplanation:
    """Explain why an attribute is treated as it is below one place, such as the top level of a given instance.

    `path`: the tags of the sequences around it, and its own. It goes with the first of these that goes.
    """
    tag = path[-1]
    decision = enclosing(scope, path[:-1])
    for sequence in path[:-1]:
        scope = scope.child(sequence)
    if decision is None:
        decision = scope.decide(tag, vr_of(tag))
    return AttributeExplanation(
        attribute=place_of(path),
        vr=vr_of(tag),
        type=standard_tables.type_of(scope.instance.sop_class_uid, path),
        action=decision.change.action,
        becomes=WORDS[decision.handling] + _with(decision, path),
        otherwise=WORDS[decision.fallback],
        rule=decision.change.rule,
    )


def enclosing(scope: DecisionScope, sequences: tuple[int, ...]) -> AttributeDecision | None:
    """Find the decision by which the items of nested sequences do not stay; None when they do."""
    for tag in sequences:
        decision = scope.decide(tag, vr_of(tag))
        if decision.handling not in (Handling.RECURSE, Handling.CONTENT):
            return decision
        scope = scope.child(tag)
    return None


def _with(decision: AttributeDecision, path: tuple[int, ...]) -> str:
    """What an attribute goes with, where a sequence around it decides."""
    around = decision.change.path
    return "" if around == attribute_name(path[-1]) else f", with {around}"


def differences(first: Profile, second: Profile) -> list[tuple[AttributeExplanation, AttributeExplanation]]:
    """List what two profiles treat differently in a CT image, of Table E.1-1 and of their own rules."""
    paths = {(tag,) for tag in standard_tables.by_tag()} | {
        (*(around for around in selector.place if around is not None), selector.tag)
        for rule in first.rules + second.rules
        if (selector := rule.selector) is not None and selector.tag is not None
    }
    plans = compile(first), compile(second)
    pairs = ((explain(plans[0], *path), explain(plans[1], *path)) for path in sorted(paths))
    return [pair for pair in pairs if pair[0].becomes != pair[1].becomes]
