"""Every reason that the code can give is explained once, with its remedy, in both languages; and no other is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import shlex
import string
from collections.abc import Iterator, Mapping
from types import ModuleType

import pytest

from imaging_hub.gateway.rejection_log import RefusalReason
from imaging_hub.reasons import association_refusals, quarantine_reasons
from imaging_hub.reasons.association_refusals import REFUSALS
from imaging_hub.reasons.malformed import MALFORMED, MALFORMED_PREFIX
from imaging_hub.reasons.quarantine_reasons import QUARANTINE
from imaging_hub.reasons.reason_text import ReasonExplanation

ROOMS = ("deidentification", "dicom", "gateway", "intake", "pseudonymisation", "work")
"""Where instances are held back."""

GIVERS = {
    "Quarantined": (0, "reason"),
    "_held": (0, "reason"),
    "ContestedIdentity": (0, "reason"),
    "FileOutcome": (2, "reason"),
    "InstanceValidation": (1, "reason"),
    "_record_quarantined": (3, "reason"),
    "MalformedDataset": (None, "code"),
    "replace": (None, "reason"),
}
"""Calls that say why something is held back: the place of the code among the arguments, and its name."""

PASSED_ON = {
    "rule.reason": "of a profile's own rule",
    "identified.reason": "of `ContestedIdentity`",
    "outcome.reason": "of `Quarantined`",
    "header.reason": "of `_Header`",
    "arrival.reason": "of `InstanceValidation`",
    "fault.code": "of `MalformedDataset`",
    "uid_fault": "of `_uid_fault`",
    "reason": "of the caller",
}
"""Arguments that hand on a code that another of these calls has given."""

NO_REASON = {"", None}
EXPLANATIONS = {**REFUSALS, **QUARANTINE, **MALFORMED, "of a profile": quarantine_reasons.OF_A_PROFILE}


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    """Every module of the rooms that hold back, with its syntax tree."""
    for room in ROOMS:
        package = importlib.import_module(f"imaging_hub.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            yield module, ast.parse(inspect.getsource(module))


def codes_of(expression: ast.expr, module: ModuleType, local: Mapping[str, ast.expr]) -> set[str | None]:
    """The codes that an argument can be; fails for one that this test cannot follow."""
    written = ast.unparse(expression)
    if isinstance(expression, ast.IfExp):
        return codes_of(expression.body, module, local) | codes_of(expression.orelse, module, local)
    if isinstance(expression, ast.Constant):
        return {expression.value}
    if written in local:
        return codes_of(local[written], module, {})
    if isinstance(expression, ast.JoinedStr):
        assert written == f"f'{MALFORMED_PREFIX}{{fault.code}}'", f"{module.__name__}: {written}"
        return set()
    constant = inspect.getattr_static(module, written.partition(".")[0], None)
    for name in written.split(".")[1:]:
        constant = getattr(constant, name, None)
    if isinstance(constant, str):
        return {constant}
    assert written in PASSED_ON, f"{module.__name__}: is {written} a reason code? say so above"
    return set()


def given() -> set[str]:
    """Every code that the source gives."""
    found: set[str | None] = set()
    for module, tree in modules():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            local = {
                ast.unparse(node.targets[0]): node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason"
            }
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GIVERS:
                    place, name = GIVERS[node.func.id]
                    said = [one.value for one in node.keywords if one.arg == name]
                    said += node.args[place : place + 1] if place is not None else []
                    assert said or node.func.id != "MalformedDataset", f"{module.__name__}: a fault without a code"
                    for argument in said:
                        found |= codes_of(argument, module, local)
                if isinstance(node, ast.Return) and function.name == "_uid_fault" and node.value:
                    found |= codes_of(node.value, module, local)
                if isinstance(node, ast.Return) and function.name == "_read_header":
                    found |= {argument.value for argument in ast.walk(node) if isinstance(argument, ast.Constant)}
    return {code for code in found - NO_REASON if isinstance(code, str)}


def test_every_refusal_is_explained_and_no_other() -> None:
    assert set(REFUSALS) == {reason.value for reason in RefusalReason}


def test_every_reason_for_quarantine_is_explained_and_no_other() -> None:
    codes = given()
    assert len(codes) > 40
    assert codes == set(QUARANTINE) | set(MALFORMED)


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_an_explanation_says_what_it_means_and_what_to_do_in_two_languages(code: str) -> None:
    french, english = EXPLANATIONS[code].french, EXPLANATIONS[code].english
    assert len({french.meaning, french.remedy, english.meaning, english.remedy}) == 4
    assert all((french.meaning, french.remedy, english.meaning, english.remedy))
    names = {
        name
        for text in (french.meaning, french.remedy, english.meaning, english.remedy)
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }
    assert names <= ({"calling", "address", "ours"} if code in REFUSALS else set())


def test_no_code_is_in_two_tables_of_quarantine() -> None:
    assert set(QUARANTINE).isdisjoint(MALFORMED)


def test_a_fault_of_the_data_means_the_same_whoever_found_it() -> None:
    assert (
        quarantine_reasons.explain("malformed-truncated")
        == quarantine_reasons.explain("truncated")
        == MALFORMED["truncated"]
    )


def test_a_code_of_a_profile_s_own_is_explained_as_such() -> None:
    assert quarantine_reasons.explain("face-possible") is quarantine_reasons.OF_A_PROFILE


def test_an_ae_title_cannot_add_a_command_to_the_remedy() -> None:
    hostile = "$(reboot);`id`"
    explained = explained_refusal("unknown-sender", hostile)
    for text in (explained.french, explained.english):
        assert shlex.split(text.remedy)[3:5] == [hostile, "10.0.0.7"]
    assert "{" not in explained_refusal("wrong-called-ae-title", "{calling}").french.remedy


def test_a_refusal_of_a_former_version_is_explained_as_far_as_it_goes() -> None:
    assert explained_refusal("no-longer-given", "CT1").english.meaning == "the association was refused"


def explained_refusal(code: str, calling: str) -> ReasonExplanation:
    return association_refusals.explain(code, calling=calling, address="10.0.0.7", ours="IMAGINGHUB")
