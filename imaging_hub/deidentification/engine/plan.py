"""A profile compiled for speed: for each SOP Class and place in the dataset, the decision on each attribute.

Nothing here has seen a patient: a plan is shared by all instances, of all patients.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from imaging_hub.deidentification.engine.decision_scope import SCOPES_MAX, CompiledProfile, DecisionScope, InstanceFacts
from imaging_hub.deidentification.profile import expression
from imaging_hub.deidentification.profile.profile import Profile, load
from imaging_hub.dicom import dates, tags, values
from imaging_hub.dicom.elements import Dataset

_DAYS = (tags.StudyDate, tags.SeriesDate, tags.AcquisitionDate, tags.ContentDate)


class Plan:
    """A compiled profile; make it with `compile`."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._compiled = CompiledProfile.of(profile)
        self._conditions = {text for rule in profile.rules for text in rule.when.conditions}
        self._scopes: dict[InstanceFacts, DecisionScope] = {}
        self._places = count()

    def scope_of(self, dataset: Dataset) -> DecisionScope:
        """Find the decisions for the top level of an instance.

        An instance that lists what it refers to (Common Instance Reference, PS3.3 §C.12.2) keeps the references, with
        other UIDs, to conform to its IOD. No birth date tells of a patient above the highest age that may be known.
        """
        cap = self.profile.age_cap_years
        return self.scope(
            values.text_at(dataset, tags.SOPClassUID),
            values.text_at(dataset, tags.Modality),
            references=values.find(dataset, tags.ReferencedSeriesSequence) is not None,
            very_old=cap is not None and _is_above(dataset, cap),
            conditions=frozenset(text for text in self._conditions if expression.holds(text, dataset)),
        )

    def scope(
        self,
        sop_class_uid: str,
        modality: str,
        *,
        references: bool = False,
        very_old: bool = False,
        conditions: frozenset[str] = frozenset(),
    ) -> DecisionScope:
        """Find the decisions for instances of this SOP Class and modality of which these conditions hold."""
        facts = InstanceFacts(sop_class_uid, modality, references, very_old, conditions)
        scope = self._scopes.get(facts)
        if scope is None:
            scope = DecisionScope(self._compiled, facts, self._places)
            if len(self._scopes) < SCOPES_MAX:
                self._scopes[facts] = scope
        return scope


def compile(profile: Profile) -> Plan:
    """Compile a profile. Decisions are made when first needed, once for each place."""
    return Plan(profile)


class PlanCache:
    """Plans of profiles as their files are now, compiled once for as long as these stay the same."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` are looked into before the profiles that are shipped."""
        self._folders = tuple(folders)
        self._known: dict[str, tuple[str, Plan]] = {}

    def of(self, name: str) -> tuple[str, Plan]:
        """Return `name@digest` of a profile, and its plan; raises `ProfileError` where there is none of that name."""
        chosen = load(name, self._folders)
        label = f"{chosen.name}@{chosen.digest[:16]}"
        known = self._known.get(name)
        if known is None or known[0] != label:
            known = self._known[name] = (label, compile(chosen))
        return known


def _is_above(dataset: Dataset, cap: int) -> bool:
    """Whether a patient is above an age in years, by Patient's Age or by the birth date; also if nobody can say."""
    known = [age for age in (_patients_age(dataset), _age_by_birth_date(dataset)) if age is not None]
    return not known or max(known) > cap


def _patients_age(dataset: Dataset) -> int | None:
    text = values.text_at(dataset, tags.PatientAge)
    return dates.years(text.encode("latin-1")) if text else None


def _age_by_birth_date(dataset: Dataset) -> int | None:
    """Age on the last of an instance's days."""
    birthday = dates.day_of(values.text_at(dataset, tags.PatientBirthDate))
    days = [day for tag in _DAYS if (day := dates.day_of(values.text_at(dataset, tag))) is not None]
    if birthday is None or not days:
        return None
    last = max(days)
    return last.year - birthday.year - ((last.month, last.day) < (birthday.month, birthday.day))
