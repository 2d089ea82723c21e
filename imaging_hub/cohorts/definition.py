"""Parsing of cohort definitions: YAML to a validated `CohortDefinition`, with all faults by line."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from imaging_hub import yaml_source
from imaging_hub.cohorts import criteria, definition_types, image_criteria, nomenclature
from imaging_hub.cohorts.criteria import CodeSet, CohortDefinition, ImagingActs, IndexEvent, Occurrence
from imaging_hub.errors import DefinitionError
from imaging_hub.yaml_source import KeyPath as Place
from imaging_hub.yaml_source import YamlFault, YamlSource

_NOMENCLATURES = {
    "diagnosis": ("icd10",), "act": ("ccam",), "drug": ("atc", "ucd"), "ald": ("ald",), "stay": ("ghm",),
    "biology": ("nabm",), "cause_of_death": ("icd10",), "package": ("cip13",), "device": ("lpp",),
}  # fmt: skip
_POSITIONS = {"diagnosis": {"DP", "DR", "DAS", "UM", "ALD"}, "cause_of_death": {"CI", "CA"}}
_NOT_RE2 = re.compile(r"\\[1-9]|\(\?[^:i]")  # back-references and look-around, on which DuckDB and Spark differ

DefinitionFault = tuple[Place, str]


def read(path: Path) -> CohortDefinition:
    """Read the definition in a file; raises `DefinitionError` with one `file:line: problem; remedy` per line."""
    with _naming_file(str(path)):
        return _validate(yaml_source.read(path), str(path))


def parse(text: str, name: str = "definition") -> CohortDefinition:
    """Parse the definition in `text`; raises `DefinitionError` as `read`, with `name` in place of the file."""
    with _naming_file(name):
        return _validate(yaml_source.parse(text), name)


@contextmanager
def _naming_file(name: str) -> Iterator[None]:
    """Turn a `YamlFault` into a `DefinitionError` that names the file."""
    try:
        yield
    except YamlFault as fault:
        message = f"{name}:{fault.line}: {fault.problem}; {fault.remedy}"
        raise DefinitionError(message) from None


def _validate(source: YamlSource, name: str) -> CohortDefinition:
    try:
        definition = CohortDefinition.model_validate_json(json.dumps(source.content))
    except ValidationError as fault:
        raise _definition_error(source, name, _translate_errors(fault)) from None
    findings = [*_set_findings(definition), *_event_findings(definition), *_other_findings(definition)]
    if findings:
        raise _definition_error(source, name, findings)
    return definition


def _definition_error(source: YamlSource, name: str, findings: Iterable[DefinitionFault]) -> DefinitionError:
    """Return one error with every finding, in the order of lines."""
    placed = sorted({(source.line(place), problem) for place, problem in findings})
    return DefinitionError("\n".join(f"{name}:{line}: {problem}" for line, problem in placed))


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of a definition; `parse` checks more than it can express."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **CohortDefinition.model_json_schema()}


def _translate_errors(fault: ValidationError) -> Iterator[DefinitionFault]:
    """Yield Pydantic's errors as faults with a remedy."""
    errors = fault.errors(include_url=False)
    for error in errors:
        place, context = error["loc"], error.get("ctx", {})
        key = next((part for part in reversed(place) if isinstance(part, str)), "")
        match error["type"]:
            case "extra_forbidden":
                yield place, f"unknown key `{key}`; {_suggest_key(key)}"
            case "missing":
                yield place, f"`{key}` is missing; add it"
            case "value_error":
                yield place, str(context["error"])
            case "too_short" if any(place == other["loc"][: len(place)] != other["loc"] for other in errors):
                continue  # Pydantic counts valid items only; the invalid one has an error of its own
            case "too_short" if context.get("actual_length") == 0:
                yield place, f"`{key}` is empty and would select nobody; fill it or remove it"
            case _:
                yield place, f"`{key}`: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _suggest_key(key: str) -> str:
    models = [
        model
        for module in (criteria, image_criteria, definition_types)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel)
    ]
    known = sorted({field for model in models for field in model.model_fields})
    if key in known:
        return "it belongs to another part of a definition; move or remove it"
    similar = difflib.get_close_matches(key, known, 1)
    return f"did you mean `{similar[0]}`?" if similar else "remove it"


def _set_findings(definition: CohortDefinition) -> Iterator[DefinitionFault]:
    for name, codes in definition.sets.items():
        yield from _code_findings(codes, ("sets", name))
    for event, place in _events(definition):
        if isinstance(event.set, CodeSet):
            yield from _code_findings(event.set, (*place, "set"))
    used = {event.set for event, _ in _events(definition) if isinstance(event.set, str)}
    for name in definition.sets.keys() - used:
        yield ("sets", name), f"set `{name}` is not used; remove it"


def _code_findings(codes: CodeSet, place: Place) -> Iterator[DefinitionFault]:
    if isinstance(codes.ccam, ImagingActs):
        acts = codes.ccam
        if not nomenclature.imaging_act_codes(acts.modality, acts.region, acts.contrast).exact:
            yield (*place, "ccam"), "no act of the CCAM has these attributes; widen region or contrast"
        return
    for key, patterns, check in (
        ("icd10", codes.icd10, nomenclature.icd10_fault),
        ("ccam", codes.ccam, nomenclature.ccam_fault),
        ("atc", codes.atc, nomenclature.atc_fault),
        ("ald", codes.ald, nomenclature.ald_fault),
        ("ghm", codes.ghm, nomenclature.ghm_fault),
        ("nabm", codes.nabm, nomenclature.nabm_fault),
        ("ucd", codes.ucd, nomenclature.ucd_fault),
        ("cip13", codes.cip13, nomenclature.cip13_fault),
        ("lpp", codes.lpp, nomenclature.lpp_fault),
    ):
        for number, pattern in enumerate(patterns or ()):
            problem = check(pattern)
            if problem:
                yield (*place, key, number), problem


def _event_findings(definition: CohortDefinition) -> Iterator[DefinitionFault]:
    for event, place in _events(definition):
        codes = definition.resolve_set(event.set)
        nomenclatures = _NOMENCLATURES[event.domain]
        if codes is None:
            similar = difflib.get_close_matches(str(event.set), definition.sets, 1)
            remedy = f"did you mean `{similar[0]}`?" if similar else "add it under sets"
            yield (*place, "set"), f"there is no set `{event.set}`; {remedy}"
        elif not set(codes.nomenclatures()) <= set(nomenclatures):
            yield (
                (*place, "set"),
                f"events of domain {event.domain} have {' or '.join(nomenclatures)} codes; use a set of those",
            )
        positions = _POSITIONS.get(event.domain)
        if event.position and not positions:
            yield (*place, "position"), "only diagnoses and causes of death have positions; remove it"
        elif positions and not set(event.position) <= positions:
            yield (*place, "position"), f"in domain {event.domain} it is one of {', '.join(sorted(positions))}"


def _other_findings(definition: CohortDefinition) -> Iterator[DefinitionFault]:
    years = definition.scope.snds_years
    if years is not None and years[0] > years[1]:
        yield ("scope", "snds_years"), "the years are upside down; write the earlier first"
    included = (step.name for step in definition.inclusion)
    excluded = (step.name for step in definition.exclusion if step.name)
    names = [*included, *excluded, definition.imaging[0].name]
    for name in {name for name in names if names.count(name) > 1}:
        yield (), f"two steps are called `{name}`; rename one, the flowchart shows both"
    kernel = definition.imaging[0].series.kernel
    if kernel is not None:
        try:
            re.compile(kernel.regex)
            usable = not _NOT_RE2.search(kernel.regex)
        except re.error:
            usable = False
        if not usable:
            place: Place = ("imaging", 0, "series", "kernel", "regex")
            yield place, "not a regular expression of RE2; write it without back-references and look-around"


def _events(definition: CohortDefinition) -> Iterator[tuple[IndexEvent | Occurrence, Place]]:
    """Yield every use of a set, with its place in the definition."""
    yield definition.index.event, ("index", "event")
    for number, inclusion in enumerate(definition.inclusion):
        for key in ("any", "all", "none"):
            for place, occurrence in enumerate(getattr(inclusion, key) or ()):
                yield occurrence, ("inclusion", number, key, place)
        for place, occurrence in enumerate(inclusion.at_least.of if inclusion.at_least else ()):
            yield occurrence, ("inclusion", number, "at_least", "of", place)
    for number, occurrence in enumerate(definition.exclusion):
        yield occurrence, ("exclusion", number)
