"""The one place that decides: `decide(actor, action, resource, permit=…, today=…)`, without any I/O.

A role gives verbs, a permit gives rows, and what nothing allows is denied. Callers look up the facts
(who asks, which permit, what the reviews say) and get a value back; see `permits.projects` and
`cohorts.release` for the facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class AccountRole(StrEnum):
    """What an account is for."""

    OPERATOR = "operator"  # runs the hub, grants permits, sees no image and downloads nothing
    HOSPITAL = "hospital"  # sees what became of its own studies
    RADIOLOGIST = "radiologist"  # looks at de-identified images and signs them off
    RESEARCHER = "researcher"  # counts cohorts, and gets releases under a permit


class Action(StrEnum):
    """Everything the hub lets anyone do, as `<resource>:<verb>`."""

    OVERVIEW_READ = "overview:read"
    STUDIES_READ = "studies:read"
    QUARANTINE_READ = "quarantine:read"  # reasons and counts; the images stay with the console
    RECONCILIATION_READ = "reconciliation:read"  # images without claims, and the other way round
    LINK_REVIEW = "link:review"  # whether a subject and a person of the SNDS are one
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
    """Why something is denied; stable, for programs and for the trail."""

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


COUNTS_A_DAY = 200
"""Flowcharts that one account may ask for in a day."""

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
    """Who asks."""

    name: str
    role: AccountRole
    finess: str | None = None
    """The hospital of a hospital account."""
    expired: bool = False
    """The account's time was over when it was looked up (REF 5.1)."""


class PermitState(StrEnum):
    """Where a permit is in its time."""

    NOT_YET = "not yet"
    IN_FORCE = "in force"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Permit:
    """What a permit says, as the database holds it."""

    id: str
    project: str
    valid_from: date
    valid_until: date
    """Last day in force."""
    revoked: bool
    holders: frozenset[str]
    modalities: frozenset[str]
    """Modalities it covers; empty covers none."""
    domains: frozenset[str]
    """SNDS domains it covers (`diagnosis`, `act`, `drug`, `death` …)."""

    def state(self, today: date) -> PermitState:
        """Whether it is in force on a day."""
        if self.revoked:
            return PermitState.REVOKED
        if today < self.valid_from:
            return PermitState.NOT_YET
        return PermitState.IN_FORCE if today <= self.valid_until else PermitState.EXPIRED


@dataclass(frozen=True)
class RequestedResource:
    """The facts about what is asked for; those that do not apply stay empty."""

    finess: str | None = None
    project: str | None = None
    modalities: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    waiting: int = 0
    """Series of it that a radiologist has yet to look at."""
    rejected: int = 0
    """Series of it that a radiologist refused."""
    changed: int = 0
    """Series of it whose content is not what was frozen."""
    opposed: int = 0
    """Series of it whose subjects have opposed the use of their data."""
    asked_today: int = 0
    """Flowcharts that the account has asked for today, this one included."""


@dataclass(frozen=True)
class Allowed:
    """Go ahead."""


@dataclass(frozen=True)
class Denied:
    """Do not, for this reason."""

    reason: DenialReason
    series: int = 0
    """How many series stand in the way, where it is about reviews."""

    @property
    def message(self) -> str:
        """What the denial means, for whoever may know of the resource."""
        return MESSAGES[self.reason]

    @property
    def hint(self) -> str:
        """What the person can do about it."""
        return HINTS[self.reason]


Decision = Allowed | Denied

ANYTHING = RequestedResource()
"""A resource that no permit and no hospital limits."""

_A = Action
_COHORTS = {_A.COHORT_CHECK, _A.COHORT_COUNT, _A.PROJECT_READ, _A.PERMIT_READ}
VERBS: Mapping[AccountRole, frozenset[Action]] = {
    AccountRole.OPERATOR: frozenset(
        _COHORTS
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
        _COHORTS
        | {_A.OVERVIEW_READ, _A.COHORT_READ, _A.COHORT_FREEZE}
        | {_A.RELEASE_REQUEST, _A.RELEASE_READ, _A.RELEASE_DOWNLOAD}
    ),
}
"""The verbs of each role."""

UNDER_PERMIT = frozenset({_A.COHORT_FREEZE, _A.RELEASE_REQUEST, _A.RELEASE_READ, _A.RELEASE_DOWNLOAD})
"""What a researcher does under a permit in force only."""

OF_A_HOSPITAL = frozenset({_A.STUDIES_READ, _A.QUARANTINE_READ, _A.RECONCILIATION_READ, _A.SERIES_READ})
"""What a hospital sees of its own only: ask with `Resource(finess=…)` of the rows that will be shown."""

_FOR_OPERATION = frozenset({_A.RELEASE_READ})
"""What an operator sees of a project's work without being of the project: states and sizes."""


def decide(
    actor: RequestActor,
    action: Action,
    resource: RequestedResource,
    *,
    permit: Permit | None = None,
    today: date,
) -> Decision:
    """Whether `actor` may do `action` to `resource` today. Deny by default."""
    if actor.expired:
        return Denied(DenialReason.ACCOUNT_EXPIRED)
    if action not in VERBS[actor.role]:
        return Denied(DenialReason.ROLE_LACKS)
    if (
        actor.role is AccountRole.HOSPITAL
        and action in OF_A_HOSPITAL
        and resource.finess not in {actor.finess} - {None}
    ):
        return Denied(DenialReason.OTHER_HOSPITAL)
    if action in UNDER_PERMIT and not (actor.role is AccountRole.OPERATOR and action in _FOR_OPERATION):
        if permit is None:
            return Denied(DenialReason.NO_PERMIT)
        lacking = _permit_lacks(permit, actor, resource, today)
        if lacking is not None:
            return Denied(lacking)
    return _as_it_stands(action, resource)


def _permit_lacks(permit: Permit, actor: RequestActor, resource: RequestedResource, today: date) -> DenialReason | None:
    """The first thing that is wrong; the holders first, so that nobody learns the state of others' permits."""
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


def _as_it_stands(action: Action, resource: RequestedResource) -> Decision:
    """Counts have an end; a rejected series never leaves, also of an old release; an unseen one is not released."""
    if action is Action.COHORT_COUNT and resource.asked_today > COUNTS_A_DAY:
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
