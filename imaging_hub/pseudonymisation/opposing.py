"""From a list of people who oppose to their subjects; the list stays in the identifying zone.

One person a line: an INS with date of birth and sex, or a hospital's own number. Whoever is not known yet gets a
subject all the same, so that the opposition is there before the images are.
"""

from __future__ import annotations

import csv
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Connection, text
from stdnum.fr import nir

from imaging_hub.errors import LinkageError
from imaging_hub.pseudonymisation.chain import ins_message, ipp_message, level1
from imaging_hub.pseudonymisation.keyring import Keyring
from imaging_hub.pseudonymisation.third_party import ThirdParty

COLUMNS = ("ins", "birth_date", "sex", "hospital", "patient_id")


def subjects_of(connection: Connection, keyring: Keyring, third_party: ThirdParty, path: Path) -> list[str]:
    """The subjects of everybody in a CSV file with `;` and the columns `COLUMNS`.

    `keyring` is the gateway's; `connection` a role's of the identifying zone. Raises `LinkageError` naming the line,
    and then nobody of the file is taken.
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


def _person(line: dict[str, str], number: int) -> tuple[str, date, str] | tuple[str, str]:
    if line["ins"] and line["sex"] in ("1", "2") and nir.is_valid(line["ins"]):
        try:
            born = datetime.strptime(line["birth_date"], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            pass
        else:
            return line["ins"][:13], born, line["sex"]
    if not line["ins"] and line["hospital"] and line["patient_id"]:
        return line["hospital"], line["patient_id"]
    what = f"line {number} of the list names nobody"
    hint = "ins with its key, birth_date as 19790304 and sex as 1 or 2; or hospital and patient_id"
    raise LinkageError(what, code="opposition-line", hint=hint)


def _subject(
    connection: Connection, keyring: Keyring, third_party: ThirdParty, person: tuple[str, date, str] | tuple[str, str]
) -> str:
    if len(person) == 3:
        return third_party.subject(level1(keyring.key("level1"), ins_message(*person), keyring.epoch), "INS")
    known: str | None = connection.execute(
        text("SELECT sid FROM identifying.identity WHERE hospital = :hospital AND patient_id = :patient_id"),
        {"hospital": person[0], "patient_id": person[1]},
    ).scalar_one_or_none()
    return known or third_party.subject(level1(keyring.key("level1"), ipp_message(*person), keyring.epoch), "IPP")
