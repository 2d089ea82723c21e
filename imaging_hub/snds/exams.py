"""Exams of subjects as seen in their images, for linkage without an INS."""

from __future__ import annotations

import pyarrow as pa
from sqlalchemy import Connection, text

from imaging_hub.snds.procedure_codes import ProcedureCodes

EXAM_SCHEMA = pa.schema(
    [
        ("sid", pa.string()),
        ("finess", pa.string()),
        ("day", pa.date32()),
        ("acts", pa.list_(pa.string())),
        ("birth_year", pa.int32()),
        ("birth_month", pa.int32()),
        ("sex", pa.int32()),
    ]
)
"""An exam of a subject: FINESS without check digit, day, CCAM codes it may be billed under, traits."""


def linkable_exams(connection: Connection, codes: ProcedureCodes, sid: str | None = None) -> pa.Table:
    """Return dated studies of subjects with one birth month and sex who did not oppose, in `EXAM_SCHEMA`."""
    rows = connection.execute(
        text(
            "SELECT st.sid, left(st.finess, 8) AS finess, st.study_date AS day, st.procedures, t.birth_month, t.sex"
            " FROM hub.study st JOIN hub.trait t USING (sid)"
            " WHERE st.study_date IS NOT NULL AND (SELECT count(*) FROM hub.trait o WHERE o.sid = st.sid) = 1"
            " AND st.sid NOT IN (SELECT sid FROM hub.opposed)"
            " AND (CAST(:sid AS text) IS NULL OR st.sid = :sid) ORDER BY st.sid, st.study_instance_uid"
        ),
        {"sid": sid},
    )
    exams = [
        {
            "sid": row.sid, "finess": row.finess, "day": row.day, "acts": codes.acts(row.finess, row.procedures),
            "birth_year": row.birth_month.year, "birth_month": row.birth_month.month, "sex": row.sex,
        }
        for row in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(exams, schema=EXAM_SCHEMA)
