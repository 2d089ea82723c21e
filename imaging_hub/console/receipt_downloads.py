"""A study's receipt as CSV and JSON: each instance with its digest, state and reason, without a patient's name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from io import StringIO

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.console.route_parameters import RowNumber, StaffRequest
from imaging_hub.errors import NotFound
from imaging_hub.intake import completeness, receipts
from imaging_hub.intake.receipts import ReceiptInstance
from imaging_hub.spreadsheet import escape_formula

router = APIRouter(include_in_schema=False)


@router.get("/studies/{study}.csv")
def receipt_csv(request: StaffRequest, study: RowNumber) -> Response:
    """The receipt as CSV."""
    with request.begin() as connection:
        instances = _instances(connection, study)
    text_file = StringIO()
    rows = csv.writer(text_file)
    rows.writerow([field.name for field in fields(ReceiptInstance)])
    rows.writerows([_csv_value(value) for value in asdict(instance).values()] for instance in instances)
    headers = {"Content-Disposition": f'attachment; filename="recu-{study}.csv"'}
    return Response(text_file.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/studies/{study}.json")
def receipt_json(request: StaffRequest, study: RowNumber) -> Response:
    """The receipt as JSON, with its summary."""
    with request.begin() as connection:
        instances, receipt = _instances(connection, study), receipts.find_receipt(connection, study)
        uid = completeness.get_revision(connection, study).study_instance_uid
    if receipt is None:
        raise NotFound("Il n'y a pas de tel examen.")
    summary = {**asdict(receipt), "study_instance_uid": uid, "instances": [asdict(instance) for instance in instances]}
    return JSONResponse(_json_value(summary))


def _instances(connection: Connection, study: int) -> Sequence[ReceiptInstance]:
    instances = receipts.list_instances(connection, study)
    if not instances:
        raise NotFound("Il n'y a pas de tel examen.")
    return instances


def _csv_value(value: object) -> object:
    """Format a value for CSV."""
    if isinstance(value, datetime):
        return value.isoformat()
    return escape_formula(value) if isinstance(value, str) else "" if value is None else value


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list) else value
