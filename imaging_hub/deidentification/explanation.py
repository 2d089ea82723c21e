"""What a profile does, in words: for one attribute, and in comparison with another profile."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.attribute import attribute_name, vr_of
from imaging_hub.deidentification.decision import Handling
from imaging_hub.deidentification.plan import Plan, compile
from imaging_hub.deidentification.profile import Profile
from imaging_hub.deidentification.scope import Scope

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
class Explanation:
    """What becomes of one attribute, and why."""

    attribute: str
    vr: str
    type: str
    """Type in the IOD asked for."""
    action: str
    becomes: str
    otherwise: str
    """What becomes of a value that cannot be kept after all."""
    rule: str


def explain(plan: Plan, tag: int, sop_class_uid: str = CT_IMAGE, modality: str = "CT") -> Explanation:
    """Why a plan treats an attribute, at the top level of instances of this SOP Class, as it does."""
    return explain_at(plan.scope(sop_class_uid, modality), tag)


def explain_at(scope: Scope, tag: int) -> Explanation:
    """Why an attribute is treated as it is at one place, such as the top level of a given instance."""
    decision = scope.decide(tag, vr_of(tag))
    return Explanation(
        attribute=attribute_name(tag),
        vr=vr_of(tag),
        type=standard.type_of(scope.sop_class_uid, (tag,)),
        action=decision.change.action,
        becomes=WORDS[decision.handling],
        otherwise=WORDS[decision.fallback],
        rule=decision.change.rule,
    )


def differences(first: Profile, second: Profile) -> list[tuple[Explanation, Explanation]]:
    """The attributes of Table E.1-1 and of the profiles' own rules that the two treat differently, in a CT image."""
    tags = sorted(set(standard.by_tag()) | {rule.tag for rule in first.rules + second.rules if rule.tag is not None})
    plans = compile(first), compile(second)
    pairs = ((explain(plans[0], tag), explain(plans[1], tag)) for tag in tags)
    return [pair for pair in pairs if pair[0].becomes != pair[1].becomes]
