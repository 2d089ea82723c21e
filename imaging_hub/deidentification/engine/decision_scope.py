"""The decisions of a plan at one place: a SOP Class, a modality, and the sequences that enclose it.

Precedence: what the Standard fixes for the de-identified instance itself; the profile's own rules; Table E.1-1
with the options chosen; and for attributes that the table does not name, their VR. An unknown attribute is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import attribute_name, is_known, vr_of
from imaging_hub.deidentification.engine import csa_header, public_dates
from imaging_hub.deidentification.engine.decision import (
    BY_NO_OPTION,
    BY_TYPE,
    NOT_IN_TABLE,
    PATIENT,
    REBUILT,
    STRINGS,
    UNREADABLE,
    AttributeDecision,
    Handling,
    action_of,
    covered_inside,
    fitted,
    handling_of_rule,
    retained,
    title,
    why_excluded,
    without_value,
)
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.deidentification.profile.rule import ProfileRule
from imaging_hub.deidentification.profile.selector import AttributeSelector
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.dicom import dictionary, tags

_CODES_BY_URL = frozenset((tags.CodingSchemeURL, tags.URNCodeValue))
SCOPES_MAX = 4096
"""Places remembered; a hostile nesting of sequences beyond it is decided each time anew."""


@dataclass(frozen=True, slots=True)
class CompiledProfile:
    """What decisions need of a profile, looked up once."""

    rules: tuple[tuple[AttributeSelector | None, ProfileRule], ...]
    """Those on public attributes and on VRs, the latter without a selector."""
    private_rules: tuple[ProfileRule, ...]
    """Those on private attributes and on VRs."""
    options: frozenset[str]
    date_option: str
    """The option that decides on dates; empty when none is chosen."""
    public_dates: frozenset[int]
    """Dates that would tell by how much all are moved; none where dates are not moved."""
    safe_private: Mapping[tuple[int, str, int], standard_tables.SafePrivateRow]
    """Table E.3.10-1 by group, creator and element; empty when its option is not chosen."""
    creators: frozenset[str]
    """Private creators that Table E.3.10-1 or a rule names; another could be a name of somebody."""

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Compile a profile."""
        listed = standard_tables.safe_private()
        dates = (
            option
            for option in (standard_tables.MODIFIED_DATES, standard_tables.FULL_DATES)
            if option in profile.options
        )
        return cls(
            rules=tuple((rule.selector, rule) for rule in profile.rules if rule.private is None),
            private_rules=tuple(rule for rule in profile.rules if rule.attribute is None),
            options=profile.options,
            date_option=next(dates, ""),
            public_dates=public_dates.tags() if standard_tables.MODIFIED_DATES in profile.options else frozenset(),
            safe_private=listed if standard_tables.SAFE_PRIVATE in profile.options else {},
            creators=frozenset(row.creator for row in listed.values())
            | {rule.private.creator for rule in profile.rules if rule.private is not None},
        )


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What decisions depend on of an instance."""

    sop_class_uid: str
    modality: str
    references: bool = False
    """It lists what it refers to (Common Instance Reference, PS3.3 §C.12.2)."""
    very_old: bool = False
    """Its patient is above the highest age that the profile lets be known, or nobody can say."""
    conditions: frozenset[str] = frozenset()
    """The profile's conditions that are known to hold of it."""


class DecisionScope:
    """The decisions at one place: a SOP Class, a modality, and the sequences that enclose it."""

    __slots__ = (
        "_blocks",
        "_children",
        "_items",
        "_places",
        "_profile",
        "_unknown",
        "_value",
        "decisions",
        "instance",
        "path",
    )

    def __init__(
        self,
        profile: CompiledProfile,
        instance: InstanceFacts,
        places: Iterator[int],
        path: tuple[int, ...] = (),
    ) -> None:
        """`places` numbers the places that all scopes of a plan remember; `path` holds the tags of the sequences."""
        self._profile = profile
        self._places = places
        self.instance = instance
        self.path = path
        self.decisions: dict[int, AttributeDecision] = {}
        self._children: dict[int, DecisionScope] = {}
        self._items: dict[AttributeDecision, DecisionScope] = {}
        self._value: AttributeDecision | None = None
        self._blocks: dict[tuple[int, str], dict[int, AttributeDecision]] = {}
        self._unknown: dict[int, AttributeChange] = {}

    def child(self, tag: int) -> DecisionScope:
        """Find the decisions inside the items of sequence `tag`."""
        scope = self._children.get(tag)
        if scope is None:
            scope = self._at((*self.path, tag))
            if is_known(tag) and next(self._places) < SCOPES_MAX:
                self._children[tag] = scope
        return scope

    def item(self, value: AttributeDecision) -> DecisionScope:
        """Find the decisions at this place for content items whose concept decides on their value (Table E.3.4-1)."""
        scope = self._items.get(value)
        if scope is None:
            scope = self._at(self.path)
            scope._value = value
            scope._children = self._children
            if len(self._items) < SCOPES_MAX:
                self._items[value] = scope
        return scope

    def _at(self, path: tuple[int, ...]) -> DecisionScope:
        return DecisionScope(self._profile, self.instance, self._places, path)

    def decide(self, tag: int, vr: str) -> AttributeDecision:
        """Decide on a public attribute that is encoded with `vr`."""
        decision = fitted(self._by_precedence(tag), vr)
        if vr == "UI" and decision.handling is Handling.SCAN:
            # A UID where another text belongs is a UID all the same.
            handling, options = self._by_vr(tag, vr)
            decision = replace(decision, handling=handling, options=decision.options | options)
        if self.instance.very_old and tag == tags.PatientBirthDate:
            decision = without_value(decision)
        if is_known(tag):
            self.decisions[tag] = decision
        return decision

    def _by_precedence(self, tag: int) -> AttributeDecision:
        vr = vr_of(tag)
        reason = why_excluded(tag)
        for selector, rule in () if reason == REBUILT else self._profile.rules:
            named = selector is not None and selector.selects(tag, self.path)
            if (named or rule.vr == vr) and self._is_meant(rule):
                made = self._made(tag, rule.action, handling_of_rule(rule, tag, vr, self._type(tag)), rule.name)
                return replace(made, argument=rule.argument)
        if self._value is not None and attribute_name(tag) == self._value.change.path:
            return self._value
        if reason:
            return self._made(tag, "X", Handling.REMOVE, reason)
        row = standard_tables.by_tag().get(tag)
        by_place = covered_inside(tag, self.path, self._profile.options)
        if by_place is not None:
            option, handling = by_place
            return self._made(tag, "C", handling, f"E.1-1 {title(option)}", frozenset((option,)))
        if row is not None:
            return self._by_table(tag, vr, row)
        handling, by_option = self._by_vr(tag, vr)
        return self._made(tag, "C", handling, NOT_IN_TABLE, by_option)

    def _is_meant(self, rule: ProfileRule) -> bool:
        return rule.when.holds(self.instance.modality, self.instance.sop_class_uid, self.instance.conditions)

    def _by_table(self, tag: int, vr: str, row: standard_tables.AttributeRow) -> AttributeDecision:
        action, options = action_of(row, BY_NO_OPTION if tag in self._profile.public_dates else self._profile.options)
        handling = retained(vr, action, options[0]) if options else None
        if handling is None:
            return self._made(
                tag, row.basic, self._handling(tag, vr, row.basic), f"E.1-1 {title(standard_tables.BASIC)}"
            )
        return self._made(tag, action, handling, f"E.1-1 {title(options[0])}", frozenset(options))

    def _handling(self, tag: int, vr: str, action: str) -> Handling:
        """An action of the Basic Profile as handling."""
        kind = self._type(tag)
        if tag in PATIENT and action != "X":
            return Handling.PSEUDONYM
        if action == "X/Z/U*" and (kind == "1" or self.instance.references):
            return Handling.RECURSE
        emptied = Handling.DUMMY if kind == "1" else Handling.EMPTY
        # X/Z, X/D, X/Z/D are not named here: X unless the Type asks for more.
        return {
            # A few IODs require what the table removes: a dummy keeps the instance one of its IOD.
            "X": Handling.DUMMY if kind == "1" else Handling.REMOVE,
            "D": Handling.DUMMY,
            "Z": emptied,
            "Z/D": emptied,
            "U": Handling.REMAP if vr == "UI" else Handling.DUMMY,
        }.get(action, BY_TYPE[kind])

    def _by_vr(self, tag: int, vr: str) -> tuple[Handling, frozenset[str]]:
        """Handling of an attribute that the Standard knows and Table E.1-1 does not name; and the option it follows."""
        fallback = BY_TYPE[self._type(tag)]
        if vr in ("DA", "DT", "TM"):
            option = self._profile.date_option
            if not option or tag in self._profile.public_dates:
                return fallback, BY_NO_OPTION
            shifted = option == standard_tables.MODIFIED_DATES and vr != "TM"
            return Handling.SHIFT if shifted else Handling.TIME, frozenset((option,))
        if vr == "UI" and standard_tables.RETAIN_UIDS in self._profile.options:
            return Handling.RETAIN, frozenset((standard_tables.RETAIN_UIDS,))
        if vr in ("PN", "AE") or (vr == "UR" and tag not in _CODES_BY_URL):
            return fallback, BY_NO_OPTION
        if vr in ("LT", "UT"):
            return Handling.CLEAN, BY_NO_OPTION
        handling = {
            "UN": Handling.REMOVE, "SQ": Handling.RECURSE, "UI": Handling.REMAP, "AS": Handling.AGE,
            "DS": Handling.NUMBER, "IS": Handling.NUMBER,
        }.get(vr, Handling.SCAN if vr in STRINGS else Handling.KEEP)  # fmt: skip
        return handling, BY_NO_OPTION

    def _type(self, tag: int) -> str:
        return standard_tables.type_of(self.instance.sop_class_uid, (*self.path, tag))

    def _made(
        self, tag: int, action: str, handling: Handling, rule: str, options: frozenset[str] = BY_NO_OPTION
    ) -> AttributeDecision:
        fallback: Handling
        if handling in (Handling.REMOVE, Handling.EMPTY):
            fallback = handling
        else:
            # Inside sequences only few Types are known; a dummy keeps every one of them valid.
            fallback = Handling.DUMMY if self.path else BY_TYPE[self._type(tag)]
        if options and handling is Handling.KEEP:
            handling = Handling.RETAIN
        return AttributeDecision(
            vr_of(tag), handling, fallback, AttributeChange(attribute_name(tag), action, rule), options=options
        )

    def unknown_private(self, tag: int) -> AttributeChange:
        """Return the removal of a private attribute whose creator nobody knows."""
        known = self._unknown.get(tag)
        if known is None:
            known = AttributeChange(f"({tag >> 16:04X},private,{tag & 0xFF:02X})", "X", "E.1-1 Basic")
            if len(self._unknown) < SCOPES_MAX:
                self._unknown[tag] = known
        return known

    def block(self, group: int, creator: str) -> dict[int, AttributeDecision] | None:
        """Return the decisions made so far on private attributes of a creator; None for one that nobody knows."""
        if creator not in self._profile.creators:
            return None
        return self._blocks.setdefault((group, creator), {})

    def private(self, group: int, creator: str, element: int, vr: str) -> AttributeDecision:
        """Decide on a private attribute of a creator that the plan knows; `element` is its place in the block."""
        name = f'({group:04X},"{creator}",{element:02X})'
        rule = self._private_rule(group, creator, element, vr)
        safe = self._profile.safe_private.get((group, creator, element))
        writes = vr
        if rule is not None:
            kept, source = rule.action in ("K", "C"), rule.name
            if vr == "UN" and rule.private is not None:
                writes = rule.private.vr or vr
        elif safe is not None:
            # A creator can lie about its block: the VR must be the one of the table.
            kept, source = safe.vr in ("", vr) or vr == "UN", "E.3.10-1"
            writes = safe.vr or vr
        else:
            kept, source = False, "E.1-1 Basic"
        if kept and writes == "UN":
            writes = dictionary.private_vr(group, creator, element)
            if writes == "UN":
                kept, source = False, UNREADABLE
        if not kept:
            decision = AttributeDecision(vr, Handling.REMOVE, Handling.REMOVE, AttributeChange(name, "X", source))
        else:
            handling, options = self._by_vr(0, writes)
            if rule is None:
                options |= {standard_tables.SAFE_PRIVATE}
                handling = Handling.RETAIN if handling is Handling.KEEP else handling
            if (
                rule is not None
                and rule.action == "C"
                and (creator, element) == (csa_header.CREATOR, csa_header.ELEMENT)
            ):
                handling = Handling.CSA
            decision = AttributeDecision(
                vr, handling, Handling.REMOVE, AttributeChange(name, "C", source), writes, options
            )
        self._blocks.setdefault((group, creator), {})[element] = decision
        return decision

    def _private_rule(self, group: int, creator: str, element: int, vr: str) -> ProfileRule | None:
        for rule in self._profile.private_rules:
            wanted = rule.private
            named = wanted is not None and wanted.creator == creator and wanted.element == element
            if named and wanted is not None and wanted.group not in (None, group):
                named = False
            if (named or rule.vr == vr) and self._is_meant(rule):
                return rule
        return None
