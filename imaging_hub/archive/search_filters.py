"""Filters on studies, series and instances of the index, and their SQL conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

SqlConditions: TypeAlias = tuple[str, dict[str, object]]
"""SQL to append to a WHERE clause, beginning with AND or empty, and its parameters."""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Filter on studies; empty fields match all. Texts may have the wildcards `*` and `?` (PS3.4 §C.2.2.2.4)."""

    study_uids: Sequence[str] = ()
    patient: str = ""
    patient_name: str = ""
    shifted_from: date | None = None
    shifted_to: date | None = None
    modalities: Sequence[str] = ()
    description: str = ""
    accession: str = ""
    state: str = ""
    finess: str = ""

    def conditions(self) -> SqlConditions:
        """Return the conditions on `hub.study st` and `hub.subject su`."""
        return _conditions(
            ("st.study_instance_uid = ANY(:study_uids)", "study_uids", list(self.study_uids) or None),
            _text_condition("su.pseudonym", "patient", self.patient),
            # Patient's Name is the pseudonym too.
            _text_condition("su.pseudonym", "patient_name", self.patient_name),
            ("st.shifted_date >= :shifted_from", "shifted_from", self.shifted_from),
            ("st.shifted_date <= :shifted_to", "shifted_to", self.shifted_to),
            (
                "EXISTS (SELECT 1 FROM hub.series m WHERE m.study_instance_uid = st.study_instance_uid"
                " AND m.modality = ANY(:modalities))",
                "modalities",
                list(self.modalities) or None,
            ),
            _text_condition("st.description", "study_description", self.description, ignore_case=True),
            _text_condition("st.accession", "accession", self.accession),
            ("st.state = :state", "state", self.state or None),
            ("st.finess = :finess", "finess", self.finess or None),
        )


@dataclass(frozen=True, slots=True)
class SeriesFilter:
    """Filter on series, as `StudyFilter`."""

    series_uids: Sequence[str] = ()
    modality: str = ""
    number: int | None = None
    description: str = ""
    body_part: str = ""
    review_state: str = ""

    def conditions(self) -> SqlConditions:
        """Return the conditions on `hub.series se`."""
        return _conditions(
            ("se.series_instance_uid = ANY(:series_uids)", "series_uids", list(self.series_uids) or None),
            _text_condition("se.modality", "modality", self.modality.upper()),
            ("se.series_number = :series_number", "series_number", self.number),
            _text_condition("se.description", "series_description", self.description, ignore_case=True),
            _text_condition("se.body_part", "body_part", self.body_part.upper()),
            ("se.review_state = :review_state", "review_state", self.review_state or None),
        )


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Filter on instances, as `StudyFilter`."""

    sop_uids: Sequence[str] = ()
    sop_class_uids: Sequence[str] = ()
    number: int | None = None

    def conditions(self) -> SqlConditions:
        """Return the conditions on `hub.instance i`."""
        return _conditions(
            ("i.sop_instance_uid = ANY(:sop_uids)", "sop_uids", list(self.sop_uids) or None),
            ("i.sop_class_uid = ANY(:sop_classes)", "sop_classes", list(self.sop_class_uids) or None),
            ("i.instance_number = :instance_number", "instance_number", self.number),
        )


ANY_STUDY = StudyFilter()
ANY_SERIES = SeriesFilter()
ANY_INSTANCE = InstanceFilter()


def _conditions(*conditions: tuple[str, str, object]) -> SqlConditions:
    """Join the conditions whose value is given."""
    given = [(sql, name, value) for sql, name, value in conditions if value is not None]
    return "".join(f" AND {sql}" for sql, _, _ in given), {name: value for _, name, value in given}


def _text_condition(column: str, name: str, pattern: str, *, ignore_case: bool = False) -> tuple[str, str, str | None]:
    """Return the condition of a pattern with DICOM's wildcards; no value for an empty pattern or `*`."""
    if not pattern.strip("*"):
        return "", name, None
    if not ignore_case and "*" not in pattern and "?" not in pattern:
        return f"{column} = :{name}", name, pattern
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{column} {'ILIKE' if ignore_case else 'LIKE'} :{name}", name, escaped.replace("*", "%").replace("?", "_")
