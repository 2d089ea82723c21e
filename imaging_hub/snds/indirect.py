"""Links for subjects without a usable INS, by the exams that images and claims have in common.

The search (by rules, `snds.concordance`, then for whom they do not find by a model, `snds.probabilistic`) runs over all
subjects, as if no INS were known. On those whose INS is linked it is measured: a method's links are made when the lower
bound of its precision there is at least `PROVEN`, and that bound is the links' score. What a method not proven found,
and what would give a person a second subject, becomes a proposal that two people decide on (`clerical_review`). A run
makes its links and proposals anew; those of an INS, and what people decided, stay as they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection, text

from imaging_hub.audit import trail
from imaging_hub.snds import clerical_review, concordance, linkage_quality, loading, probabilistic
from imaging_hub.snds.concordance import STEPS, CascadeResult
from imaging_hub.snds.exams import searchable
from imaging_hub.snds.linkage_quality import LinkageQuality, Proportion
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.tables import imaging_acts

METHODS = (*(step.method for step in STEPS), *(method for method, _ in probabilistic.BANDS))
"""From the surest to the least sure."""
PROVEN = 0.99
"""Least precision, at the lower bound of its 95 % interval, with which a method links by itself."""


@dataclass(frozen=True)
class IndirectReport:
    """What a run did."""

    subjects: int
    """Without a link by INS, with exams and traits to go by."""
    linked: dict[str, int]
    """By method."""
    proposed: dict[str, int]
    """By reason: `method-unproven`, `person-linked`."""
    settled: int
    """Subjects whose pair people have linked or set aside: it stays so."""
    discarded: dict[str, int]
    """By reason, as `concordance.Concordance` has them."""
    alone: int
    """Subjects whose exams agree with nobody's claims."""
    precision: dict[str, Proportion]
    """Of each method, on subjects linked by INS."""
    quality: dict[str, dict[str, LinkageQuality]]
    """On subjects linked by INS, by `all`, `hospital`, `sex` and `born`, and each one's groups."""


def link(connection: Connection, tables: Path, *, codes: ProcedureCodes, actor: str) -> IndirectReport:
    """Search, measure and decide, in the caller's transaction, and leave an entry in the trail.

    Raises `LinkageError` when no SNDS tables are loaded.
    """
    load = loading.current(tables)
    clerical_review.take_turn(connection)
    exams = searchable(connection, codes)
    known = _linked_by(connection, "ins")
    outcome = concordance.search(exams, load.folder, imaging_acts())
    probably = probabilistic.search(exams, load.folder, imaging_acts(), known=known, met=outcome)
    outcome = replace(outcome, found=(*outcome.found, *probably))
    precision = linkage_quality.by_method(outcome.found, known, METHODS)
    source = f"snds {load.version} rules {concordance.rules()} model {probabilistic.rules()}"
    _forget(connection)
    linked, proposed, settled = _decide(connection, outcome, known, precision, source)
    searched = set(exams["sid"].to_pylist())
    without = searched - set(known)
    discarded = Counter(reason for sid, reason in outcome.discarded.items() if sid in without)
    met = {one.sid for one in outcome.found} | set(outcome.discarded)
    report = IndirectReport(
        len(without), dict(linked), dict(proposed), settled, dict(discarded), len(without - met), precision,
        _quality(outcome, {sid: person for sid, person in known.items() if sid in searched}, exams),
    )  # fmt: skip
    counts = {"linked": report.linked, "proposed": report.proposed, "discarded": report.discarded}
    trail.append(connection, actor, trail.AuditAction.SUBJECTS_LINKED, source, counts)
    return report


def _decide(
    connection: Connection,
    outcome: CascadeResult,
    known: Mapping[str, str],
    precision: Mapping[str, Proportion],
    source: str,
) -> tuple[Counter[str], Counter[str], int]:
    reviewed, aside = _linked_by(connection, clerical_review.REVIEWED), clerical_review.set_aside(connection)
    taken = {*known.values(), *reviewed.values()}
    linked: Counter[str] = Counter()
    proposed: Counter[str] = Counter()
    settled = 0
    for one in outcome.found:
        if one.sid in known:
            continue
        if one.sid in reviewed or (one.sid, one.person) in aside:
            settled += 1
            continue
        score = precision[one.method].lower
        reason = "person-linked" if one.person in taken else "" if score >= PROVEN else "method-unproven"
        row = {
            "sid": one.sid, "person": one.person, "method": one.method, "score": score, "source": source,
            "evidence": json.dumps({"days": one.days, "exam_days": one.exam_days}),
        }  # fmt: skip
        if reason:
            _propose(connection, row | {"reason": reason})
            proposed[reason] += 1
        else:
            _insert(connection, row)
            linked[one.method] += 1
    return linked, proposed, settled


def _insert(connection: Connection, row: Mapping[str, object]) -> None:
    connection.execute(
        text(
            "INSERT INTO hub.link (sid, snds_person, method, score, source, evidence)"
            " VALUES (:sid, :person, :method, :score, :source, CAST(:evidence AS jsonb))"
        ),
        row,
    )


def _propose(connection: Connection, row: Mapping[str, object]) -> None:
    connection.execute(
        text(
            "INSERT INTO hub.link_proposal (sid, snds_person, method, score, reason, source, evidence)"
            " VALUES (:sid, :person, :method, :score, :reason, :source, CAST(:evidence AS jsonb))"
        ),
        row,
    )


def _forget(connection: Connection) -> None:
    """Remove what an earlier run linked and proposed."""
    connection.execute(text("DELETE FROM hub.link WHERE method = ANY(:methods)"), {"methods": list(METHODS)})
    connection.execute(text("DELETE FROM hub.link_proposal"))


def _linked_by(connection: Connection, method: str) -> dict[str, str]:
    rows = connection.execute(text("SELECT sid, snds_person FROM hub.link WHERE method = :one"), {"one": method})
    return {row.sid: row.snds_person for row in rows}


def _quality(outcome: CascadeResult, known: Mapping[str, str], exams: pa.Table) -> dict[str, dict[str, LinkageQuality]]:
    about = {row["sid"]: row for row in exams.to_pylist()}
    groups = {
        "all": lambda sid: "all",
        "hospital": lambda sid: str(about[sid]["finess"]),
        "sex": lambda sid: "male" if about[sid]["sex"] == 1 else "female",
        "born": lambda sid: f"{about[sid]['birth_year'] // 20 * 20}-{about[sid]['birth_year'] // 20 * 20 + 19}",
    }
    return {name: linkage_quality.by_group(outcome.found, known, group) for name, group in groups.items()}
