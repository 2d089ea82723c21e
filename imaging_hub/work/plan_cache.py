"""Profiles as their files are now, compiled once for as long as they stay the same."""

from __future__ import annotations

from imaging_hub.deidentification.engine import plan
from imaging_hub.deidentification.engine.plan import Plan
from imaging_hub.deidentification.profile import profile
from imaging_hub.settings import Settings


class PlanCache:
    """The plans of the hub's profiles: a study that is processed again meets the new rules."""

    def __init__(self, settings: Settings) -> None:
        self._folders = [settings.profiles] if settings.profiles else []
        self._known: dict[str, tuple[str, Plan]] = {}

    def of(self, name: str) -> tuple[str, Plan]:
        """`name@digest` of a profile, and its plan; raises `HubError` where there is none of that name."""
        chosen = profile.load(name, self._folders)
        label = f"{chosen.name}@{chosen.digest[:16]}"
        known = self._known.get(name)
        if known is None or known[0] != label:
            known = self._known[name] = (label, plan.compile(chosen))
        return known
