"""The access policy: `decide(actor, action, resource, permit=…, today=…)`, without any I/O.

A role allows actions, a permit limits the data they apply to, and everything else is denied. Callers look up the facts
(account, permit, reviews) and get a value back; see `permits.projects` and `cohorts.release`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class AccountRole(StrEnum):
    """The role of an account."""

    OPERATOR = "operator"  # runs the hub and grants permits; sees no image, downloads nothing
    HOSPITAL = "hospital"  # sees the state of its own studies
    RADIOLOGIST = "radiologist"  # reviews de-identified images
    RESEARCHER = "researcher"  # counts cohorts, and downloads releases under a permit


class Action(StrEnum):
    """Everything an account may be allowed to do, as `<resource>:<verb>`."""

    OVERVIEW_READ = "overview:read"
    STUDIES_READ = "studies:read"
    QUARANTINE_READ = "quarantine:read"  # reasons and counts; only the console shows the images
    RECONCILIATION_READ = "reconciliation:read"  # images without claims, and claims without images
    LINK_REVIEW = "link:review"  # decide whether a subject and an SNDS person are the same
    SERIES_READ = "series:read"
    PIXELS_READ = "pixels:read"
    REVIEW_READ = "review:read"
    REVIEW_DECIDE = "review:decide"
    COHORT_CHECK = "cohort:check"
    COHORT_COUNT = "cohort:count"
    COHORT_FREEZE = "cohort:freeze"
    COHORT_READ = "cohort:read"
    RELEASE_REQUEST = "release:request"
    RELEASE_READ = "release:read"
    RELEASE_DOWNLOAD = "release:download"
    PROJECT_ADD = "project:add"
    PROJECT_READ = "project:read"
    PERMIT_GRANT = "permit:grant"
    PERMIT_REVOKE = "permit:revoke"
    PERMIT_READ = "permit:read"
    ACCOUNT_ADD = "account:add"
    ACCOUNT_READ = "account:read"
    AUDIT_READ = "audit:read"
    METRICS_READ = "metrics:read"


class DenialReason(StrEnum):
    """Why a request is denied; a stable code, for API clients and the trail."""

    ACCOUNT_EXPIRED = "account-expired"
    ROLE_LACKS = "role-lacks"
    OTHER_HOSPITAL = "other-hospital"
    NO_PERMIT = "no-permit"
    NOT_A_HOLDER = "not-a-holder"
    PERMIT_REVOKED = "permit-revoked"
    PERMIT_NOT_YET = "permit-not-yet"
    PERMIT_EXPIRED = "permit-expired"
    OTHER_PROJECT = "other-project"
    SCOPE_EXCEEDED = "scope-exceeded"
    REJECTED_IN_REVIEW = "rejected-in-review"
    NOT_REVIEWED = "not-reviewed"
    CHANGED_SINCE_FROZEN = "changed-since-frozen"
    SUBJECT_OPPOSES = "subject-opposes"
    BUDGET_SPENT = "query-budget"


MAX_COUNTS_PER_DAY = 200
"""Flowcharts that one account may request in a day."""

MESSAGES: Mapping[DenialReason, str] = {
    DenialReason.ACCOUNT_EXPIRED: "This account has expired.",
    DenialReason.ROLE_LACKS: "This account's role does not do this.",
    DenialReason.OTHER_HOSPITAL: "This is of another hospital.",
    DenialReason.NO_PERMIT: "There is no such permit.",
    DenialReason.NOT_A_HOLDER: "The permit does not name this account.",
    DenialReason.PERMIT_REVOKED: "The permit was withdrawn.",
    DenialReason.PERMIT_NOT_YET: "The permit is not in force yet.",
    DenialReason.PERMIT_EXPIRED: "The permit has expired.",
    DenialReason.OTHER_PROJECT: "The permit is of another project.",
    DenialReason.SCOPE_EXCEEDED: "The permit's scope does not cover this.",
    DenialReason.REJECTED_IN_REVIEW: "A series of it was rejected in review.",
    DenialReason.NOT_REVIEWED: "A series of it is still waiting for review.",
    DenialReason.CHANGED_SINCE_FROZEN: "A series of it has changed since it was frozen.",
    DenialReason.SUBJECT_OPPOSES: "A person in it has opposed the use of their data.",
    DenialReason.BUDGET_SPENT: "This account has asked for its counts of today.",
}

HINTS: Mapping[DenialReason, str] = {
    DenialReason.ACCOUNT_EXPIRED: "ask the operator to renew the account: imaging-hub account add",
    DenialReason.ROLE_LACKS: "this needs another role; ask the operator",
    DenialReason.OTHER_HOSPITAL: "an account of a hospital sees that hospital only",
    DenialReason.NO_PERMIT: "name a permit: --permit ID; `imaging-hub permit list` shows them",
    DenialReason.NOT_A_HOLDER: "ask the operator to name you in the permit",
    DenialReason.PERMIT_REVOKED: "the permit was withdrawn; ask for a new one",
    DenialReason.PERMIT_NOT_YET: "wait for the day the permit begins",
    DenialReason.PERMIT_EXPIRED: "ask for a new permit: imaging-hub permit grant",
    DenialReason.OTHER_PROJECT: "use a permit of the same project",
    DenialReason.SCOPE_EXCEEDED: "ask for a permit whose scope covers these modalities and domains",
    DenialReason.REJECTED_IN_REVIEW: "freeze a cohort without the rejected series",
    DenialReason.NOT_REVIEWED: "wait for a radiologist to approve the waiting series: page /reviews",
    DenialReason.SUBJECT_OPPOSES: "somebody in it opposes; freeze the cohort again, and delete what you downloaded",
    DenialReason.BUDGET_SPENT: "so many counts are enough for a day; ask again tomorrow",
    DenialReason.CHANGED_SINCE_FROZEN: "images came in late or were re-made; freeze the cohort again",
}


@dataclass(frozen=True)
class RequestActor:
    """The account that makes a request."""

    name: str
    role: AccountRole
    finess: str | None = None
    """FINESS of a hospital account."""
    expired: bool = False
    """Whether the account had expired when it was looked up (référentiel 5.1)."""


class PermitState(StrEnum):
    """State of a permit on a day."""

    NOT_YET = "not yet"
    IN_FORCE = "in force"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Permit:
    """A permit: a project's access to data of a scope, for named accounts, until a day."""

    id: str
    project: str
    valid_from: date
    valid_until: date
    """Last day in force."""
    revoked: bool
    holders: frozenset[str]
    modalities: frozenset[str]
    """Modalities it covers; an empty set covers none."""
    domains: frozenset[str]
    """SNDS domains it covers (`diagnosis`, `act`, `drug`, `death` …)."""

    def state(self, today: date) -> PermitState:
        """Return the permit's state on the day `today`."""
        if self.revoked:
            return PermitState.REVOKED
        if today < self.valid_from:
            return PermitState.NOT_YET
        return PermitState.IN_FORCE if today <= self.valid_until else PermitState.EXPIRED


@dataclass(frozen=True)
class RequestedResource:
    """Facts about the requested resource; those that do not apply keep their default."""

    finess: str | None = None
    project: str | None = None
    modalities: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    waiting: int = 0
    """Series that wait for a radiologist's verdict."""
    rejected: int = 0
    """Series that a radiologist rejected."""
    changed: int = 0
    """Series whose content has changed since the cohort was frozen."""
    opposed: int = 0
    """Series of subjects who opposed the use of their data."""
    asked_today: int = 0
    """Flowcharts that the account has requested today, including this one."""


@dataclass(frozen=True)
class Allowed:
    """The request is allowed."""


@dataclass(frozen=True)
class Denied:
    """The request is denied for one reason."""

    reason: DenialReason
    series: int = 0
    """Number of series concerned, for a reason about reviews."""

    @property
    def message(self) -> str:
        """What the denial means, for whoever may know of the resource."""
        return MESSAGES[self.reason]

    @property
    def hint(self) -> str:
        """The next step for the person who was denied."""
        return HINTS[self.reason]


Decision = Allowed | Denied

ANY_RESOURCE = RequestedResource()
"""A resource without facts, for actions that depend on the role only."""

_A = Action
_COHORT_ACTIONS = {_A.COHORT_CHECK, _A.COHORT_COUNT, _A.PROJECT_READ, _A.PERMIT_READ}
ACTIONS_BY_ROLE: Mapping[AccountRole, frozenset[Action]] = {
    AccountRole.OPERATOR: frozenset(
        _COHORT_ACTIONS
        | {_A.OVERVIEW_READ, _A.STUDIES_READ, _A.QUARANTINE_READ, _A.SERIES_READ, _A.COHORT_READ, _A.RELEASE_READ}
        | {_A.PROJECT_ADD, _A.PERMIT_GRANT, _A.PERMIT_REVOKE, _A.ACCOUNT_ADD, _A.ACCOUNT_READ}
        | {_A.AUDIT_READ, _A.METRICS_READ, _A.RECONCILIATION_READ, _A.LINK_REVIEW}
    ),
    AccountRole.HOSPITAL: frozenset(
        {_A.OVERVIEW_READ, _A.STUDIES_READ, _A.QUARANTINE_READ, _A.RECONCILIATION_READ, _A.SERIES_READ}
    ),
    AccountRole.RADIOLOGIST: frozenset(
        {_A.OVERVIEW_READ, _A.STUDIES_READ, _A.SERIES_READ, _A.PIXELS_READ, _A.REVIEW_READ, _A.REVIEW_DECIDE}
    ),
    AccountRole.RESEARCHER: frozenset(
        _COHORT_ACTIONS
        | {_A.OVERVIEW_READ, _A.COHORT_READ, _A.COHORT_FREEZE}
        | {_A.RELEASE_REQUEST, _A.RELEASE_READ, _A.RELEASE_DOWNLOAD}
    ),
}
"""Actions that each role may take."""

PERMIT_ACTIONS = frozenset({_A.COHORT_FREEZE, _A.RELEASE_REQUEST, _A.RELEASE_READ, _A.RELEASE_DOWNLOAD})
"""Actions that need a permit in force."""

OWN_HOSPITAL_ACTIONS = frozenset({_A.STUDIES_READ, _A.QUARANTINE_READ, _A.RECONCILIATION_READ, _A.SERIES_READ})
"""Actions that a hospital may take on its own data only, named by `RequestedResource.finess`."""

_OPERATOR_ACTIONS = frozenset({_A.RELEASE_READ})
"""Actions that an operator may take without a permit: reading states and sizes of releases."""


def decide(
    actor: RequestActor,
    action: Action,
    resource: RequestedResource,
    *,
    permit: Permit | None = None,
    today: date,
) -> Decision:
    """Decide whether `actor` may do `action` to `resource` today; denies by default."""
    if actor.expired:
        return Denied(DenialReason.ACCOUNT_EXPIRED)
    if action not in ACTIONS_BY_ROLE[actor.role]:
        return Denied(DenialReason.ROLE_LACKS)
    if (
        actor.role is AccountRole.HOSPITAL
        and action in OWN_HOSPITAL_ACTIONS
        and resource.finess not in {actor.finess} - {None}
    ):
        return Denied(DenialReason.OTHER_HOSPITAL)
    if action in PERMIT_ACTIONS and not (actor.role is AccountRole.OPERATOR and action in _OPERATOR_ACTIONS):
        if permit is None:
            return Denied(DenialReason.NO_PERMIT)
        reason = _permit_denial(permit, actor, resource, today)
        if reason is not None:
            return Denied(reason)
    return _decide_on_state(action, resource)


def _permit_denial(
    permit: Permit, actor: RequestActor, resource: RequestedResource, today: date
) -> DenialReason | None:
    """Return why the permit does not allow it; holders are checked first, to hide the state of others' permits."""
    checks = (
        (actor.name not in permit.holders, DenialReason.NOT_A_HOLDER),
        (permit.revoked, DenialReason.PERMIT_REVOKED),
        (today < permit.valid_from, DenialReason.PERMIT_NOT_YET),
        (today > permit.valid_until, DenialReason.PERMIT_EXPIRED),
        (resource.project not in (None, permit.project), DenialReason.OTHER_PROJECT),
        (not resource.modalities <= permit.modalities, DenialReason.SCOPE_EXCEEDED),
        (not resource.domains <= permit.domains, DenialReason.SCOPE_EXCEEDED),
    )
    return next((reason for fails, reason in checks if fails), None)


def _decide_on_state(action: Action, resource: RequestedResource) -> Decision:
    """Decide on the state of the resource: the day's counts, oppositions, and verdicts of radiologists."""
    if action is Action.COHORT_COUNT and resource.asked_today > MAX_COUNTS_PER_DAY:
        return Denied(DenialReason.BUDGET_SPENT)
    if action in (Action.RELEASE_REQUEST, Action.RELEASE_DOWNLOAD) and resource.opposed:
        return Denied(DenialReason.SUBJECT_OPPOSES)
    if action in (Action.RELEASE_REQUEST, Action.RELEASE_DOWNLOAD) and resource.rejected:
        return Denied(DenialReason.REJECTED_IN_REVIEW, resource.rejected)
    if action is Action.RELEASE_REQUEST and resource.waiting:
        return Denied(DenialReason.NOT_REVIEWED, resource.waiting)
    if action is Action.RELEASE_REQUEST and resource.changed:
        return Denied(DenialReason.CHANGED_SINCE_FROZEN, resource.changed)
    return Allowed()
