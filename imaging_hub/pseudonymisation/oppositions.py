"""From a list of people who oppose to their subjects; the list stays in the identifying zone.

One person a line: an INS with date of birth and sex, or a hospital's own number. Whoever is not known yet gets a
subject all the same, so that the opposition is there before the images are; the line is kept, as without it nobody
could submit that person again when the chain of pseudonyms gets new keys (`rekeying`).
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
from imaging_hub.pseudonymisation.third_party import ThirdParty

COLUMNS = ("ins", "birth_date", "sex", "hospital", "patient_id")


@dataclass(frozen=True, slots=True)
class OpposedPerson:
    """What a line says of a person: the first three, or the last two."""

    ins: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    hospital: str | None = None
    patient_id: str | None = field(default=None, repr=False)


def subjects_of(connection: Connection, keyring: Keyring, third_party: ThirdParty, path: Path) -> list[str]:
    """The subjects of everybody in a CSV file with `;` and the columns `COLUMNS`.

    `keyring` is the gateway's; `connection` its role's. Raises `LinkageError` naming the line, and then nobody of the
    file is taken.
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
    people = [_person(line, number) for number, line in enumerate(lines, start=2)]
    return [_subject(connection, keyring, third_party, person) for person in people]


def _person(line: dict[str, str], number: int) -> OpposedPerson:
    if line["ins"]:
        born = traits.day(line["birth_date"])
        if born and line["sex"] == line["ins"][0] and not ins.fault_of(line["ins"]):
            return OpposedPerson(line["ins"], born, line["sex"])
    elif line["hospital"] and line["patient_id"]:
        return OpposedPerson(hospital=line["hospital"], patient_id=line["patient_id"])
    what = f"line {number} of the list names nobody"
    hint = "ins with its key, birth_date as 19790304 and sex as 1 or 2; or hospital and patient_id"
    raise LinkageError(what, code="opposition-line", hint=hint)


def _subject(connection: Connection, keyring: Keyring, third_party: ThirdParty, person: OpposedPerson) -> str:
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
    known: str | None = connection.execute(
        text("SELECT sid FROM identifying.identity WHERE hospital = :hospital AND patient_id = :patient_id"),
        asdict(person),
    ).scalar_one_or_none()
    message = ipp_message(person.hospital or "", person.patient_id or "")
    return known or third_party.subject(third_party.token(message, keyring), "IPP")
