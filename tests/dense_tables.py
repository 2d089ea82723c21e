"""Small tables so dense that every boundary of every window is hit, and any definition over them."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.cohort_oracle import World, indexed_series

FIRST = date(2020, 1, 1)
CODES = {
    "diagnosis": ["C340", "C349", "C509", "I639"],
    "act": ["ZBQK001", "ZBQH001", "ZBQK002"],
    "drug": ["L01EB02", "N02BE01"],
    "package": ["3400930000011", "3400930000028"],
    "device": ["1136581", "1139935"],
    "ald": ["30", "3"],
    "stay": ["04M092", "04M083", "01M302"],
    "biology": ["0552", "1104"],
    "cause_of_death": ["C349", "I639"],
}
SETS = {
    "diagnosis": ['{icd10: ["C34*"]}', '{icd10: ["C349", "I63*"]}', '{icd10: ["C*"]}'],
    "act": ["{ccam: {modality: CT, region: CHEST}}", "{ccam: [ZBQK002, ZBQH001]}"],
    "drug": ['{atc: ["L01*"]}', '{atc: ["N02BE01"]}'],
    "device": ['{lpp: ["113*"]}', '{lpp: ["1139935"]}'],
    "package": ['{cip13: ["34009*"]}', '{cip13: ["3400930000028"]}'],
    "ald": ['{ald: ["30"]}', '{ald: ["3"]}'],
    "stay": ['{ghm: ["04M*"]}', '{ghm: ["01M302"]}'],
    "biology": ['{nabm: ["11*"]}', '{nabm: ["0552"]}'],
    "cause_of_death": ['{icd10: ["C34*"]}', '{icd10: ["C*", "I63*"]}'],
}


def a_dense_world(folder: Path, chance: random.Random) -> World:
    """Eighty people whose events and images all fall in forty days: windows begin and end on them."""
    people = [
        {
            "snds_person": f"person-{number:02d}",
            "sex": chance.choice("12"),
            "birth_date": f"{chance.randrange(1950, 1954)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}",
            "death_date": a_day(chance).isoformat() if chance.random() < 0.3 else None,
        }
        for number in range(80)
    ]
    events = []
    for person in people:
        for _ in range(chance.randrange(6, 26)):
            domain = chance.choice(list(CODES))
            position = chance.choice(["DP", "DR", "ALD"]) if domain == "diagnosis" else None
            event = {"person": person["snds_person"], "domain": domain, "code": chance.choice(CODES[domain])}
            events.append({**event, "position": position, "start": a_day(chance).isoformat()})
            if chance.random() < 0.2:
                events.append(dict(events[-1]))
    for person in people[::2]:  # dead on the day of a diagnosis, which is often the index date
        days = [e["start"] for e in events if e["person"] == person["snds_person"] and e["domain"] == "diagnosis"]
        person["death_date"] = chance.choice(days) if days else None
    series = [
        indexed_series(
            {"study_instance_uid": f"1.{number}"},
            {
                "series_instance_uid": f"2.{number}", "modality": chance.choice(["CT", "MR"]), "body_part": "CHEST",
                "contrast": chance.random() < 0.5, "manufacturer": chance.choice(["SIEMENS", "CANON"]),
                "kernel": chance.choice(["Br64d", "FC52"]), "slice_thickness_mm": chance.choice([1.0, 1.5, 5.0]),
                "instances": chance.randrange(5, 15), "scout": chance.random() < 0.1,
            },
            f"sid-{chance.randrange(90):02d}",
            None if chance.random() < 0.1 else a_day(chance),
            chance,
        )
        for number in range(300)
    ]  # fmt: skip
    write_load(folder, people, events)
    links = {f"sid-{number:02d}": f"person-{number:02d}" for number in range(80)}
    for sid in sorted(set(links) - {one["sid"] for one in series}):
        del links[sid]
    return World({"persons": people, "events": events}, folder, series, links)


def a_day(chance: random.Random) -> date:
    return FIRST + timedelta(days=chance.randrange(40))


def write_load(folder: Path, people: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """The tables as `snds.loading` leaves them."""
    for domain in CODES:
        place = folder / "v1" / "event" / f"domain={domain}"
        place.mkdir(parents=True)
        own = [event for event in events if event["domain"] == domain]
        columns = {
            "person": [event["person"] for event in own],
            "code": [event["code"] for event in own],
            "position": pa.array([event["position"] for event in own], pa.string()),
            "start": [date.fromisoformat(event["start"]) for event in own],
        }
        pq.write_table(pa.table(columns), place / "a.parquet")
    born = [date.fromisoformat(person["birth_date"]) for person in people]
    dead = [date.fromisoformat(one["death_date"]) if one["death_date"] else None for one in people]
    columns = {
        "person": [person["snds_person"] for person in people],
        "birth_year": pa.array([day.year for day in born], pa.int16()),
        "birth_month": pa.array([day.month for day in born], pa.int16()),
        "sex": pa.array([int(person["sex"]) for person in people], pa.int16()),
        "death_date": pa.array(dead, pa.date32()),
    }
    pq.write_table(pa.table(columns), folder / "v1" / "person.parquet")
    (folder / "v1" / "report.json").write_text(
        json.dumps({"version": "v1", "persons": len(people), "events": dict.fromkeys(CODES, 1), "tables": []})
    )
    (folder / "current").write_text("v1")


def a_definition(chance: random.Random) -> str:
    """Any definition over those tables."""

    def window() -> str:
        sides = chance.choice([["before"], ["after"], ["before", "after"]])
        days = {side: sorted([chance.randrange(8), chance.randrange(16)]) for side in sides}
        return json.dumps(days).replace('"', "")

    def occurrence() -> str:
        domain = chance.choice(list(CODES))
        position = ", position: [DP, ALD]" if domain == "diagnosis" and chance.random() < 0.5 else ""
        counted = f'count: ">={chance.randrange(1, 3)}", distinct: {chance.choice(["day", "event"])}'
        return f"{{domain: {domain}, set: {chance.choice(SETS[domain])}{position}, window: {window()}, {counted}}}"

    lines = ["cohort: random", "version: 1"]
    scope = [*["snds_years: [2019, 2020]"] * (chance.random() < 0.2)]
    if chance.random() < 0.15:
        scope.append(
            f"min_link: {{{chance.choice(['methods: [ins]', 'methods: [exact]', 'score: 0.999', 'score: 0.9'])}}}"
        )
    if scope:
        lines.append(f"scope: {{{', '.join(scope)}}}")
    first = chance.choice(["true", "false"])
    lines.append(
        f"index: {{event: {{domain: diagnosis, set: {chance.choice(SETS['diagnosis'])}, first: {first}}},"
        f" observation: {{before_days: {chance.randrange(9)}, after_days: {chance.randrange(9)}}}}}"
    )
    if chance.random() < 0.7:
        low = chance.randrange(64, 69)
        lines.append(
            f"demographics: {{age_at_index: [{low}, {low + chance.randrange(2, 6)}],"
            f" sex: {chance.choice(['any', 'male'])}, alive_at_index: {chance.choice(['true', 'false'])}}}"
        )
    if chance.random() < 0.6:
        members = ", ".join(occurrence() for _ in range(chance.randrange(1, 3)))
        several = ", ".join(occurrence() for _ in range(3))
        node = chance.choice(
            [
                f"any: [{members}]",
                f"all: [{members}]",
                f"none: [{members}]",
                f"at_least: {{number: 2, of: [{several}]}}",
            ]
        )
        lines.append(f"inclusion: [{{name: wanted, {node}}}]")
    if chance.random() < 0.25:
        lines.append(f"exclusion: [{occurrence()}]")
    series = [
        chance.choice(["slice_thickness_mm: {max: 1.5}", "slice_thickness_mm: {min: 1.5, max: 5}"]),
        chance.choice(["contrast: [yes]", "contrast: [no, unknown]", "contrast: [unknown]"]),
        chance.choice(["exclude: [scout]", "exclude: [scout, derived]"]),
        "min_instances: 8",
        "manufacturer: {any: [sie]}",
        chance.choice(["slice_spacing_mm: {max: 1}", "pixel_spacing_mm: {min: 0.6}"]),
        chance.choice(["kvp: {min: 110}", "magnetic_field_t: {max: 1.5}"]),
        "model: {any: [revo]}",
        f"missing: {chance.choice(['keep', 'drop'])}",
    ]
    chosen = ", ".join(chance.sample(series, chance.randrange(0, 4)))
    order = chance.choice(["nearest_to_index", "earliest", "latest"])
    pick = f", pick: {{order: {order}, limit: {chance.randrange(1, 3)}}}"
    lines.append(
        f"imaging: [{{name: images, modality: {chance.choice(['CT', 'MR'])}, window: {window()},"
        f" series: {{{chosen}}}{chance.choice([pick, ''])}}}]"
    )
    return "\n".join(lines)
