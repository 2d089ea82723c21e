"""A rule of a profile: what it selects, in which instances, and its action."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from imaging_hub.deidentification.attribute import TEXT_VRS, is_rebuilt
from imaging_hub.deidentification.profile import expression
from imaging_hub.deidentification.profile.selector import AttributeSelector, selector
from imaging_hub.deidentification.profile.substitute import LONGEST
from imaging_hub.dicom import tags

RuleAction: TypeAlias = Literal["X", "Z", "D", "K", "C", "U", "shift", "replace", "hash", "truncate", "reject"]

_DATES = frozenset(("DA", "DT"))
_MERGING = frozenset(("replace", "truncate"))
_EMPTYING = frozenset(("X", "Z"))
_UIDS = (tags.SOPInstanceUID, tags.StudyInstanceUID, tags.SeriesInstanceUID)
_OF_ANY_VR = frozenset(("X", "Z", "D", "K", "C", "reject"))


def _understood(text: str) -> str:
    if text:
        expression.condition(text)
    return text


ConditionText: TypeAlias = Annotated[str, AfterValidator(_understood), Field(max_length=expression.LONGEST)]


class ProfilePart(BaseModel):
    """Part of a profile's file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleCondition(ProfilePart):
    """For which instances a rule holds; all conditions where several are given."""

    modality: tuple[str, ...] = ()
    sop_class: tuple[str, ...] = ()
    manufacturer: tuple[Annotated[str, Field(pattern=r'^[^"\\\\]{2,64}$')], ...] = ()
    """Parts of Manufacturer: `GE` is `GE MEDICAL SYSTEMS` too."""
    condition: ConditionText = ""
    """On attributes of the top level, in the language of `expression`."""

    @model_validator(mode="after")
    def _is_understood(self) -> RuleCondition:
        for text in self.conditions:
            expression.condition(text)
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """All that must be known to hold of an instance's attributes, in the language of `expression`."""
        maker = " or ".join(f'Manufacturer contains "{part}"' for part in self.manufacturer)
        return tuple(text for text in (maker, self.condition) if text)

    def holds(self, modality: str, sop_class_uid: str, conditions: frozenset[str]) -> bool:
        """Whether an instance of this modality and SOP Class is meant, of which `conditions` are known to hold."""
        return (
            (not self.modality or modality in self.modality)
            and (not self.sop_class or sop_class_uid in self.sop_class)
            and conditions.issuperset(self.conditions)
        )


class PrivateAttribute(ProfilePart):
    """A private attribute: its creator, and its element within the block the creator reserved."""

    creator: str = Field(min_length=1, max_length=64)
    element: Annotated[int, Field(ge=0, le=0xFF)]
    group: int | None = None
    vr: str | None = Field(None, pattern=r"^[A-Z]{2}$")
    """Its VR, for files in implicit VR and creators that pydicom's dictionary does not name."""


class ProfileRule(ProfilePart):
    """One rule: what it selects, and its action."""

    attribute: str | None = None
    private: PrivateAttribute | None = None
    vr: str | None = Field(None, pattern=r"^[A-Z]{2}$")
    action: RuleAction
    value: str | None = Field(None, max_length=64, pattern=r"^[ -\[\]-~]+$")
    length: Annotated[int, Field(ge=1, le=64)] | None = None
    when: RuleCondition = RuleCondition()
    line: SkipJsonSchema[int] = 0
    source: SkipJsonSchema[str] = ""

    @property
    def selector(self) -> AttributeSelector | None:
        """The public attributes selected, where the rule names them."""
        return None if self.attribute is None else selector(self.attribute)

    @property
    def tag(self) -> int | None:
        """Tag of the attribute selected, if it is one public attribute."""
        return None if self.selector is None else self.selector.tag

    @property
    def argument(self) -> str:
        """What the action needs beside its name: the value to replace with, or the characters to leave."""
        return str(self.value if self.length is None else self.length) if self.value or self.length else ""

    @property
    def name(self) -> str:
        """How the rule is called where it fired: profile and line."""
        return f"{self.source}:{self.line}"

    @model_validator(mode="after")
    def _is_sensible(self) -> ProfileRule:
        selectors = [self.attribute, self.private, self.vr]
        if sum(selector is not None for selector in selectors) != 1:
            raise ValueError("a rule selects by one of attribute, private, vr")
        if self.attribute is not None and self.tag is None and self.action not in _OF_ANY_VR:
            raise ValueError("a pattern of tags takes X, Z, D, K, C or reject: its attributes have several VRs")
        if self.tag is not None and is_rebuilt(self.tag):
            raise ValueError("the engine writes this attribute itself, whatever a rule says")
        vr = self.vr or (self.selector.vr if self.selector is not None else "")
        self._has_its_argument()
        self._leaves_identity()
        if self.action in ("replace", "hash", "truncate") and vr not in LONGEST:
            raise ValueError("only text of a public attribute can be replaced, hashed or truncated")
        if self.value is not None and len(self.value) > LONGEST[vr]:
            raise ValueError("the value is longer than the attribute's VR allows (PS3.5 §6.2)")
        if vr and self.action == "shift" and vr not in _DATES:
            raise ValueError("only dates (DA, DT) can be shifted")
        if vr and self.action == "U" and vr != "UI":
            raise ValueError("only UIDs (UI) can be remapped")
        if vr and self.action == "C" and vr not in TEXT_VRS | _DATES | {"SQ"}:
            raise ValueError("only text, dates and sequences can be cleaned")
        return self

    def _leaves_identity(self) -> None:
        """Patients stay apart, and an instance stays one of its series and study."""
        if self.action in _MERGING and self._reaches(tags.PatientID, "LO"):
            raise ValueError("many patients would get one Patient ID: the engine writes a pseudonym of each, or `hash`")
        if self.action in _EMPTYING and any(self._reaches(tag, "UI") for tag in _UIDS):
            raise ValueError("an instance needs its UIDs: the engine writes others in their place, `U`")

    def _reaches(self, tag: int, vr: str) -> bool:
        """Whether the rule selects an attribute of the top level."""
        return self.vr == vr or (self.selector is not None and self.selector.selects(tag, ()))

    def _has_its_argument(self) -> None:
        if (self.action == "replace") != (self.value is not None):
            raise ValueError("`replace` needs a `value`, and no other action has one")
        if (self.action == "truncate") != (self.length is not None):
            raise ValueError("`truncate` needs a `length`, and no other action has one")
