"""What the hub is shown of quarantined instances holds nothing that a sender can write freely."""

from __future__ import annotations

from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.intake import journal
from imaging_hub.intake.journal import Arrival


def _arrive(database: Database, number: int, modality: str) -> None:
    uid = f"1.2.{number}"
    arrival = Arrival(
        hospital="chu-test", finess="750000001", sop_instance_uid=uid, sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1", study_instance_uid="1.2.9", series_instance_uid="1.2.8",
        patient_id="IPP1", modality=modality, digest=f"{number:064x}", size=10,
    )  # fmt: skip
    with database.begin(DatabaseRole.GATEWAY) as connection:
        journal.record(connection, arrival, "basic")


def test_a_name_sent_as_modality_is_counted_and_not_shown(database: Database) -> None:
    _arrive(database, 1, "CT")
    _arrive(database, 2, "DUPONT")
    with database.begin(DatabaseRole.WEB) as connection:
        shown = connection.execute(text("SELECT modality, instances FROM hub.reception")).all()
    assert {tuple(row) for row in shown} == {("CT", 1), (None, 1)}
