"""What is asked of the index, as values, and as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

SqlConditions: TypeAlias = tuple[str, dict[str, object]]
"""SQL to append after a WHERE, beginning with AND or empty, and its values by name."""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """What a study must be; an empty field asks nothing. Texts may hold the wildcards `*` and `?`."""

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
        """As SQL on `hub.study st` and `hub.subject su`."""
        return _conditions(
            ("st.study_instance_uid = ANY(:study_uids)", "study_uids", list(self.study_uids) or None),
            _text("su.pseudonym", "patient", self.patient),
            _text("su.pseudonym", "patient_name", self.patient_name),  # the engine writes the pseudonym as both
            ("st.shifted_date >= :shifted_from", "shifted_from", self.shifted_from),
            ("st.shifted_date <= :shifted_to", "shifted_to", self.shifted_to),
            (
                "EXISTS (SELECT 1 FROM hub.series m WHERE m.study_instance_uid = st.study_instance_uid"
                " AND m.modality = ANY(:modalities))",
                "modalities",
                list(self.modalities) or None,
            ),
            _text("st.description", "study_description", self.description, fold=True),
            _text("st.accession", "accession", self.accession),
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

    def conditions(self) -> SqlConditions:
        """As SQL on `hub.series se`."""
        return _conditions(
            ("se.series_instance_uid = ANY(:series_uids)", "series_uids", list(self.series_uids) or None),
            _text("se.modality", "modality", self.modality.upper()),
            ("se.series_number = :series_number", "series_number", self.number),
            _text("se.description", "series_description", self.description, fold=True),
            _text("se.body_part", "body_part", self.body_part.upper()),
            ("se.review_state = :review_state", "review_state", self.review_state or None),
        )


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """What an instance must be, likewise."""

    sop_uids: Sequence[str] = ()
    sop_class_uids: Sequence[str] = ()
    number: int | None = None

    def conditions(self) -> SqlConditions:
        """As SQL on `hub.instance i`."""
        return _conditions(
            ("i.sop_instance_uid = ANY(:sop_uids)", "sop_uids", list(self.sop_uids) or None),
            ("i.sop_class_uid = ANY(:sop_classes)", "sop_classes", list(self.sop_class_uids) or None),
            ("i.instance_number = :instance_number", "instance_number", self.number),
        )


ANY_STUDY = StudyFilter()
ANY_SERIES = SeriesFilter()
ANY_INSTANCE = InstanceFilter()


def _conditions(*conditions: tuple[str, str, object]) -> SqlConditions:
    """The conditions whose value is given, as SQL to append after a WHERE, and the values by name."""
    asked = [(sql, name, value) for sql, name, value in conditions if value is not None]
    return "".join(f" AND {sql}" for sql, _, _ in asked), {name: value for _, name, value in asked}


def _text(column: str, name: str, wanted: str, *, fold: bool = False) -> tuple[str, str, str | None]:
    """DICOM's wildcards (PS3.4 §C.2.2.2.4) as SQL's; `*` alone asks nothing, `fold` overlooks case."""
    if not wanted.strip("*"):
        return "", name, None
    if not fold and "*" not in wanted and "?" not in wanted:
        return f"{column} = :{name}", name, wanted
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{column} {'ILIKE' if fold else 'LIKE'} :{name}", name, escaped.replace("*", "%").replace("?", "_")
