"""Concerns about a profile that loads: rules that never decide, and what is kept against Table E.1-1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute_explanation import enclosing
from imaging_hub.deidentification.engine.plan import compile
from imaging_hub.deidentification.profile.profile import Profile, selected
from imaging_hub.deidentification.profile.rule import ProfileRule, RuleCondition

HELD_BY_SOP_CLASS = frozenset(("DMS", "ES", "IVUS", "OP", "US", "XC"))
"""Modalities whose images are ultrasound, endoscopy or photographs: their SOP Classes are held whatever is trusted."""


@dataclass(frozen=True, slots=True)
class ProfileConcern:
    """One thing to change, or to be able to defend."""

    where: str
    """Profile and line."""
    message: str
    remedy: str
    is_error: bool = True
    """Whether the profile does not do what it says; otherwise it does, and somebody should know."""


def concerns(profile: Profile) -> list[ProfileConcern]:
    """List what there is to say of a profile and of those it extends, in the order of their rules."""
    return [
        *_never_deciding(profile.rules),
        *_out_of_reach(profile),
        *_kept(profile),
        *_of_options(profile),
        *_trusted_in_vain(profile),
    ]


def _never_deciding(rules: tuple[ProfileRule, ...]) -> Iterator[ProfileConcern]:
    for place, rule in enumerate(rules):
        # A profile overrides what it extends on purpose: only rules of one file are held against each other.
        before = next((one for one in rules[:place] if one.source == rule.source and _covers(one, rule)), None)
        if before is None:
            continue
        if _selects(before) == _selects(rule) and before.when == rule.when and before.action != rule.action:
            yield ProfileConcern(
                rule.name,
                f"{selected(rule)} becomes {rule.action} here and {before.action} by {before.name}",
                "remove one of the two rules",
            )
        else:
            yield ProfileConcern(
                rule.name,
                f"this rule never decides: {before.name} comes first and takes all it selects",
                "put the narrower rule first, or remove it",
            )


def _out_of_reach(profile: Profile) -> Iterator[ProfileConcern]:
    """Rules on what stands in a sequence that no object keeps."""
    plan = compile(profile)
    scopes = [plan.scope(sop_class, "") for sop_class in standard_tables.sop_classes()]
    for rule in profile.rules:
        place = () if rule.selector is None else rule.selector.place
        path = tuple(tag for tag in place if tag is not None)
        if not path or path != place or rule.action in ("X", "reject"):
            continue
        gone = [found for scope in scopes if (found := enclosing(scope, path)) is not None]
        if len(gone) == len(scopes):
            yield ProfileConcern(
                rule.name,
                f"this rule never decides: {gone[0].change.path} goes, by {gone[0].change.rule}",
                "add a rule that keeps the sequence, with action K, or remove this one",
            )


def _selects(rule: ProfileRule) -> tuple[object, ...]:
    return rule.selector, rule.private, rule.vr


def _covers(first: ProfileRule, second: ProfileRule) -> bool:
    """Whether a rule selects all that another selects, in all instances that the other is for."""
    if first.selector is not None and second.selector is not None:
        wider = first.selector.covers(second.selector)
    elif first.vr is not None and second.selector is not None:
        wider = second.selector.vr == first.vr
    else:
        wider = _selects(first) == _selects(second)
    return wider and _holds_wherever(first.when, second.when)


def _holds_wherever(first: RuleCondition, second: RuleCondition) -> bool:
    pairs = (
        (first.modality, second.modality),
        (first.sop_class, second.sop_class),
        (first.manufacturer, second.manufacturer),
    )
    if first.condition and first.condition != second.condition:
        return False
    return all(not wide or (narrow and set(narrow) <= set(wide)) for wide, narrow in pairs)


def _kept(profile: Profile) -> Iterator[ProfileConcern]:
    for rule in profile.kept_against_advice():
        row = standard_tables.by_tag().get(rule.tag or 0)
        if rule.selector is not None and rule.tag is None:
            yield ProfileConcern(
                rule.name, f"keeps {selected(rule)}, whatever Table E.1-1 says of each", "name the attributes", False
            )
            continue
        advice = f"Table E.1-1 says {row.basic}" if row is not None else "Table E.3.10-1 does not list it"
        if rule.private is not None and _is_safe(rule):
            continue
        yield ProfileConcern(
            rule.name, f"keeps {selected(rule)}: {advice}", "be able to say why, or remove the rule", False
        )


def _is_safe(rule: ProfileRule) -> bool:
    private = rule.private
    return private is not None and any(
        private.creator == creator and private.element == element and private.group in (None, group)
        for group, creator, element in standard_tables.safe_private()
    )


def _of_options(profile: Profile) -> Iterator[ProfileConcern]:
    if {standard_tables.RETAIN_UIDS, standard_tables.MODIFIED_DATES} <= profile.options:
        yield ProfileConcern(
            profile.name,
            "keeps UIDs and moves dates: many UIDs hold the true date",
            "choose retain-longitudinal-full-dates with retain-uids, or do without retain-uids",
            False,
        )


def _trusted_in_vain(profile: Profile) -> Iterator[ProfileConcern]:
    for modality in sorted(profile.trust & HELD_BY_SOP_CLASS):
        yield ProfileConcern(
            profile.name,
            f"trusts {modality}, which reaches none of its images: ultrasound, endoscopy, photographs and secondary"
            " captures are held by their SOP Class",
            f"remove {modality} from `trust`; such images pass once their pixels can be cleaned",
            False,
        )
