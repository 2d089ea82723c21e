"""Clerical review of links proposed without an INS, by two people who see what agrees, and never a name or a date.

A pair becomes a link (method `reviewed`) when two accounts say that it is the same person. When one says that it is
not, or that it cannot tell, the pair is set aside, and no later run proposes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, Row, text

from imaging_hub.audit import trail
from imaging_hub.snds import exam_claim_concordance, loading
from imaging_hub.snds.exam_claim_concordance import ComparedExam
from imaging_hub.snds.exams import linkable_exams
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.tables import imaging_acts

REVIEWED = "reviewed"
_LOCK = 0x4C494E4B  # "LINK": held by a linkage run and by each decision


class ProposalOpinion(StrEnum):
    """A reviewer's opinion on a proposed pair."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"


class ProposalOutcome(StrEnum):
    """Outcome of giving an opinion on a proposal."""

    LINKED = "linked"
    SET_ASIDE = "set-aside"
    WAITS = "waits-for-another"
    NOT_TWICE = "not-twice"
    """This account has given its opinion already; another one is needed."""
    BUSY = "busy"
    """Another decision or a linkage run holds the lock; the call may be repeated."""
    GONE = "gone"
    """The proposal no longer exists."""


@dataclass(frozen=True, slots=True)
class LinkProposal:
    """A proposed pair of subject and SNDS person that waits for review."""

    pseudonym: str
    """The subject's pseudonym."""
    method: str
    """The method that found the pair."""
    score: float
    """Lower bound of the method's precision, measured on pairs known by INS."""
    days: int
    """Days on which an exam and a claim agree."""
    exam_days: int
    """Days on which the subject had exams."""
    proposed_at: datetime
    mine: bool
    """Whether this account has given its opinion. The opinion of others is hidden, so that it sways nobody."""


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """Evidence for a proposed pair: its exams beside the claims."""

    proposal: LinkProposal
    same_month: bool
    """Whether the months of birth agree; year and sex always do."""
    exams: Sequence[ComparedExam]
    claims_alone: int
    """Imaging acts of the person at these hospitals without an exam of the subject."""


def list_proposals(connection: Connection, account: str, *, limit: int = 200) -> Sequence[LinkProposal]:
    """Return the proposals under review, first those this account has no opinion on, then by score."""
    rows = connection.execute(
        text(_PROPOSAL + " ORDER BY mine, score DESC, days DESC, pseudonym LIMIT :limit"),
        {"account": account, "pseudonym": None, "limit": limit},
    )
    return [_as_proposal(row) for row in rows]


def find_evidence(
    connection: Connection, tables: Path, codes: ProcedureCodes, pseudonym: str, account: str
) -> LinkEvidence | None:
    """Return the evidence for a proposal, or None when there is none; raises `LinkageError` `nothing-loaded`."""
    row = connection.execute(text(_PROPOSAL), {"account": account, "pseudonym": pseudonym}).one_or_none()
    if row is None:
        return None
    exams = linkable_exams(connection, codes, row.sid)
    compared = exam_claim_concordance.compare(
        exams, row.snds_person, loading.current_version(tables).folder, imaging_acts()
    )
    return LinkEvidence(_as_proposal(row), *compared)


def decide(connection: Connection, pseudonym: str, opinion: ProposalOpinion, *, account: str) -> ProposalOutcome:
    """Record an account's opinion in the caller's transaction, and link or set aside the pair it decides on."""
    if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:turn)"), {"turn": _LOCK}).scalar_one():
        return ProposalOutcome.BUSY
    row = connection.execute(text(_PROPOSAL), {"account": account, "pseudonym": pseudonym}).one_or_none()
    if row is None:
        return ProposalOutcome.GONE
    if row.mine:
        return ProposalOutcome.NOT_TWICE
    pair = {"sid": row.sid, "person": row.snds_person}
    connection.execute(
        text(
            "INSERT INTO hub.link_opinion (sid, snds_person, account, opinion) VALUES (:sid, :person, :account, :said)"
        ),
        pair | {"account": account, "said": opinion},
    )
    settled = (
        ProposalOutcome.SET_ASIDE
        if opinion is not ProposalOpinion.SAME
        else ProposalOutcome.LINKED
        if row.opinions
        else ProposalOutcome.WAITS
    )
    if settled is ProposalOutcome.LINKED:
        connection.execute(
            text(
                "INSERT INTO hub.link (sid, snds_person, method, score, source, evidence)"
                " SELECT sid, snds_person, :method, score, source, evidence FROM hub.link_proposal WHERE sid = :sid"
            ),
            pair | {"method": REVIEWED},
        )
    if settled is not ProposalOutcome.WAITS:
        connection.execute(text("DELETE FROM hub.link_proposal WHERE sid = :sid"), pair)
    detail: dict[str, object] = {"opinion": opinion, "outcome": settled, "method": row.method, "source": row.source}
    trail.append(connection, account, trail.AuditAction.LINK_REVIEWED, pseudonym, detail)
    return settled


def lock_linkage(connection: Connection) -> None:
    """Lock out decisions and other linkage runs until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _LOCK})


def rejected_pairs(connection: Connection) -> frozenset[tuple[str, str]]:
    """Return the pairs of sid and person that a reviewer did not take for the same person."""
    rows = connection.execute(text("SELECT sid, snds_person FROM hub.link_opinion WHERE opinion <> 'same'"))
    return frozenset((row.sid, row.snds_person) for row in rows)


# Pairs of reason `person-linked` are left out: two subjects of one person are a question for the third party.
_PROPOSAL = """
SELECT p.sid, p.snds_person, u.pseudonym, p.method, p.score, p.source, p.proposed_at,
  CAST(p.evidence ->> 'days' AS int) AS days, CAST(p.evidence ->> 'exam_days' AS int) AS exam_days,
  count(o.account) AS opinions, coalesce(bool_or(o.account = :account), false) AS mine
FROM hub.link_proposal p JOIN hub.subject u USING (sid)
  LEFT JOIN hub.link_opinion o ON o.sid = p.sid AND o.snds_person = p.snds_person
WHERE p.reason = 'method-unproven' AND p.sid NOT IN (SELECT sid FROM hub.opposed)
  AND (CAST(:pseudonym AS text) IS NULL OR u.pseudonym = :pseudonym)
GROUP BY p.sid, u.pseudonym
"""


def _as_proposal(row: Row[tuple[object, ...]]) -> LinkProposal:
    return LinkProposal(row.pseudonym, row.method, row.score, row.days, row.exam_days, row.proposed_at, row.mine)
