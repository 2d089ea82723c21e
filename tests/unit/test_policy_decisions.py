"""The decision, over every role, action and state of a permit and of the reviews."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest

from imaging_hub.permits import policy
from imaging_hub.permits.policy import (
    ACTIONS_BY_ROLE,
    HINTS,
    MESSAGES,
    OWN_HOSPITAL_ACTIONS,
    PERMIT_ACTIONS,
    AccountRole,
    Action,
    Allowed,
    DenialReason,
    Denied,
    Permit,
    RequestActor,
    RequestedResource,
    decide,
)

TODAY = date(2026, 11, 23)
DAY = timedelta(days=1)
FINESS = "750712184"
IN_FORCE = Permit(
    id="permit-1",
    project="p",
    valid_from=TODAY - DAY,
    valid_until=TODAY + DAY,
    revoked=False,
    holders=frozenset({"ada"}),
    modalities=frozenset({"CT", "MR"}),
    domains=frozenset({"diagnosis"}),
)
CT = RequestedResource(finess=FINESS, project="p", modalities=frozenset({"CT"}), domains=frozenset({"diagnosis"}))

PERMITS: dict[str, tuple[Permit | None, DenialReason | None]] = {
    "in-force": (IN_FORCE, None),
    "first-day": (replace(IN_FORCE, valid_from=TODAY), None),
    "last-day": (replace(IN_FORCE, valid_until=TODAY), None),
    "none": (None, DenialReason.NO_PERMIT),
    "expired": (replace(IN_FORCE, valid_from=TODAY - 9 * DAY, valid_until=TODAY - DAY), DenialReason.PERMIT_EXPIRED),
    "not-yet": (replace(IN_FORCE, valid_from=TODAY + DAY), DenialReason.PERMIT_NOT_YET),
    "revoked": (replace(IN_FORCE, revoked=True), DenialReason.PERMIT_REVOKED),
    "of-another": (replace(IN_FORCE, holders=frozenset({"bob"})), DenialReason.NOT_A_HOLDER),
    "of-another-and-revoked": (
        replace(IN_FORCE, holders=frozenset({"bob"}), revoked=True),
        DenialReason.NOT_A_HOLDER,
    ),
    "of-another-project": (replace(IN_FORCE, project="q"), DenialReason.OTHER_PROJECT),
    "too-few-modalities": (replace(IN_FORCE, modalities=frozenset({"MR"})), DenialReason.SCOPE_EXCEEDED),
    "no-modality": (replace(IN_FORCE, modalities=frozenset()), DenialReason.SCOPE_EXCEEDED),
    "too-few-domains": (replace(IN_FORCE, domains=frozenset()), DenialReason.SCOPE_EXCEEDED),
}
REVIEWS: dict[str, tuple[int, int, int]] = {
    "reviewed": (0, 0, 0),
    "waiting": (3, 0, 0),
    "rejected": (0, 2, 0),
    "waiting-and-rejected": (3, 2, 0),
    "changed": (0, 0, 4),
    "waiting-and-changed": (3, 0, 4),
}

# Written by hand, apart from the module's own table: who may do what at all.
MAY: dict[Action, str] = {
    Action.OVERVIEW_READ: "operator hospital radiologist researcher",
    Action.STUDIES_READ: "operator hospital radiologist",
    Action.QUARANTINE_READ: "operator hospital",
    Action.RECONCILIATION_READ: "operator hospital",
    Action.LINK_REVIEW: "operator",
    Action.SERIES_READ: "operator hospital radiologist",
    Action.PIXELS_READ: "radiologist",
    Action.REVIEW_READ: "radiologist",
    Action.REVIEW_DECIDE: "radiologist",
    Action.COHORT_CHECK: "operator researcher",
    Action.COHORT_COUNT: "operator researcher",
    Action.COHORT_FREEZE: "researcher",
    Action.COHORT_READ: "operator researcher",
    Action.RELEASE_REQUEST: "researcher",
    Action.RELEASE_READ: "operator researcher",
    Action.RELEASE_DOWNLOAD: "researcher",
    Action.PROJECT_ADD: "operator",
    Action.PROJECT_READ: "operator researcher",
    Action.PERMIT_GRANT: "operator",
    Action.PERMIT_REVOKE: "operator",
    Action.PERMIT_READ: "operator researcher",
    Action.ACCOUNT_ADD: "operator",
    Action.ACCOUNT_READ: "operator",
    Action.AUDIT_READ: "operator",
    Action.METRICS_READ: "operator",
}


def expected(role: AccountRole, action: Action, permit: str, review: str) -> DenialReason | None:
    """The rule in its shortest form, written independently of the function under test."""
    if role.value not in MAY[action].split():
        return DenialReason.ROLE_LACKS
    needs_permit = role is AccountRole.RESEARCHER and action.value in (
        "cohort:freeze",
        "release:request",
        "release:read",
        "release:download",
    )
    if needs_permit and PERMITS[permit][1] is not None:
        return PERMITS[permit][1]
    waiting, rejected, changed = REVIEWS[review]
    if action in (Action.RELEASE_REQUEST, Action.RELEASE_DOWNLOAD) and rejected:
        return DenialReason.REJECTED_IN_REVIEW
    if action is Action.RELEASE_REQUEST and waiting:
        return DenialReason.NOT_REVIEWED
    if action is Action.RELEASE_REQUEST and changed:
        return DenialReason.CHANGED_SINCE_FROZEN
    return None


@pytest.mark.parametrize("role", AccountRole)
@pytest.mark.parametrize("action", Action)
def test_the_whole_matrix_of_role_action_permit_and_review(role: AccountRole, action: Action) -> None:
    actor = RequestActor("ada", role, FINESS if role is AccountRole.HOSPITAL else None)
    for permit, review in product(PERMITS, REVIEWS):
        waiting, rejected, changed = REVIEWS[review]
        resource = replace(CT, waiting=waiting, rejected=rejected, changed=changed)
        decision = decide(actor, action, resource, permit=PERMITS[permit][0], today=TODAY)
        reason = decision.reason if isinstance(decision, Denied) else None
        assert reason == expected(role, action, permit, review), (permit, review)


@pytest.mark.parametrize("role", AccountRole)
@pytest.mark.parametrize("action", Action)
def test_an_expired_account_may_do_nothing(role: AccountRole, action: Action) -> None:
    actor = RequestActor("ada", role, FINESS, expired=True)
    assert decide(actor, action, CT, permit=IN_FORCE, today=TODAY) == Denied(DenialReason.ACCOUNT_EXPIRED)


@pytest.mark.parametrize("action", sorted(OWN_HOSPITAL_ACTIONS))
@pytest.mark.parametrize("finess", [None, "130786049"])
def test_a_hospital_sees_no_rows_but_its_own(action: Action, finess: str | None) -> None:
    hospital = RequestActor("chu", AccountRole.HOSPITAL, FINESS)
    assert decide(hospital, action, RequestedResource(finess=finess), today=TODAY) == Denied(
        DenialReason.OTHER_HOSPITAL
    )
    assert decide(hospital, action, RequestedResource(finess=FINESS), today=TODAY) == Allowed()
    nameless = RequestActor("chu", AccountRole.HOSPITAL, None)
    assert decide(nameless, action, RequestedResource(finess=finess), today=TODAY) == Denied(
        DenialReason.OTHER_HOSPITAL
    )


def test_a_denial_says_how_many_series_stand_in_the_way() -> None:
    ada = RequestActor("ada", AccountRole.RESEARCHER)
    waiting = decide(ada, Action.RELEASE_REQUEST, replace(CT, waiting=3), permit=IN_FORCE, today=TODAY)
    assert waiting == Denied(DenialReason.NOT_REVIEWED, 3)
    assert isinstance(waiting, Denied)
    assert "radiologist" in waiting.hint


@pytest.mark.parametrize("role", AccountRole)
@pytest.mark.parametrize("action", Action)
def test_an_opposition_stops_what_leaves_whatever_else_is_so(role: AccountRole, action: Action) -> None:
    for permit, review in product(PERMITS, REVIEWS):
        waiting, rejected, changed = REVIEWS[review]
        resource = replace(CT, waiting=waiting, rejected=rejected, changed=changed, opposed=1)
        actor = RequestActor("ada", role, FINESS if role is AccountRole.HOSPITAL else None)
        decision = decide(actor, action, resource, permit=PERMITS[permit][0], today=TODAY)
        reason = decision.reason if isinstance(decision, Denied) else None
        leaves = action in (Action.RELEASE_REQUEST, Action.RELEASE_DOWNLOAD)
        before = expected(role, action, permit, "reviewed")
        assert reason == (before or DenialReason.SUBJECT_OPPOSES if leaves else expected(role, action, permit, review))


def test_every_action_is_in_the_matrix_and_somebody_may_do_it() -> None:
    assert set(MAY) == set(Action)
    assert set().union(*ACTIONS_BY_ROLE.values()) == set(Action)
    assert set(ACTIONS_BY_ROLE) == set(AccountRole)
    assert PERMIT_ACTIONS.issubset(ACTIONS_BY_ROLE[AccountRole.RESEARCHER])


def test_every_reason_has_a_message_and_a_hint() -> None:
    assert set(MESSAGES) == set(HINTS) == set(DenialReason)


def test_the_policy_does_no_io() -> None:
    tree = ast.parse(Path(policy.__file__).read_text("utf-8"))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "dataclasses", "datetime", "enum"}
