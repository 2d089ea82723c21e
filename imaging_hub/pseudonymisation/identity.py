"""Who a hospital's patient is to the hub: one row per (hospital, IPP), with the subject the third party gave.

The INS is kept only while it is qualified and uncontested; it leaves towards the SNDS operator and nowhere else.

A patient first seen without INS has a subject of its own. When a qualified INS comes later, the subject of the INS
wins: the row and the third party's IPP token move to it, so that this patient's next studies, with or without INS,
meet there. What was archived before stays with the earlier subject, and is not linked, until it is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import ins_message, ipp_message
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.third_party import ThirdParty


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """A registered patient."""

    id: int
    sid: str
    linkable: bool
    """True while a qualified INS is known."""
    refused: str | None
    """Why there is no INS to use (reason code of `ins.NotQualified`)."""


@dataclass(frozen=True, slots=True)
class ContestedIdentity:
    """It is in doubt whose images these are; a person of the hospital decides."""

    reason: str
    """`patient-id-missing`, `ins-conflict`: two different qualified identities under one IPP."""


def register(
    connection: Connection,
    keyring: Keyring,
    third_party: ThirdParty,
    *,
    hospital: str,
    patient_id: str,
    reading: QualifiedIns | UnqualifiedIns,
) -> PatientIdentity | ContestedIdentity:
    """Find or make the identity of a patient from what a header says; `keyring` is the gateway's.

    Runs in the caller's transaction as a role of the identifying zone. A conflict lasts: the INS is dropped, and
    every later study of this IPP is contested too.
    """
    if not patient_id:
        return ContestedIdentity("patient-id-missing")
    row = _locked_row(connection, hospital, patient_id)
    if row.refused == "ins-conflict":
        return ContestedIdentity("ins-conflict")
    known = _qualified(row)
    if isinstance(reading, QualifiedIns):
        if known is not None and known != reading:
            _update(connection, row.id, None, "ins-conflict", row.sid)
            return ContestedIdentity("ins-conflict")
        known = reading
    refused = None if known else _reason(reading, row.refused)
    ipp = ipp_message(hospital, patient_id)
    if known is None:
        sid = row.sid or third_party.subject(third_party.token(ipp, keyring), "IPP")
    elif row.ins and row.sid:
        sid = row.sid
    else:
        message = ins_message(known.nir13, known.birth_date, known.sex)
        sid = third_party.subject(third_party.token(message, keyring), "INS")
        if row.sid and row.sid != sid:
            third_party.alias(third_party.token(ipp, keyring), sid)
    _update(connection, row.id, known, refused, sid)
    return PatientIdentity(row.id, sid, known is not None, refused)


def _reason(reading: QualifiedIns | UnqualifiedIns, before: str | None) -> str:
    """The most telling reason: that an INS was refused outlives that another header had none."""
    reason = reading.reason if isinstance(reading, UnqualifiedIns) else ""
    return before if before and reason == "no-ins" else reason


def _locked_row(connection: Connection, hospital: str, patient_id: str) -> Row[Any]:
    """The patient's row, held until the end of the transaction: two workers may have the same patient."""
    key = {"hospital": hospital, "patient_id": patient_id}
    connection.execute(
        text(
            "INSERT INTO identifying.identity (hospital, patient_id) VALUES (:hospital, :patient_id)"
            " ON CONFLICT (hospital, patient_id) DO NOTHING"
        ),
        key,
    )
    return connection.execute(
        text(
            "SELECT id, ins, birth_date, sex, refused, sid FROM identifying.identity"
            " WHERE hospital = :hospital AND patient_id = :patient_id FOR UPDATE"
        ),
        key,
    ).one()


def _qualified(row: Row[Any]) -> QualifiedIns | None:
    return QualifiedIns(row.ins, row.birth_date, row.sex) if row.ins else None


def _update(connection: Connection, row: int, known: QualifiedIns | None, refused: str | None, sid: str | None) -> None:
    connection.execute(
        text(
            "UPDATE identifying.identity SET ins = :ins, birth_date = :birth_date, sex = :sex, refused = :refused,"
            " sid = :sid WHERE id = :id"
        ),
        {
            "id": row,
            "ins": known.ins if known else None,
            "birth_date": known.birth_date if known else None,
            "sex": known.sex if known else None,
            "refused": refused,
            "sid": sid,
        },
    )
