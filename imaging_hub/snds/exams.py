"""Exams as the hub knows them: what linkage without an INS compares with claims."""

from __future__ import annotations

import pyarrow as pa
from sqlalchemy import Connection, text

from imaging_hub.snds.procedure_codes import ProcedureCodes

EXAM = pa.schema(
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
"""An exam of a subject: place (FINESS without check digit), day, CCAM codes it may be billed under, traits."""


def searchable(connection: Connection, codes: ProcedureCodes, sid: str | None = None) -> pa.Table:
    """What may be searched, as `EXAM`: studies with a day, of subjects whose headers agree on birth month and sex."""
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
    found = [
        {
            "sid": row.sid, "finess": row.finess, "day": row.day, "acts": codes.acts(row.finess, row.procedures),
            "birth_year": row.birth_month.year, "birth_month": row.birth_month.month, "sex": row.sex,
        }
        for row in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(found, schema=EXAM)
