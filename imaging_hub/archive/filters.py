"""What is asked of the index, as values, and as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

Conditions: TypeAlias = tuple[str, dict[str, object]]
"""SQL to append after a WHERE, beginning with AND or empty, and its values by name."""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """What a study must be; an empty field asks nothing. Texts may hold the wildcards `*` and `?`."""

    study_uids: Sequence[str] = ()
    patient: str = ""
    shifted_from: date | None = None
    shifted_to: date | None = None
    modalities: Sequence[str] = ()
    description: str = ""
    accession: str = ""
    state: str = ""
    finess: str = ""

    def conditions(self) -> Conditions:
        """As SQL on `hub.study st` and `hub.subject su`."""
        return _conditions(
            ("st.study_instance_uid = ANY(:study_uids)", "study_uids", list(self.study_uids) or None),
            ("su.pseudonym ILIKE :patient", "patient", _pattern(self.patient)),
            ("st.shifted_date >= :shifted_from", "shifted_from", self.shifted_from),
            ("st.shifted_date <= :shifted_to", "shifted_to", self.shifted_to),
            (
                "EXISTS (SELECT 1 FROM hub.series m WHERE m.study_instance_uid = st.study_instance_uid"
                " AND m.modality = ANY(:modalities))",
                "modalities",
                list(self.modalities) or None,
            ),
            ("st.description ILIKE :study_description", "study_description", _pattern(self.description)),
            ("st.accession ILIKE :accession", "accession", _pattern(self.accession)),
            ("st.state = :state", "state", self.state or None),
            ("st.finess = :finess", "finess", self.finess or None),
        )


@dataclass(frozen=True, slots=True)
class SeriesFilter:
    """What a series must be, likewise."""

    series_uids: Sequence[str] = ()
    modality: str = ""
    number: int | None = None
    description: str = ""
    body_part: str = ""
    review_state: str = ""

    def conditions(self) -> Conditions:
        """As SQL on `hub.series se`."""
        return _conditions(
            ("se.series_instance_uid = ANY(:series_uids)", "series_uids", list(self.series_uids) or None),
            ("se.modality ILIKE :modality", "modality", _pattern(self.modality)),
            ("se.series_number = :series_number", "series_number", self.number),
            ("se.description ILIKE :series_description", "series_description", _pattern(self.description)),
            ("se.body_part ILIKE :body_part", "body_part", _pattern(self.body_part)),
            ("se.review_state = :review_state", "review_state", self.review_state or None),
        )


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """What an instance must be, likewise."""

    sop_uids: Sequence[str] = ()
    sop_class_uids: Sequence[str] = ()
    number: int | None = None

    def conditions(self) -> Conditions:
        """As SQL on `hub.instance i`."""
        return _conditions(
            ("i.sop_instance_uid = ANY(:sop_uids)", "sop_uids", list(self.sop_uids) or None),
            ("i.sop_class_uid = ANY(:sop_classes)", "sop_classes", list(self.sop_class_uids) or None),
            ("i.instance_number = :instance_number", "instance_number", self.number),
        )


ANY_STUDY = StudyFilter()
ANY_SERIES = SeriesFilter()
ANY_INSTANCE = InstanceFilter()


def _conditions(*conditions: tuple[str, str, object]) -> Conditions:
    """The conditions whose value is given, as SQL to append after a WHERE, and the values by name."""
    asked = [(sql, name, value) for sql, name, value in conditions if value is not None]
    return "".join(f" AND {sql}" for sql, _, _ in asked), {name: value for _, name, value in asked}


def _pattern(wanted: str) -> str | None:
    """DICOM's wildcards (PS3.4 §C.2.2.2.4) as SQL's; `*` alone asks nothing."""
    if not wanted.strip("*"):
        return None
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
