"""De-identification profiles: YAML that a data-protection officer can read, checked to the line.

A profile starts from the Basic Profile of PS3.15 §E.2 (or from another profile by `extends`), names the options of §E.3
it uses, and may add rules of its own, the first that matches winning:

    name: cardiology
    title: Cardiac CT for the registry
    extends: research-longitudinal
    options: [retain-device-identity]
    rules:
      - {attribute: ImageComments, action: X}
      - {private: {creator: GEMS_PARM_01, element: 0x39}, action: K, when: {modality: [MR]}}
    burned_in: {trust: [DX]}
    review: [DX]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from imaging_hub import yaml_source
from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.attribute import attribute_name
from imaging_hub.deidentification.documents import encapsulated_document
from imaging_hub.deidentification.profile.rule import ConditionText, ProfilePart, ProfileRule
from imaging_hub.errors import ProfileError
from imaging_hub.yaml_source import YamlFault, YamlSource

_SHIPPED = Path(__file__).parents[1] / "profiles"
_CHECKOUT = Path(__file__).resolve().parents[3] / "anonymization_profiles"


class BurnedInModalities(ProfilePart):
    """Modalities whose pixels may hold text (`suspect`), and those taken as clean (`trust`); others are suspect."""

    suspect: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()


class QuarantineCondition(ProfilePart):
    """Instances that are quarantined by a condition: where it holds, and where nobody can tell."""

    condition: Annotated[ConditionText, Field(min_length=1)]
    reason: str = Field(pattern=r"^[a-z][a-z0-9-]{2,40}$")


class ReviewCondition(ProfilePart):
    """Instances that wait for a radiologist by a condition: where it holds, and where nobody can tell."""

    condition: Annotated[ConditionText, Field(min_length=1)]


class _File(ProfilePart):
    """One YAML file, before `extends` is followed."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    title: str = Field(min_length=1, max_length=120)
    description: str = ""
    extends: str | None = None
    options: tuple[str, ...] = Field((), json_schema_extra={"items": {"enum": list(standard_tables.OPTIONS)}})
    rules: tuple[ProfileRule, ...] = ()
    burned_in: BurnedInModalities = BurnedInModalities()
    quarantine: tuple[QuarantineCondition, ...] = ()
    documents: encapsulated_document.DocumentPolicy | None = None
    review: tuple[ReviewCondition | str, ...] = ()
    age_cap_years: Annotated[int, Field(ge=1, le=150)] | None = None

    @field_validator("options")
    @classmethod
    def _are_options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if option not in standard_tables.OPTIONS:
                raise ValueError("the options are " + ", ".join(standard_tables.OPTIONS))
        return options


@dataclass(frozen=True)
class Profile:
    """A profile with everything it extends worked in."""

    name: str
    title: str
    description: str
    options: frozenset[str]
    rules: tuple[ProfileRule, ...]
    """In order of precedence, those of the profile itself before those it inherits."""
    suspect: frozenset[str]
    trust: frozenset[str]
    quarantine: tuple[QuarantineCondition, ...]
    documents: encapsulated_document.DocumentPolicy
    """How encapsulated documents are treated."""
    review: frozenset[str]
    """Modalities whose series wait for a radiologist."""
    reviewed: tuple[ReviewCondition, ...]
    age_cap_years: int | None
    lineage: tuple[str, ...]
    """Names of the profile and of those it extends, the nearest first."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the profile does: equal for equal effect, whatever the comments and the order of keys."""
        effect = {
            "edition": standard_tables.edition(),
            "name": self.name,
            "options": sorted(self.options),
            "rules": [rule.model_dump(exclude={"line", "source"}) for rule in self.rules],
            "suspect": sorted(self.suspect),
            "trust": sorted(self.trust),
            "quarantine": [held.model_dump() for held in self.quarantine],
            "documents": self.documents,
            "review": sorted(self.review),
            "reviewed": [reviewed.condition for reviewed in self.reviewed],
            "age_cap_years": self.age_cap_years,
        }
        return hashlib.sha256(json.dumps(effect, sort_keys=True).encode()).hexdigest()

    def kept_against_advice(self) -> list[ProfileRule]:
        """List the rules that keep an attribute which Table E.1-1 removes, replaces or cleans."""
        keeping = (rule for rule in self.rules if rule.action in ("K", "C"))
        return [rule for rule in keeping if rule.private or (rule.action == "K" and _is_of_the_table(rule))]


def load(name_or_path: str | Path, folders: Iterable[Path] = ()) -> Profile:
    """Load the profile of this name, from `folders` or the shipped ones, or of this file.

    Raises `ProfileError`, its message `file:line: what is wrong`, its hint the remedy.
    """
    path = _find(name_or_path, tuple(folders))
    if path is None:
        raise _unknown(Path(str(name_or_path)), 1)
    return _resolve(path, tuple(folders), ())


def schema() -> dict[str, Any]:
    """Write the JSON Schema of a profile's file, for editors: what it refuses, `load` refuses too."""
    described: dict[str, Any] = _File.model_json_schema()
    rule = described["$defs"]["ProfileRule"]
    rule["oneOf"] = [{"required": [selector]} for selector in ("attribute", "private", "vr")]
    return described | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "imaging-hub profile"}


def shipped() -> list[str]:
    """List the names of the profiles that come with the hub."""
    return sorted(path.stem for path in _shipped_folder().glob("*.yaml"))


def _shipped_folder() -> Path:
    if _SHIPPED.is_dir():
        return Path(str(files("imaging_hub.deidentification").joinpath("profiles")))
    return _CHECKOUT


def _find(name_or_path: str | Path, folders: Sequence[Path]) -> Path | None:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or "/" in text:
        return Path(text)
    for folder in (*folders, _shipped_folder()):
        path = folder / f"{text}.yaml"
        if _is_file(path):
            return path
    return None


def _is_file(path: Path) -> bool:
    """Whether there is a file of that name; a name longer than the disk takes has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _resolve(path: Path, folders: Sequence[Path], children: tuple[Path, ...]) -> Profile:
    if path in children:
        raise _wrong(path, 1, "the profile extends itself", "break the circle of `extends`")
    file, source = _read(path)
    parent = None
    if file.extends is not None:
        beside = path.parent / f"{file.extends}.yaml"
        inherited = beside if _is_file(beside) else _find(file.extends, folders)
        if inherited is None:
            raise _unknown(path, source.line(("extends",)))
        parent = _resolve(inherited, folders, (*children, path))
    elif file.name != standard_tables.BASIC:
        raise _wrong(path, 1, "a profile extends another", "write `extends: basic`")
    profile = _merged(file, parent)
    dates = {"retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"}
    if dates <= profile.options:
        raise _wrong(
            path,
            source.line(("options",)),
            "full dates and modified dates contradict each other",
            "name one of the two longitudinal options, here or in the profile extended",
        )
    return profile


def _merged(file: _File, parent: Profile | None) -> Profile:
    """A file over the profile it extends: what it says itself goes first."""
    suspect, trust = frozenset(file.burned_in.suspect), frozenset(file.burned_in.trust)
    return Profile(
        name=file.name,
        title=file.title,
        description=file.description.strip(),
        options=frozenset(file.options) | (parent.options if parent else frozenset()),
        rules=file.rules + (parent.rules if parent else ()),
        suspect=suspect | ((parent.suspect - trust) if parent else frozenset()),
        trust=trust | ((parent.trust - suspect) if parent else frozenset()),
        quarantine=file.quarantine + (parent.quarantine if parent else ()),
        documents=file.documents or (parent.documents if parent else "quarantine"),
        review=frozenset(one for one in file.review if isinstance(one, str))
        | (parent.review if parent else frozenset()),
        reviewed=tuple(one for one in file.review if isinstance(one, ReviewCondition))
        + (parent.reviewed if parent else ()),
        age_cap_years=file.age_cap_years or (parent.age_cap_years if parent else None),
        lineage=(file.name, *(parent.lineage if parent else ())),
    )


def _read(path: Path) -> tuple[_File, YamlSource]:
    """One YAML file, validated, and the line of each of its keys."""
    try:
        source = yaml_source.read(path)
    except YamlFault as fault:
        raise _wrong(path, fault.line, fault.problem, fault.remedy) from None
    rules = source.content.get("rules")
    for place, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict):
            rule.update(line=source.lines["rules", place], source=str(source.content.get("name")))
    try:
        return _File.model_validate(source.content), source
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        raise _explained(path, first, source) from None


def _wrong(path: Path, line: int, what: str, remedy: str) -> ProfileError:
    """The error that says where a profile is wrong, what is wrong and what to do."""
    message = f"{path.name}:{line}: {what}"
    return ProfileError(message, hint=remedy)


def _unknown(path: Path, line: int) -> ProfileError:
    remedy = f"shipped profiles: {', '.join(shipped())}; or give a file"
    return _wrong(path, line, "there is no profile of this name", remedy)


def _explained(path: Path, error: Any, source: YamlSource) -> ProfileError:
    place = tuple(error["loc"])
    field = ".".join(str(part) for part in place if not isinstance(part, int))
    message = error["msg"].removeprefix("Value error, ")
    hint = {
        "extra_forbidden": "remove this key, or correct its spelling",
        "missing": "add this key",
        "literal_error": "actions are X, Z, D, K, C, U, shift, replace, hash, truncate, reject",
    }.get(error["type"], "correct the value on this line")
    subject = f"{field}: " if field else ""
    return _wrong(path, source.line(error["loc"]), f"{subject}{message}", hint)


def selected(rule: ProfileRule) -> str:
    """Say what a rule selects, for people."""
    if rule.private is not None:
        return f'private "{rule.private.creator}" xx{rule.private.element:02X}'
    if rule.vr is not None:
        return f"every {rule.vr}"
    if rule.tag is None or rule.attribute is None:
        return str(rule.attribute)
    *place, _ = rule.attribute.rpartition(".")
    return "".join(place) + attribute_name(rule.tag)


def _is_of_the_table(rule: ProfileRule) -> bool:
    """Whether a rule selects attributes that Table E.1-1 names, or could."""
    return rule.selector is not None and (rule.tag is None or rule.tag in standard_tables.by_tag())
