"""Persons with claims and subjects with exams, for the ways of linking them; a few, or many that are known."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imaging_hub.snds.exams import EXAM_SCHEMA

ACTS = {"ZBQK001", "ZBQH001", "ACQN001"}
DAY = date(2019, 3, 4)
HERE, THERE = "99000010", "99000021"


class World:
    """Persons with claims, and subjects with exams."""

    def __init__(self) -> None:
        self.persons: list[dict[str, Any]] = []
        self.claims: list[dict[str, Any]] = []
        self.exams: list[dict[str, Any]] = []
        # Claims of somebody else, so that every day of the tests lies in what the extraction covers.
        self.person("Z", year=1900).claim("Z", -400).claim("Z", 400)

    def person(self, person: str, *, year: int = 1950, month: int = 7, sex: int = 1, **more: Any) -> World:
        about = {"death_date": None, "shares_psa": False, **more}
        self.persons.append({"person": person, "birth_year": year, "birth_month": month, "sex": sex, **about})
        return self

    def claim(self, person: str, day: int, *, code: str = "ZBQK001", finess: str = HERE) -> World:
        self.claims.append({"person": person, "code": code, "start": DAY + timedelta(days=day), "finess": finess + "1"})
        return self

    def exam(
        self, sid: str, day: int, *, acts: tuple[str, ...] = ("ZBQK001",), finess: str = HERE, year: int = 1950,
        month: int = 7, sex: int = 1,
    ) -> World:  # fmt: skip
        self.exams.append(
            {
                "sid": sid, "finess": finess, "day": DAY + timedelta(days=day), "acts": list(acts),
                "birth_year": year, "birth_month": month, "sex": sex,
            }
        )  # fmt: skip
        return self

    def known(self, number: int, chance: random.Random) -> dict[str, str]:
        """So many more people with two exams each, who are linked by INS: person by sid."""
        for one in range(number):
            born = {
                "year": chance.randrange(1930, 1990),
                "month": chance.randrange(1, 13),
                "sex": chance.choice((1, 2)),
            }
            self.person(f"K{one}", **born)
            for _ in range(2):
                day, where = chance.randrange(-300, 300), {"finess": chance.choice((HERE, THERE))}
                self.claim(f"K{one}", day, **where).exam(f"k{one}", day, **where, **born)
        return {f"k{one}": f"K{one}" for one in range(number)}

    def written(self, folder: Path) -> pa.Table:
        """The claims as a load in `folder`, and the exams."""
        events = folder / "event" / "domain=act"
        events.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self.claims), events / "events.parquet")
        schema = pa.schema(
            [
                ("person", pa.string()), ("birth_year", pa.int16()), ("birth_month", pa.int16()), ("sex", pa.int16()),
                ("death_date", pa.date32()), ("shares_psa", pa.bool_()),
            ]
        )  # fmt: skip
        pq.write_table(pa.Table.from_pylist(self.persons, schema=schema), folder / "person.parquet")
        return pa.Table.from_pylist(self.exams, schema=EXAM_SCHEMA)
