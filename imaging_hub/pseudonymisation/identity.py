"""Register of patients: one row per hospital and IPP, with the subject issued by the third party.

The INS is stored only while it is qualified and uncontested; it is sent to the SNDS operator and nowhere else.

A patient first seen without INS gets a subject. When a qualified INS comes later, the row and the third party's IPP
token move to the subject of the INS, which later studies share, with or without INS. Studies archived before stay with
the earlier subject, unlinked, until they are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import ins_message, ipp_message
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.third_party_client import ThirdParty


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """A registered patient."""

    id: int
    sid: str
    linkable: bool
    """Whether a qualified INS is known."""
    refused: str | None
    """Why no INS is used (reason code of `ins.UnqualifiedIns`)."""


@dataclass(frozen=True, slots=True)
class ContestedIdentity:
    """Conflicting or missing identity, to be resolved by the hospital's staff."""

    reason: str
    """`patient-id-missing`, or `ins-conflict` for two different qualified identities under one IPP."""


def register(
    connection: Connection,
    keyring: Keyring,
    third_party: ThirdParty,
    *,
    hospital: str,
    patient_id: str,
    reading: QualifiedIns | UnqualifiedIns,
) -> PatientIdentity | ContestedIdentity:
    """Register a patient read from a header, or update the registered one; `keyring` is the gateway's.

    Runs in the caller's transaction with a role of the identifying zone. A conflict is permanent: the INS is deleted,
    and every later study of this IPP is contested. Raises `ThirdPartyUnavailable`.
    """
    if not patient_id:
        return ContestedIdentity("patient-id-missing")
    row = _lock_row(connection, hospital, patient_id)
    if row.refused == "ins-conflict":
        return ContestedIdentity("ins-conflict")
    qualified = _stored_ins(row)
    if isinstance(reading, QualifiedIns):
        if qualified is not None and qualified != reading:
            _update(connection, row.id, None, "ins-conflict", row.sid)
            return ContestedIdentity("ins-conflict")
        qualified = reading
    refused = None if qualified else _refusal_reason(reading, row.refused)
    ipp = ipp_message(hospital, patient_id)
    if qualified is None:
        sid = row.sid or third_party.subject(third_party.token(ipp, keyring), "IPP")
    elif row.ins and row.sid:
        sid = row.sid
    else:
        message = ins_message(qualified.nir13, qualified.birth_date, qualified.sex)
        sid = third_party.subject(third_party.token(message, keyring), "INS")
        if row.sid and row.sid != sid:
            third_party.alias(third_party.token(ipp, keyring), sid)
    _update(connection, row.id, qualified, refused, sid)
    return PatientIdentity(row.id, sid, qualified is not None, refused)


def _refusal_reason(reading: QualifiedIns | UnqualifiedIns, earlier: str | None) -> str:
    """Return the reason to keep: an earlier refusal is not replaced by `no-ins`."""
    reason = reading.reason if isinstance(reading, UnqualifiedIns) else ""
    return earlier if earlier and reason == "no-ins" else reason


def _lock_row(connection: Connection, hospital: str, patient_id: str) -> Row[Any]:
    """Return the patient's row, locked for the transaction because two workers may have the same patient."""
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


def _stored_ins(row: Row[Any]) -> QualifiedIns | None:
    return QualifiedIns(row.ins, row.birth_date, row.sex) if row.ins else None


def _update(
    connection: Connection, row: int, qualified: QualifiedIns | None, refused: str | None, sid: str | None
) -> None:
    connection.execute(
        text(
            "UPDATE identifying.identity SET ins = :ins, birth_date = :birth_date, sex = :sex, refused = :refused,"
            " sid = :sid WHERE id = :id"
        ),
        {
            "id": row,
            "ins": qualified.ins if qualified else None,
            "birth_date": qualified.birth_date if qualified else None,
            "sex": qualified.sex if qualified else None,
            "refused": refused,
            "sid": sid,
        },
    )
