"""A profile compiled for speed: for each SOP Class and place in the dataset, what becomes of each attribute, and why.

Precedence: the profile's own rules; what the Standard fixes for the de-identified instance itself; Table E.1-1
with the options chosen; and for attributes that the table does not name, their VR. Whatever nobody knows is removed.

Nothing here has seen a patient: a plan is shared by all instances, of all patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from imaging_hub.deidentification import standard
from imaging_hub.deidentification.attribute import TEXT_VRS, attribute_name, is_known, vr_of
from imaging_hub.deidentification.instance import Change
from imaging_hub.deidentification.profile import Profile, Rule


class Handling(Enum):
    """How the engine treats one element."""

    KEEP = auto()
    """As it stands."""
    REMOVE = auto()
    EMPTY = auto()
    DUMMY = auto()
    """A value that means nothing, of the right VR."""
    PSEUDONYM = auto()
    """The patient's pseudonym."""
    SCAN = auto()
    """Kept without the patient's identifiers."""
    CLEAN = auto()
    """Kept without identifiers and without any word of no known vocabulary."""
    REMAP = auto()
    """UIDs replaced, those of the Standard kept."""
    SHIFT = auto()
    """Dates moved by the patient's offset."""
    TIME = auto()
    """A time of day or offset from UTC, kept when it is one."""
    NUMBER = auto()
    """Kept when it is a number."""
    AGE = auto()
    """An age, capped where the profile says so."""
    RECURSE = auto()
    """A sequence kept, its items cleaned."""
    CONTENT = auto()
    """A sequence of content items, cleaned by Table E.3.4-1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one attribute at one place."""

    vr: str
    """The VR, as encoded, that this decision is for."""
    handling: Handling
    fallback: Handling
    """REMOVE, EMPTY or DUMMY, by Type: when the value cannot be kept after all."""
    change: Change
    """What to report when something changes; for nested attributes without the path above them."""


_STRINGS = TEXT_VRS | {"AE", "AS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_OF_STRINGS = frozenset(
    (Handling.SCAN, Handling.CLEAN, Handling.REMAP, Handling.SHIFT, Handling.TIME, Handling.NUMBER, Handling.AGE)
)
_OF_SEQUENCES = frozenset((Handling.RECURSE, Handling.CONTENT))
_BY_TYPE = {"1": Handling.DUMMY, "2": Handling.EMPTY, "3": Handling.REMOVE}
_PATIENT = frozenset((0x00100010, 0x00100020))
# Written by the engine itself, whatever the source says (PS3.15 §E.1.1, PS3.3 §C.12.1).
_OWN = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))
# Opaque, so nobody can say what they hold: encrypted attributes, signatures, keys of other systems, drawings.
_OPAQUE = frozenset(
    (0x04000120, 0x04000500, 0x04000510, 0x04000520, 0x0008041B, 0x0008041C, 0x0040A074, 0x0040A089, 0x4FFE0001)
) | {0x00686300}
_CODES_BY_URL = frozenset((0x0008010E, 0x00080120))
_TEXT_VALUE = 0x0040A160
_SCOPES_MAX = 4096
"""Places remembered; a hostile nesting of sequences beyond it is decided each time anew."""

NOT_IN_TABLE = "not in E.1-1: values searched"
UNKNOWN = "unknown to the Standard"
WRONG_VR = "wrong VR"


class Plan:
    """A compiled profile; make it with `compile`."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._private = standard.safe_private() if "retain-safe-private" in profile.options else {}
        self._creators = frozenset(row.creator for row in standard.safe_private().values()) | {
            rule.private.creator for rule in profile.rules if rule.private is not None
        }
        self.places = 0

    def scope(self, sop_class_uid: str, modality: str) -> Scope:
        """The decisions for the top level of instances of this SOP Class and modality."""
        found = self._scopes.get((sop_class_uid, modality))
        if found is None:
            found = Scope(self, sop_class_uid, modality, ())
            if len(self._scopes) < _SCOPES_MAX:
                self._scopes[sop_class_uid, modality] = found
        return found

    @property
    def dates(self) -> str:
        """`MODIFIED`, `UNMODIFIED` or `REMOVED`, for (0028,0303)."""
        if "retain-longitudinal-modified-dates" in self.profile.options:
            return "MODIFIED"
        return "UNMODIFIED" if "retain-longitudinal-full-dates" in self.profile.options else "REMOVED"

    def methods(self) -> tuple[standard.Method, ...]:
        """The codes of CID 7050 for (0012,0064): the Basic Profile and the options of this profile."""
        return tuple(
            method
            for option, method in standard.methods().items()
            if option == standard.BASIC or option in self.profile.options
        )

    def knows(self, creator: str) -> bool:
        """Whether a private creator is named by Table E.3.10-1 or by a rule, and so is not a name of somebody."""
        return creator in self._creators

    def safe(self, group: int, creator: str, element: int) -> standard.SafePrivate | None:
        """The row of Table E.3.10-1 for a private attribute, when the option is chosen."""
        return self._private.get((group, creator, element))


class Scope:
    """The decisions at one place: a SOP Class, a modality, and the sequences that enclose it."""

    __slots__ = ("_children", "_private", "_unknown", "decisions", "modality", "path", "plan", "sop_class_uid")

    def __init__(self, plan: Plan, sop_class_uid: str, modality: str, path: tuple[int, ...]) -> None:
        self.plan = plan
        self.sop_class_uid = sop_class_uid
        self.modality = modality
        self.path = path
        self.decisions: dict[int, Decision] = {}
        self._children: dict[int, Scope] = {}
        self._private: dict[tuple[int, str, int, str], Decision] = {}
        self._unknown: dict[int, Change] = {}

    def child(self, tag: int) -> Scope:
        """The place inside the items of sequence `tag`."""
        found = self._children.get(tag)
        if found is None:
            found = Scope(self.plan, self.sop_class_uid, self.modality, (*self.path, tag))
            if self.plan.places < _SCOPES_MAX and is_known(tag):
                self.plan.places += 1
                self._children[tag] = found
        return found

    def decide(self, tag: int, vr: str) -> Decision:
        """What becomes of a public attribute that is encoded with `vr`."""
        decision = _fitted(self._by_precedence(tag), vr)
        if is_known(tag):
            self.decisions[tag] = decision
        return decision

    def _by_precedence(self, tag: int) -> Decision:
        vr = vr_of(tag)
        for rule in self.plan.profile.rules:
            if (rule.tag == tag or rule.vr == vr) and rule.when.holds(self.modality, self.sop_class_uid):
                return self._made(tag, rule.action, _handling_of_rule(rule, tag, vr, self._type(tag)), rule.name)
        group = tag >> 16
        if group in (0x0000, 0x0002) or tag in _OWN:
            return self._made(tag, "X", Handling.REMOVE, "rebuilt")
        if group & 0xFF00 in (0x5000, 0x6000):
            return self._made(tag, "X", Handling.REMOVE, "E.1-1 Basic")
        if tag in _OPAQUE or (group & 0xFF00 == 0x7F00 and group != 0x7FE0):
            return self._made(tag, "X", Handling.REMOVE, "cannot be examined")
        row = standard.by_tag().get(tag)
        if row is not None:
            action, source = _action(row, self.plan.profile.options)
            handling = self._handling(tag, vr, action, source)
            if handling is None:
                action, source = row.basic, standard.BASIC
                handling = self._handling(tag, vr, action, source) or Handling.REMOVE
            return self._made(tag, action, handling, f"E.1-1 {title(source)}")
        if not is_known(tag):
            return self._made(tag, "X", Handling.REMOVE, UNKNOWN)
        return self._made(tag, "C", self._by_vr(tag, vr), NOT_IN_TABLE)

    def _handling(self, tag: int, vr: str, action: str, source: str) -> Handling | None:
        """A table action as handling; None when this VR cannot be treated so."""
        if action in ("K", "C"):
            return _retained(vr, action, source)
        kind = self._type(tag)
        if tag in _PATIENT and action != "X":
            return Handling.PSEUDONYM
        if action == "X":
            return Handling.REMOVE
        if action == "U":
            return Handling.REMAP if vr == "UI" else Handling.DUMMY
        if action in ("D", "Z"):
            return Handling.DUMMY if action == "D" or kind == "1" else Handling.EMPTY
        if action == "Z/D":
            return Handling.DUMMY if kind == "1" else Handling.EMPTY
        if action == "X/Z/U*" and kind == "1":
            return Handling.RECURSE
        # X/Z, X/D, X/Z/D: X unless the Type asks for more.
        return _BY_TYPE[kind]

    def _by_vr(self, tag: int, vr: str) -> Handling:
        """Handling of an attribute that the Standard knows and Table E.1-1 does not name."""
        fallback = _BY_TYPE[self._type(tag)]
        if vr in ("DA", "DT", "TM"):
            if self.plan.dates == "REMOVED":
                return fallback
            shifted = self.plan.dates == "MODIFIED" and vr != "TM"
            return Handling.SHIFT if shifted else Handling.TIME
        if vr in ("PN", "AE") or (vr == "UR" and tag not in _CODES_BY_URL):
            return fallback
        if vr in ("LT", "UT"):
            return Handling.CLEAN
        return {
            "UN": Handling.REMOVE, "SQ": Handling.RECURSE, "UI": Handling.REMAP, "AS": Handling.AGE,
            "DS": Handling.NUMBER, "IS": Handling.NUMBER,
        }.get(vr, Handling.SCAN if vr in _STRINGS else Handling.KEEP)  # fmt: skip

    def _type(self, tag: int) -> str:
        return standard.type_of(self.sop_class_uid, (*self.path, tag))

    def _made(self, tag: int, action: str, handling: Handling, rule: str) -> Decision:
        if handling in (Handling.REMOVE, Handling.EMPTY):
            fallback = handling
        else:
            # Inside sequences only few Types are known; a dummy keeps every one of them valid.
            fallback = Handling.DUMMY if self.path else _BY_TYPE[self._type(tag)]
        return Decision(vr_of(tag), handling, fallback, Change(attribute_name(tag), action, rule))

    def unknown_private(self, tag: int) -> Change:
        """The removal of a private attribute whose creator nobody knows."""
        known = self._unknown.get(tag)
        if known is None:
            known = Change(f"({tag >> 16:04X},private,{tag & 0xFF:02X})", "X", "E.1-1 Basic")
            if len(self._unknown) < _SCOPES_MAX:
                self._unknown[tag] = known
        return known

    def private(self, group: int, creator: str, element: int, vr: str) -> Decision:
        """What becomes of a private attribute of a creator the plan knows; `element` is its place in the block."""
        key = (group, creator, element, vr)
        known = self._private.get(key)
        if known is None:
            known = self._private_decision(group, creator, element, vr)
            if len(self._private) < _SCOPES_MAX:
                self._private[key] = known
        return known

    def _private_decision(self, group: int, creator: str, element: int, vr: str) -> Decision:
        name = f'({group:04X},"{creator}",{element:02X})'
        rule = self._private_rule(group, creator, element, vr)
        safe = self.plan.safe(group, creator, element)
        if rule is not None:
            kept, source = rule.action == "K", rule.name
        elif safe is not None:
            # A creator can lie about its block: the VR must be the one of the table.
            kept, source = safe.vr in ("", vr) or vr == "UN", "E.3.10-1"
            vr = safe.vr or vr
        else:
            kept, source = False, "E.1-1 Basic"
        if not kept:
            return Decision(vr, Handling.REMOVE, Handling.REMOVE, Change(name, "X", source))
        handling = Handling.KEEP if vr == "UN" else self._by_vr(0, vr)
        return Decision(vr, handling, Handling.REMOVE, Change(name, "C", source))

    def _private_rule(self, group: int, creator: str, element: int, vr: str) -> Rule | None:
        for rule in self.plan.profile.rules:
            wanted = rule.private
            named = wanted is not None and wanted.creator == creator and wanted.element == element
            if named and wanted is not None and wanted.group not in (None, group):
                named = False
            if (named or rule.vr == vr) and rule.when.holds(self.modality, self.sop_class_uid):
                return rule
        return None


def compile(profile: Profile) -> Plan:  # noqa: A001 - the field's own word
    """The plan of a profile. Decisions are made when first needed, once for each place."""
    return Plan(profile)


def title(option: str) -> str:
    """An option as the Standard writes it: `Retain Safe Private`."""
    return option.replace("-", " ").title()


def _action(row: standard.Row, options: frozenset[str]) -> tuple[str, str]:
    """Action of a row under the options chosen, and the option it comes from; cleaning goes before keeping."""
    chosen: Mapping[str, str] = {option: action for option, action in row.options.items() if option in options}
    for wanted in ("C", "K"):
        for option, action in chosen.items():
            if action == wanted:
                return action, option
    return row.basic, standard.BASIC


def _retained(vr: str, action: str, source: str) -> Handling | None:
    """Handling of an attribute that an option keeps (K) or cleans (C); None when its VR allows neither."""
    if vr == "SQ":
        return Handling.CONTENT if source == "clean-structured-content" else Handling.RECURSE
    if vr in ("DA", "DT"):
        return Handling.SHIFT if action == "C" else Handling.TIME
    if vr == "TM" or source.startswith("retain-longitudinal"):
        return Handling.TIME
    if action == "C":
        if source == "retain-device-identity":
            return Handling.SCAN
        return Handling.CLEAN if vr in TEXT_VRS else None
    if vr == "UI":
        return Handling.KEEP
    if vr == "AS":
        return Handling.AGE
    if vr in ("DS", "IS"):
        return Handling.NUMBER
    return Handling.SCAN if vr in _STRINGS else Handling.KEEP


def _handling_of_rule(rule: Rule, tag: int, vr: str, kind: str) -> Handling:
    """Handling of an attribute that a profile's own rule names."""
    if rule.action == "K":
        return Handling.RECURSE if vr == "SQ" else Handling.KEEP
    if rule.action == "C":
        return _retained(vr, "C", "rule") or Handling.REMOVE
    if rule.action == "Z" and tag not in _PATIENT:
        return Handling.DUMMY if kind == "1" else Handling.EMPTY
    if rule.action in ("Z", "D") and tag in _PATIENT:
        return Handling.PSEUDONYM
    return {"X": Handling.REMOVE, "D": Handling.DUMMY, "U": Handling.REMAP, "shift": Handling.SHIFT}[rule.action]


def _fitted(decision: Decision, vr: str) -> Decision:
    """A decision for the VR that is really there: what cannot be treated as planned falls back."""
    handling = decision.handling
    if vr == decision.vr:
        return decision
    if handling is Handling.KEEP:
        if vr in _STRINGS:
            handling = Handling.SCAN if decision.vr in _STRINGS else Handling.NUMBER
        elif vr in ("SQ", "UN"):
            handling = decision.fallback
    elif (handling in _OF_STRINGS and vr not in _STRINGS) or (handling in _OF_SEQUENCES and vr != "SQ"):
        handling = decision.fallback
    elif decision.vr == "UN" and handling not in (Handling.REMOVE, Handling.EMPTY):
        handling = Handling.REMOVE
    change = decision.change
    if handling is not decision.handling:
        change = replace(change, action="X", rule=WRONG_VR)
    return replace(decision, vr=vr, handling=handling, change=change)
