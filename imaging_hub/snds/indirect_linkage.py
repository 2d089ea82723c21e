"""Indirect linkage of subjects without a usable INS, by the exams that images and claims have in common.

The search uses rules (`snds.exam_claim_concordance`), then a model for subjects that the rules do not find
(`snds.probabilistic_linkage`).
It runs over all subjects and is measured on those linked by INS. A method makes links when the lower bound of its
measured precision, which becomes their score, is at least `MIN_PRECISION`. Pairs of other methods, and pairs that would
give a person a second subject, become proposals for `clerical_review`. A run replaces the links and proposals of the
run before; links by INS and decisions of reviewers are kept.
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
from imaging_hub.snds import clerical_review, exam_claim_concordance, linkage_quality, loading, probabilistic_linkage
from imaging_hub.snds.exam_claim_concordance import STEPS, CascadeResult
from imaging_hub.snds.exams import linkable_exams
from imaging_hub.snds.linkage_quality import LinkageQuality, Proportion
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.tables import imaging_acts

METHODS = (*(step.method for step in STEPS), *(method for method, _ in probabilistic_linkage.BANDS))
"""Methods of indirect linkage, from strict to relaxed."""
MIN_PRECISION = 0.99
"""Least precision, at the lower bound of its 95 % interval, with which a method makes links without review."""


@dataclass(frozen=True)
class IndirectReport:
    """Result of a run of indirect linkage, in numbers of subjects."""

    subjects: int
    """Subjects without a link by INS that have exams and traits."""
    linked: dict[str, int]
    """By method."""
    proposed: dict[str, int]
    """By reason: `method-unproven`, `person-linked`."""
    settled: int
    """Subjects whose pair reviewers have linked or set aside."""
    discarded: dict[str, int]
    """By reason, as in `concordance.CascadeResult`."""
    alone: int
    """Subjects whose exams agree with nobody's claims."""
    precision: dict[str, Proportion]
    """By method, on subjects linked by INS."""
    quality: dict[str, dict[str, LinkageQuality]]
    """On subjects linked by INS, by grouping (`all`, `hospital`, `sex`, `born`) and group."""


def link(connection: Connection, tables: Path, *, codes: ProcedureCodes, actor: str) -> IndirectReport:
    """Run the indirect linkage in the caller's transaction, with an entry in the trail.

    Raises `LinkageError` `nothing-loaded` when no SNDS tables are loaded.
    """
    load = loading.current_version(tables)
    clerical_review.lock_linkage(connection)
    exams = linkable_exams(connection, codes)
    known = _linked_by(connection, "ins")
    outcome = exam_claim_concordance.search(exams, load.folder, imaging_acts())
    probable = probabilistic_linkage.search(exams, load.folder, imaging_acts(), known=known, cascade=outcome)
    outcome = replace(outcome, found=(*outcome.found, *probable))
    precision = linkage_quality.precision_by_method(outcome.found, known, METHODS)
    rules, model = exam_claim_concordance.rules_digest(), probabilistic_linkage.model_digest()
    source = f"snds {load.version} rules {rules} model {model}"
    _delete_earlier_run(connection)
    linked, proposed, settled = _apply(connection, outcome, known, precision, source)
    searched = set(exams["sid"].to_pylist())
    without = searched - set(known)
    discarded = Counter(reason for sid, reason in outcome.discarded.items() if sid in without)
    in_question = {pair.sid for pair in outcome.found} | set(outcome.discarded)
    report = IndirectReport(
        len(without), dict(linked), dict(proposed), settled, dict(discarded), len(without - in_question), precision,
        _quality(outcome, {sid: person for sid, person in known.items() if sid in searched}, exams),
    )  # fmt: skip
    counts = {"linked": report.linked, "proposed": report.proposed, "discarded": report.discarded}
    trail.append(connection, actor, trail.AuditAction.SUBJECTS_LINKED, source, counts)
    return report


def _apply(
    connection: Connection,
    outcome: CascadeResult,
    known: Mapping[str, str],
    precision: Mapping[str, Proportion],
    source: str,
) -> tuple[Counter[str], Counter[str], int]:
    reviewed, rejected = _linked_by(connection, clerical_review.REVIEWED), clerical_review.rejected_pairs(connection)
    taken = {*known.values(), *reviewed.values()}
    linked: Counter[str] = Counter()
    proposed: Counter[str] = Counter()
    settled = 0
    for pair in outcome.found:
        if pair.sid in known:
            continue
        if pair.sid in reviewed or (pair.sid, pair.person) in rejected:
            settled += 1
            continue
        score = precision[pair.method].lower
        reason = "person-linked" if pair.person in taken else "" if score >= MIN_PRECISION else "method-unproven"
        row = {
            "sid": pair.sid, "person": pair.person, "method": pair.method, "score": score, "source": source,
            "evidence": json.dumps({"days": pair.days, "exam_days": pair.exam_days}),
        }  # fmt: skip
        if reason:
            _insert_proposal(connection, row | {"reason": reason})
            proposed[reason] += 1
        else:
            _insert_link(connection, row)
            linked[pair.method] += 1
    return linked, proposed, settled


def _insert_link(connection: Connection, row: Mapping[str, object]) -> None:
    connection.execute(
        text(
            "INSERT INTO hub.link (sid, snds_person, method, score, source, evidence)"
            " VALUES (:sid, :person, :method, :score, :source, CAST(:evidence AS jsonb))"
        ),
        row,
    )


def _insert_proposal(connection: Connection, row: Mapping[str, object]) -> None:
    connection.execute(
        text(
            "INSERT INTO hub.link_proposal (sid, snds_person, method, score, reason, source, evidence)"
            " VALUES (:sid, :person, :method, :score, :reason, :source, CAST(:evidence AS jsonb))"
        ),
        row,
    )


def _delete_earlier_run(connection: Connection) -> None:
    """Delete the links and proposals of the run before."""
    connection.execute(text("DELETE FROM hub.link WHERE method = ANY(:methods)"), {"methods": list(METHODS)})
    connection.execute(text("DELETE FROM hub.link_proposal"))


def _linked_by(connection: Connection, method: str) -> dict[str, str]:
    rows = connection.execute(text("SELECT sid, snds_person FROM hub.link WHERE method = :method"), {"method": method})
    return {row.sid: row.snds_person for row in rows}


def _quality(outcome: CascadeResult, known: Mapping[str, str], exams: pa.Table) -> dict[str, dict[str, LinkageQuality]]:
    traits = {row["sid"]: row for row in exams.to_pylist()}
    groups = {
        "all": lambda sid: "all",
        "hospital": lambda sid: str(traits[sid]["finess"]),
        "sex": lambda sid: "male" if traits[sid]["sex"] == 1 else "female",
        "born": lambda sid: f"{traits[sid]['birth_year'] // 20 * 20}-{traits[sid]['birth_year'] // 20 * 20 + 19}",
    }
    return {name: linkage_quality.quality_by_group(outcome.found, known, group) for name, group in groups.items()}
