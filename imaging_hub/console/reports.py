"""A study's receipt for programs and spreadsheets: each instance, its digest and what became of it; no name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from io import StringIO
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.console.visit import STAFF, ConsoleVisit, For
from imaging_hub.errors import NotFound
from imaging_hub.intake import completeness, receipts
from imaging_hub.intake.receipts import ReceiptInstance
from imaging_hub.spreadsheet import escape_formula

router = APIRouter(include_in_schema=False)

Staff = Annotated[ConsoleVisit, For(STAFF)]
StudyRow = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/studies/{study}.csv")
def table(visit: Staff, study: StudyRow) -> Response:
    """The receipt as a table."""
    with visit.begin() as connection:
        found = _lines(connection, study)
    text_file = StringIO()
    rows = csv.writer(text_file)
    rows.writerow([field.name for field in fields(ReceiptInstance)])
    rows.writerows([_shown(value) for value in asdict(line).values()] for line in found)
    headers = {"Content-Disposition": f'attachment; filename="recu-{study}.csv"'}
    return Response(text_file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/studies/{study}.json")
def document(visit: Staff, study: StudyRow) -> Response:
    """The receipt with its summary."""
    with visit.begin() as connection:
        found, receipt = _lines(connection, study), receipts.find_receipt(connection, study)
        uid = completeness.get_revision(connection, study).study_instance_uid
    if receipt is None:
        raise NotFound("Il n'y a pas de tel examen.")
    summary = {**asdict(receipt), "study_instance_uid": uid, "instances": [asdict(line) for line in found]}
    return JSONResponse(_plain(summary))


def _lines(connection: Connection, study: int) -> Sequence[ReceiptInstance]:
    found = receipts.list_instances(connection, study)
    if not found:
        raise NotFound("Il n'y a pas de tel examen.")
    return found


def _shown(value: object) -> object:
    """A value as it stands in the table."""
    if isinstance(value, datetime):
        return value.isoformat()
    return escape_formula(value) if isinstance(value, str) else "" if value is None else value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
