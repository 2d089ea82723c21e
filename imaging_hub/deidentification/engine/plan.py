"""A profile compiled for speed: for each SOP Class and place in the dataset, what becomes of each attribute, and why.

Nothing here has seen a patient: a plan is shared by all instances, of all patients.
"""

from __future__ import annotations

from itertools import count

from imaging_hub.deidentification.engine import ages
from imaging_hub.deidentification.engine.scope import SCOPES_MAX, CompiledProfile, InstanceFacts, Scope
from imaging_hub.deidentification.profile import expression
from imaging_hub.deidentification.profile.profile import Profile
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Dataset

_SOP_CLASS, _MODALITY, _REFERENCED_SERIES = 0x00080016, 0x00080060, 0x00081115


class Plan:
    """A compiled profile; make it with `compile`."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._compiled = CompiledProfile.of(profile)
        self.date_option = self._compiled.date_option
        """The option that says what becomes of dates; empty when none is chosen."""
        self._conditions = {text for rule in profile.rules for text in rule.when.conditions}
        self._scopes: dict[InstanceFacts, Scope] = {}
        self._places = count()

    def scope_of(self, dataset: Dataset) -> Scope:
        """The decisions for the top level of an instance.

        An instance that lists what it refers to (Common Instance Reference, PS3.3 §C.12.2) keeps the references, with
        other UIDs, to conform to its IOD. No birth date tells of a patient above the highest age that may be known.
        """
        cap = self.profile.age_cap_years
        return self.scope(
            values.text_at(dataset, _SOP_CLASS),
            values.text_at(dataset, _MODALITY),
            references=values.find(dataset, _REFERENCED_SERIES) is not None,
            very_old=cap is not None and ages.is_above(dataset, cap),
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
    ) -> Scope:
        """The decisions for instances of this SOP Class and modality of which these conditions of the profile hold."""
        facts = InstanceFacts(sop_class_uid, modality, references, very_old, conditions)
        found = self._scopes.get(facts)
        if found is None:
            found = Scope(self._compiled, facts, self._places)
            if len(self._scopes) < SCOPES_MAX:
                self._scopes[facts] = found
        return found


def compile(profile: Profile) -> Plan:
    """The plan of a profile. Decisions are made when first needed, once for each place."""
    return Plan(profile)
