"""Lists of people who oppose the use of their data, resolved to subjects in the identifying zone.

One person a line: an INS with date of birth and sex, or a hospital's own number. A person without images gets a
subject too, so that the opposition precedes the images. The line is stored, because rekeying needs it (`rekeying`).
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.errors import LinkageError
from imaging_hub.keys.keyring import Keyring
from imaging_hub.keys.pseudonym_chain import ins_message, ipp_message
from imaging_hub.pseudonymisation import ins, traits
from imaging_hub.pseudonymisation.third_party_client import ThirdParty

COLUMNS = ("ins", "birth_date", "sex", "hospital", "patient_id")


@dataclass(frozen=True, slots=True)
class OpposedPerson:
    """A person who opposes, named by INS, birth date and sex, or by hospital and patient number."""

    ins: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    hospital: str | None = None
    patient_id: str | None = field(default=None, repr=False)


def import_oppositions(connection: Connection, keyring: Keyring, third_party: ThirdParty, path: Path) -> list[str]:
    """Store the people of a CSV file with `;` and the columns `COLUMNS`, and return their sids.

    `keyring` is the gateway's, `connection` has its role. Raises `LinkageError` that names the first faulty line,
    before anybody is stored, and `ThirdPartyUnavailable`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=";", strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                hint = f"columns {';'.join(COLUMNS)}, names in the first line"
                raise LinkageError("this is no list of people who oppose", code="opposition-list", hint=hint)
            lines = [{name: (line.get(name) or "").strip() for name in COLUMNS} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise LinkageError("the list cannot be read", code="opposition-list", hint="UTF-8 CSV") from fault
    people = [_parse_person(line, number) for number, line in enumerate(lines, start=2)]
    return [_resolve_subject(connection, keyring, third_party, person) for person in people]


def _parse_person(line: dict[str, str], number: int) -> OpposedPerson:
    if line["ins"]:
        birth_date = traits.parse_date(line["birth_date"])
        if birth_date and line["sex"] == line["ins"][0] and not ins.number_fault(line["ins"]):
            return OpposedPerson(line["ins"], birth_date, line["sex"])
    elif line["hospital"] and line["patient_id"]:
        return OpposedPerson(hospital=line["hospital"], patient_id=line["patient_id"])
    message = f"line {number} of the list names nobody"
    hint = "ins with its key, birth_date as 19790304 and sex as 1 or 2; or hospital and patient_id"
    raise LinkageError(message, code="opposition-line", hint=hint)


def _resolve_subject(connection: Connection, keyring: Keyring, third_party: ThirdParty, person: OpposedPerson) -> str:
    connection.execute(
        text(
            "INSERT INTO identifying.opposing VALUES (:ins, :birth_date, :sex, :hospital, :patient_id)"
            " ON CONFLICT DO NOTHING"
        ),
        asdict(person),
    )
    if person.ins and person.birth_date and person.sex:
        message = ins_message(person.ins[:13], person.birth_date, person.sex)
        return third_party.subject(third_party.token(message, keyring), "INS")
    sid: str | None = connection.execute(
        text("SELECT sid FROM identifying.identity WHERE hospital = :hospital AND patient_id = :patient_id"),
        asdict(person),
    ).scalar_one_or_none()
    message = ipp_message(person.hospital or "", person.patient_id or "")
    return sid or third_party.subject(third_party.token(message, keyring), "IPP")
