"""Decisions on attributes, and what each is due to: exclusion, a rule, an option, an action of Table E.1-1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, auto

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import TEXT_VRS, is_known, is_rebuilt
from imaging_hub.deidentification.profile.rule import ProfileRule
from imaging_hub.deidentification.profile.substitute import LONGEST
from imaging_hub.deidentification.source_and_outcome import AttributeChange
from imaging_hub.dicom import tags


class Handling(IntEnum):
    """How the engine treats one element. Of integers because these hash fast, and every element asks."""

    KEEP = auto()
    """As it stands."""
    RETAIN = auto()
    """As it stands, because an option says so: which, is put on record."""
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
    CSA = auto()
    """The numbers of a Siemens CSA image header, and nothing else of it."""
    AGE = auto()
    """An age, capped where the profile says so."""
    REPLACE = auto()
    """A literal of the profile in its place."""
    HASH = auto()
    """A keyed hash in its place."""
    TRUNCATE = auto()
    """Its beginning, without the patient's identifiers."""
    REJECT = auto()
    """The whole instance is held back."""
    RECURSE = auto()
    """A sequence kept, its items cleaned."""
    CONTENT = auto()
    """A sequence of content items, cleaned by Table E.3.4-1."""


BY_NO_OPTION: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AttributeDecision:
    """The decision on one attribute at one place."""

    vr: str
    """The VR, as encoded, that this decision is for."""
    handling: Handling
    fallback: Handling
    """REMOVE, EMPTY or DUMMY, by Type: when the value cannot be kept after all."""
    change: AttributeChange
    """What to report when something changes; for nested attributes without the path above them."""
    writes: str = ""
    """The VR to write instead, for a private attribute that came without one."""
    options: frozenset[str] = BY_NO_OPTION
    """The options of PS3.15 §E.3 that have run once this decision is carried out as planned."""
    argument: str = ""
    """What a rule replaces with, or the characters it leaves."""


STRINGS = TEXT_VRS | {"AE", "AS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_OF_STRINGS = frozenset(
    (Handling.SCAN, Handling.CLEAN, Handling.REMAP, Handling.SHIFT, Handling.TIME, Handling.NUMBER, Handling.AGE)
)
_OF_RULES = frozenset((Handling.REPLACE, Handling.HASH, Handling.TRUNCATE))
_OF_SEQUENCES = frozenset((Handling.RECURSE, Handling.CONTENT))
BY_TYPE = {"1": Handling.DUMMY, "2": Handling.EMPTY, "3": Handling.REMOVE}
PATIENT = frozenset((tags.PatientName, tags.PatientID))

NOT_IN_TABLE = "not in E.1-1: values searched"
WRONG_VR = "wrong VR"
UNREADABLE = "cannot be examined"
REBUILT = "rebuilt"

# Opaque, so nobody can say what they hold: encrypted attributes, signatures, keys of other systems, drawings.
_OPAQUE = frozenset(
    (
        tags.Signature,
        tags.EncryptedAttributesSequence,
        tags.EncryptedContentTransferSyntaxUID,
        tags.EncryptedContent,
        tags.RecordKey,
        tags.PriorRecordKey,
        tags.ObjectBinaryIdentifierTrial,
        tags.ObjectDirectoryBinaryIdentifierTrial,
        tags.MACParametersSequence,
        tags.HPGLDocument,
    )
)

_ANYWHERE = 0
# What an option covers because of the sequence around it, whatever Table E.1-1 says of it elsewhere. The text of an
# annotation is Unformatted Text Value, which the table gives to Clean Descriptors; drawn on an image it is of Clean
# Graphics (PS3.15 §E.3.3), beside a waveform of Clean Structured Content. The latter also covers content items that
# stand in sequences which the table does not name (§E.3.4).
_COVERED_INSIDE = {
    (tags.UnformattedTextValue, tags.GraphicAnnotationSequence): (standard_tables.CLEAN_GRAPHICS, Handling.CLEAN),
    (tags.TickLabel, tags.GraphicAnnotationSequence): (standard_tables.CLEAN_GRAPHICS, Handling.CLEAN),
    (tags.UnformattedTextValue, tags.WaveformAnnotationSequence): (
        standard_tables.CLEAN_STRUCTURED_CONTENT,
        Handling.CLEAN,
    ),
    (tags.SpecimenPreparationStepContentItemSequence, _ANYWHERE): (
        standard_tables.CLEAN_STRUCTURED_CONTENT,
        Handling.CONTENT,
    ),
    (tags.ProtocolContextSequence, _ANYWHERE): (standard_tables.CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
    (tags.ContentItemModifierSequence, _ANYWHERE): (standard_tables.CLEAN_STRUCTURED_CONTENT, Handling.CONTENT),
}


def why_excluded(tag: int) -> str:
    """Say why an attribute goes whatever the table says: `REBUILT` where no rule keeps it, empty where it need not."""
    if is_rebuilt(tag):
        return REBUILT
    group = tag >> 16
    if group & 0xFF00 in (0x5000, 0x6000):
        # An overlay or a curve goes whole: the rest of its group means nothing without its data.
        return "E.1-1 Basic"
    if tag in _OPAQUE or (group & 0xFF00 == 0x7F00 and group != 0x7FE0):
        return UNREADABLE
    return "" if is_known(tag) else "unknown to the Standard"


def covered_inside(tag: int, path: tuple[int, ...], options: frozenset[str]) -> tuple[str, Handling] | None:
    """Find the option that covers an attribute inside these sequences, and how; None where the table decides."""
    for around in (_ANYWHERE, *path):
        covering = _COVERED_INSIDE.get((tag, around))
        if covering is not None and covering[0] in options:
            return covering
    return None


def title(option: str) -> str:
    """Write an option as the Standard does: `Retain Safe Private`."""
    return option.replace("-", " ").title()


def action_of(
    row: standard_tables.AttributeRow | standard_tables.ContentItemRow, options: frozenset[str]
) -> tuple[str, tuple[str, ...]]:
    """Choose the action of a row under these options, and name those it comes from; cleaning goes before keeping."""
    for wanted in ("C", "K"):
        agreeing = tuple(option for option, action in row.options.items() if action == wanted and option in options)
        if agreeing:
            return wanted, agreeing
    return row.basic, ()


_DATES = frozenset(("DA", "DT"))
_KEPT = {
    "SQ": Handling.RECURSE, "DA": Handling.TIME, "DT": Handling.TIME, "TM": Handling.TIME,
    "UI": Handling.KEEP, "AS": Handling.AGE, "DS": Handling.NUMBER, "IS": Handling.NUMBER,
}  # fmt: skip
_CLEANED = {"SQ": Handling.RECURSE, "DA": Handling.SHIFT, "DT": Handling.SHIFT, "TM": Handling.TIME}


def retained(vr: str, action: str, source: str) -> Handling | None:
    """Choose the handling of an attribute that an option keeps (K) or cleans (C); None when its VR allows neither."""
    if vr == "SQ" and source == standard_tables.CLEAN_STRUCTURED_CONTENT:
        return Handling.CONTENT
    if source.startswith("retain-longitudinal") and vr in STRINGS - _DATES:
        return Handling.TIME
    if action == "K":
        return _KEPT.get(vr, Handling.SCAN if vr in STRINGS else Handling.KEEP)
    if source == "retain-device-identity":
        return _CLEANED.get(vr, Handling.SCAN)
    return _CLEANED.get(vr, Handling.CLEAN if vr in TEXT_VRS else None)


def handling_of_rule(rule: ProfileRule, tag: int, vr: str, kind: str) -> Handling:
    """Choose the handling of an attribute that a profile's own rule names; `kind` is its Type in the IOD."""
    if rule.action == "K":
        return Handling.RECURSE if vr == "SQ" else Handling.KEEP
    if rule.action == "C":
        return retained(vr, "C", "rule") or Handling.REMOVE
    if rule.action == "Z" and tag not in PATIENT:
        return Handling.DUMMY if kind == "1" else Handling.EMPTY
    if rule.action in ("Z", "D") and tag in PATIENT:
        return Handling.PSEUDONYM
    return {
        "X": Handling.REMOVE, "D": Handling.DUMMY, "U": Handling.REMAP, "shift": Handling.SHIFT,
        "replace": Handling.REPLACE, "hash": Handling.HASH, "truncate": Handling.TRUNCATE, "reject": Handling.REJECT,
    }[rule.action]  # fmt: skip


def without_value(decision: AttributeDecision) -> AttributeDecision:
    """Change a decision to let nothing of the value through, where the profile's cap on ages forbids it."""
    if decision.handling in (Handling.REMOVE, Handling.EMPTY, Handling.DUMMY):
        return decision
    change = replace(decision.change, action="Z", rule="age_cap_years")
    return replace(decision, handling=decision.fallback, change=change)


def _misfits(handling: Handling, vr: str) -> bool:
    """Whether a handling cannot be carried out on values of a VR."""
    if handling in _OF_RULES:
        return vr not in LONGEST
    return vr not in STRINGS if handling in _OF_STRINGS else handling in _OF_SEQUENCES and vr != "SQ"


def fitted(decision: AttributeDecision, vr: str) -> AttributeDecision:
    """Fit a decision to the VR that is really there: what cannot be treated as planned falls back."""
    handling = decision.handling
    if vr == decision.vr:
        return decision
    if handling in (Handling.KEEP, Handling.RETAIN):
        if vr in STRINGS:
            handling = Handling.SCAN if decision.vr in STRINGS else Handling.NUMBER
        elif vr in ("SQ", "UN"):
            handling = decision.fallback
    elif handling is Handling.REJECT:
        return replace(decision, vr=vr)
    elif _misfits(handling, vr):
        handling = decision.fallback
    elif decision.vr == "UN" and handling not in (Handling.REMOVE, Handling.EMPTY):
        handling = Handling.REMOVE
    if handling is decision.handling:
        return replace(decision, vr=vr)
    change = replace(decision.change, action="X", rule=WRONG_VR)
    return replace(decision, vr=vr, handling=handling, change=change)
