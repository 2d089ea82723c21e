"""An independent computation of cohorts in plain Python: slow, obvious, and without a line of the package's own.

It reads the YAML and the truth itself; the tests compare it with what the engine finds.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import text

from imaging_hub import snds
from imaging_hub.database import Database, DatabaseRole


@dataclass(frozen=True)
class World:
    """The synthetic truth, the loaded tables, and the series that a hub of it would index."""

    truth: dict[str, Any]
    tables: Path
    series: list[dict[str, Any]]
    links: dict[str, str]
    """SNDS person by sid, for those who could be linked."""


def index_series(database: Database, world: World) -> None:
    """Write the world's series and links into a hub's database."""
    with database.begin(DatabaseRole.WORKER) as connection:
        for sid in sorted({one["sid"] for one in world.series}):
            connection.execute(text("INSERT INTO hub.subject (sid, pseudonym) VALUES (:sid, :sid)"), {"sid": sid})
        studies = {one["study"]: one for one in world.series}
        connection.execute(
            text(
                "INSERT INTO hub.study (study_instance_uid, sid, finess, study_date, state)"
                " VALUES (:study, :sid, '990000101', :study_date, 'RELEASABLE')"
            ),
            list(studies.values()),
        )
        connection.execute(
            text(
                "INSERT INTO hub.series (series_instance_uid, study_instance_uid, modality, sop_class_uid, body_part,"
                " contrast, manufacturer, model, kernel, slice_thickness_mm, slice_spacing_mm, pixel_spacing_mm, kvp,"
                " magnetic_field_t, image_type, is_scout, is_derived, instances,"
                " profile, needs_review, review_state, content_digest)"
                " VALUES (:uid, :study, :modality, '1.2', :body_part, :contrast, :manufacturer, :model, :kernel,"
                " :slice_thickness_mm, :slice_spacing_mm, :pixel_spacing_mm, :kvp, :magnetic_field_t, :image_type,"
                " :is_scout, :is_derived, :instances, 'p@0', false, 'NOT_NEEDED', 'c')"
            ),
            world.series,
        )
        connection.execute(
            text(
                "INSERT INTO hub.link (sid, snds_person, method, score, source)"
                " VALUES (:sid, :person, :method, :score, 'd')"
            ),
            [
                {"sid": sid, "person": person, "method": link_of(sid)[0], "score": link_of(sid)[1]}
                for sid, person in world.links.items()
            ],
        )


def link_of(sid: str) -> tuple[str, float]:
    """Method and score of a subject's link: one in four was found by exams."""
    return ("exact", 0.995) if sum(sid.encode()) % 4 == 0 else ("ins", 1.0)


def oracle(definition: str, world: World) -> set[tuple[str, date, str]]:
    """(sid, index date, series) of every member, computed the slow and obvious way."""
    wanted = yaml.load(definition, Loader=yaml.BaseLoader)
    people = {p["snds_person"]: p for p in world.truth["persons"]}
    years = [int(year) for year in wanted.get("scope", {}).get("snds_years", (1, 9999))]
    events = [
        {**event, "start": day}
        for event in world.truth["events"]
        if years[0] <= (day := date.fromisoformat(event["start"])).year <= years[1]
    ]
    reach = min(e["start"] for e in events), max(e["start"] for e in events)
    members: set[tuple[str, date, str]] = set()
    for sid, person in world.links.items():
        own = [event for event in events if event["person"] == person]
        days = sorted(e["start"] for e in own if matches(e, wanted["index"]["event"], wanted))
        method, score = link_of(sid)
        least = wanted.get("scope", {}).get("min_link", {})
        good = method in least.get("methods", [method]) and score >= float(least.get("score", 0))
        if not days or not good:
            continue
        index = days[-1] if wanted["index"]["event"].get("first") == "false" else days[0]
        if subject_passes(wanted, people[person], own, index, reach):
            members |= {(sid, index, uid) for uid in series_of(wanted, world, sid, index)}
    return members


def subject_passes(
    wanted: dict[str, Any], person: dict[str, Any], own: list[dict[str, Any]], index: date, reach: tuple[date, date]
) -> bool:
    observation = wanted["index"].get("observation", {})
    if (index - reach[0]).days < int(observation.get("before_days", 0)):
        return False
    if (reach[1] - index).days < int(observation.get("after_days", 0)):
        return False
    who = wanted.get("demographics", {})
    born = date.fromisoformat(person["birth_date"])
    age = index.year - born.year - (1 if index.month < born.month else 0)
    if "age_at_index" in who and not int(who["age_at_index"][0]) <= age <= int(who["age_at_index"][1]):
        return False
    if who.get("sex", "any") != "any" and {"male": "1", "female": "2"}[who["sex"]] != person["sex"]:
        return False
    if (
        who.get("alive_at_index") == "true"
        and person["death_date"]
        and date.fromisoformat(person["death_date"]) < index
    ):
        return False
    for step in wanted.get("inclusion", []):
        (asked,) = (step[key] for key in ("any", "all", "none", "at_least") if key in step)
        found = [occurs(one, own, index, wanted) for one in (asked["of"] if "at_least" in step else asked)]
        holds = {
            "any": any(found), "all": all(found), "none": not any(found),
            "at_least": "at_least" in step and sum(found) >= int(asked["number"]),
        }  # fmt: skip
        if not next(holds[key] for key in holds if key in step):
            return False
    return not any(occurs(one, own, index, wanted) for one in wanted.get("exclusion", []))


def occurs(one: dict[str, Any], own: list[dict[str, Any]], index: date, wanted: dict[str, Any]) -> bool:
    days = [e["start"] for e in own if matches(e, one, wanted) and inside(e["start"], index, one["window"])]
    count = len(days) if one.get("distinct") == "event" else len(set(days))
    return count >= int(one.get("count", ">=1")[2:])


def inside(day: date, index: date, window: dict[str, list[str]]) -> bool:
    for side, sign in (("before", -1), ("after", 1)):
        if side in window:
            nearest, farthest = (int(days) for days in window[side])
            if nearest <= sign * (day - index).days <= farthest:
                return True
    return False


def matches(event: dict[str, Any], criterion: dict[str, Any], wanted: dict[str, Any]) -> bool:
    if event["domain"] != criterion["domain"]:
        return False
    if criterion.get("position") and event["position"] not in criterion["position"]:
        return False
    codes = criterion["set"] if isinstance(criterion["set"], dict) else wanted["sets"][criterion["set"]]
    ((kind, patterns),) = codes.items()
    if kind == "ccam" and isinstance(patterns, dict):
        return event["code"] in acts(patterns)
    return any(
        event["code"].startswith(pattern[:-1]) if pattern.endswith("*") else event["code"] == pattern
        for pattern in patterns
    )


def acts(attributes: dict[str, str]) -> set[str]:
    with (Path(snds.__file__).parent / "schemas" / "ccam_imaging.csv").open(encoding="utf-8") as file:
        return {
            line["code"]
            for line in csv.DictReader(file)
            if line["dicom_modality"] == attributes["modality"]
            and ("region" not in attributes or attributes["region"] in line["body_regions"].split("|"))
            and attributes.get("contrast", "any") in ("any", line["contrast"])
            and line["is_supplement"] == "0"
        }


def series_of(wanted: dict[str, Any], world: World, sid: str, index: date) -> list[str]:
    (images,) = wanted["imaging"]
    found = [one for one in world.series if one["sid"] == sid and pictured(one, images, index)]
    pick = images.get("pick")
    if pick:
        order = {
            "nearest_to_index": lambda one: (abs((one["study_date"] - index).days), one["study_date"]),
            "earliest": lambda one: one["study_date"],
            "latest": lambda one: date.max - one["study_date"],
        }[pick.get("order", "nearest_to_index")]
        found = sorted(found, key=lambda one: (order(one), one["uid"]))[: int(pick["limit"])]
    return [one["uid"] for one in found]


def pictured(one: dict[str, Any], images: dict[str, Any], index: date) -> bool:
    if one["modality"] != images["modality"]:
        return False
    if one["study_date"] is None or not inside(one["study_date"], index, images["window"]):
        return False
    unknown = images.get("series", {}).get("missing") == "keep"
    return all(unknown if verdict is None else verdict for verdict in verdicts(one, images))


def verdicts(one: dict[str, Any], images: dict[str, Any]) -> Iterator[bool | None]:
    """Each condition on the header: holds, does not hold, or None where the header does not say."""
    series = images.get("series", {})

    def on(value: Any, test: Any) -> bool | None:
        return None if value is None else bool(test(value))

    if "body_part" in images:
        yield on(one["body_part"], lambda part: part.upper() in {p.upper() for p in images["body_part"]})
    for name in ("slice_thickness_mm", "slice_spacing_mm", "pixel_spacing_mm", "kvp", "magnetic_field_t"):
        if name in series:
            low, high = float(series[name].get("min", 0)), float(series[name].get("max", "inf"))
            yield on(one[name], lambda value, low=low, high=high: low <= value <= high)
    if "contrast" in series:
        if one["contrast"] is None and "unknown" in series["contrast"]:
            yield True
        else:
            yield on(one["contrast"], lambda given: ("yes" if given else "no") in series["contrast"])
    for name in ("manufacturer", "model"):
        if name in series:
            words = series[name]["any"]
            yield on(one[name], lambda value, words=words: any(word.upper() in value.upper() for word in words))
    if "kernel" in series:
        yield on(one["kernel"], lambda kernel: re.search(series["kernel"]["regex"], kernel) is not None)
    if "image_type" in series:
        yield set(series["image_type"]["all"]) <= set(one["image_type"])
    yield one["instances"] >= int(series.get("min_instances", 1))
    for kind in series.get("exclude", []):
        yield not one[f"is_{kind}"]


def indexed_series(
    study: dict[str, Any], one: dict[str, Any], sid: str, study_date: date | None, chance: random.Random
) -> dict[str, Any]:
    """A series as the index has it, with attributes missing here and there."""

    def said(value: object) -> Any:
        return None if chance.random() < 0.15 else value

    return {
        "sid": sid,
        "study": study["study_instance_uid"],
        "uid": one["series_instance_uid"],
        "study_date": study_date,
        "modality": one["modality"],
        "body_part": said(one["body_part"]),
        "contrast": said(True) if one["contrast"] else said(False),
        "manufacturer": said(one["manufacturer"]),
        "kernel": said(one["kernel"]),
        "slice_thickness_mm": said(one["slice_thickness_mm"]),
        "slice_spacing_mm": said(chance.choice([0.7, 1.0, 5.0])),
        "pixel_spacing_mm": said(chance.choice([0.5, 0.9])),
        "kvp": said(chance.choice([100.0, 120.0])) if one["modality"] == "CT" else None,
        "magnetic_field_t": said(chance.choice([1.5, 3.0])) if one["modality"] == "MR" else None,
        "model": said(chance.choice(["Revolution CT", "MAGNETOM Skyra"])),
        "image_type": ["ORIGINAL", "PRIMARY"] if chance.random() < 0.8 else ["DERIVED", "SECONDARY"],
        "instances": one["instances"],
        "is_scout": one["scout"],
        "is_derived": chance.random() < 0.1,
    }
