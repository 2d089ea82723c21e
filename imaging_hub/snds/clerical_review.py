"""Proposals of the linkage without an INS, decided by two people who see what agrees, and never a name or a day.

A pair becomes a link (method `reviewed`) when two accounts have said that it is one person. As soon as one says that it
is not, or cannot tell, it is set aside, and no later run proposes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, Row, text

from imaging_hub.audit import trail
from imaging_hub.snds import concordance, loading
from imaging_hub.snds.concordance import ComparedExam
from imaging_hub.snds.exams import searchable
from imaging_hub.snds.procedure_codes import ProcedureCodes
from imaging_hub.snds.tables import imaging_acts

REVIEWED = "reviewed"
_TURN = 0x4C494E4B  # "LINK": who links without an INS takes turns with who decides


class ProposalOpinion(StrEnum):
    """What one person says of a pair."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"


class ProposalOutcome(StrEnum):
    """What became of a proposal by an opinion."""

    LINKED = "linked"
    SET_ASIDE = "set-aside"
    WAITS = "waits-for-another"
    NOT_TWICE = "not-twice"
    """This account has said something already: somebody else has to look."""
    BUSY = "busy"
    """Somebody else is deciding, or a linkage is under way: try again."""
    GONE = "gone"
    """There is no such proposal any more."""


@dataclass(frozen=True, slots=True)
class LinkProposal:
    """A pair that waits for people."""

    pseudonym: str
    """Of the subject."""
    method: str
    """The step that found it."""
    score: float
    """Lower bound of that step's precision, on pairs known by INS."""
    days: int
    """On so many days an exam and a claim agree."""
    exam_days: int
    """Of so many with exams."""
    proposed_at: datetime
    mine: bool
    """This account has said something already. Whether somebody else has is not told: it would have agreed."""


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """What agrees, exam by exam."""

    proposal: LinkProposal
    same_month: bool
    """Month of birth; the year and the sex always agree."""
    exams: Sequence[ComparedExam]
    claims_alone: int
    """Imaging acts of the person at these places without an exam of the subject."""


def queue(connection: Connection, account: str, *, limit: int = 200) -> Sequence[LinkProposal]:
    """Proposals that wait, those that this account can decide on first, then the surest."""
    rows = connection.execute(
        text(_PROPOSAL + " ORDER BY mine, score DESC, days DESC, pseudonym LIMIT :limit"),
        {"account": account, "pseudonym": None, "limit": limit},
    )
    return [_proposal(row) for row in rows]


def evidence(
    connection: Connection, tables: Path, codes: ProcedureCodes, pseudonym: str, account: str
) -> LinkEvidence | None:
    """Both sides of a proposal; None when there is none. Raises `LinkageError` when no SNDS tables are loaded."""
    row = connection.execute(text(_PROPOSAL), {"account": account, "pseudonym": pseudonym}).one_or_none()
    if row is None:
        return None
    exams = searchable(connection, codes, row.sid)
    compared = concordance.compare(exams, row.snds_person, loading.current(tables).folder, imaging_acts())
    return LinkEvidence(_proposal(row), *compared)


def decide(connection: Connection, pseudonym: str, opinion: ProposalOpinion, *, account: str) -> ProposalOutcome:
    """Take one person's opinion, and link or set aside where it settles the proposal."""
    if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:turn)"), {"turn": _TURN}).scalar_one():
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


def take_turn(connection: Connection) -> None:
    """Wait until nobody decides or links; lasts until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def set_aside(connection: Connection) -> frozenset[tuple[str, str]]:
    """Pairs of subject and person that somebody did not think are one."""
    rows = connection.execute(text("SELECT sid, snds_person FROM hub.link_opinion WHERE opinion <> 'same'"))
    return frozenset((row.sid, row.snds_person) for row in rows)


# What gives a person a second subject is no question of the link but of who the subjects are: the third party's.
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


def _proposal(row: Row[tuple[object, ...]]) -> LinkProposal:
    return LinkProposal(row.pseudonym, row.method, row.score, row.days, row.exam_days, row.proposed_at, row.mine)
