"""Texts of the hub's pages, and their navigation."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from imaging_hub.permits.policy import ANY_RESOURCE, Action, Denied, RequestActor, decide
from imaging_hub.web.authorization import today

_NAVIGATION = (
    ("/", "Overview", Action.OVERVIEW_READ),
    ("/studies", "Studies", Action.STUDIES_READ),
    ("/quarantine", "Quarantine", Action.QUARANTINE_READ),
    ("/reconciliation", "Claims", Action.RECONCILIATION_READ),
    ("/linkage", "Links", Action.LINK_REVIEW),
    ("/reviews", "Review", Action.REVIEW_READ),
    ("/cohorts", "Cohorts", Action.COHORT_READ),
    ("/releases", "Releases", Action.RELEASE_READ),
    ("/permits", "Permits", Action.PERMIT_READ),
    ("/audit", "Audit", Action.AUDIT_READ),
)

TEXTS: dict[str, Any] = {
    "name": "Imaging Hub",
    "tagline": "de-identified archive",
    "zone": "deidentified",
    "lang": "en",
    "footer": "No page of this hub holds an identity. Dates are shifted per patient; identifiers are pseudonyms.",
    "roles": {
        "operator": "operator",
        "hospital": "hospital",
        "radiologist": "radiologist",
        "researcher": "researcher",
    },
    "problems": {"not-found": "There is no such page, or it is not yours."},
    "words": {
        "skip": "Skip to the content",
        "main": "Main",
        "sign_in": "Sign in",
        "sign_out": "Sign out",
        "sign_in_how": "Paste the token that the operator gave you. It is sent once and kept in this browser only.",
        "sign_in_refused": "No account has this token, or its time is over.",
        "token": "Token",
        "problem": "This did not work",
        "what_to_do": "What to do:",
        "home": "Back to the overview",
    },
}


def context(request: Request) -> dict[str, Any]:
    """Return the context of every page: texts, the person, and the links that the person may follow."""
    person: RequestActor | None = getattr(request.state, "person", None)
    navigation = [(href, label) for href, label, action in _NAVIGATION if person and role_allows(person, action)]
    return {"site": TEXTS, "person": person, "navigation": navigation}


def role_allows(actor: RequestActor, action: Action) -> bool:
    """Whether the role allows the action at all, for showing a link; the route decides again."""
    decision = decide(actor, action, ANY_RESOURCE, today=today())
    return not (isinstance(decision, Denied) and decision.reason in ("role-lacks", "account-expired"))
