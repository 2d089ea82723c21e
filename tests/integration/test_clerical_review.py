"""Proposed links and the two people who decide: nothing by one alone, nothing twice, and nothing that names anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from web_story import WebStory, a_web_story

from imaging_hub.cohorts.applied_oppositions import apply
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.settings import Settings
from imaging_hub.snds import clerical_review, indirect_linkage
from imaging_hub.snds.clerical_review import ProposalOpinion, ProposalOutcome
from imaging_hub.snds.direct_linkage import import_return
from imaging_hub.snds.procedure_codes import ProcedureCodes
from tests.linked_population import Linked, few_linked

NO_CODES = ProcedureCodes({})


@pytest.fixture
def linked(settings: Settings, database: Database, tmp_path: Path) -> Linked:
    """Too few people to prove a method: what it finds is proposed."""
    made = few_linked(database, tmp_path, settings.tables)
    with database.begin(DatabaseRole.OWNER) as owner:
        for name in ("ann", "bob", "cid"):
            owner.execute(text("INSERT INTO hub.account VALUES (:n, 'operator', :n, '2100-01-01')"), {"n": name})
    return made


def waiting(database: Database, account: str = "ann") -> list[str]:
    with database.begin(DatabaseRole.WEB) as connection:
        return [one.pseudonym for one in clerical_review.list_proposals(connection, account) if not one.mine]


def said(database: Database, pseudonym: str, opinion: ProposalOpinion, account: str) -> ProposalOutcome:
    with database.begin(DatabaseRole.WEB) as connection:
        return clerical_review.decide(connection, pseudonym, opinion, account=account)


def links(database: Database) -> dict[str, tuple[str, str]]:
    with database.begin(DatabaseRole.OWNER) as owner:
        rows = owner.execute(text("SELECT sid, method, snds_person FROM hub.link")).all()
    return {row.sid: (row.method, row.snds_person) for row in rows}


def again(database: Database, settings: Settings) -> indirect_linkage.IndirectReport:
    with database.begin(DatabaseRole.WORKER) as connection:
        return indirect_linkage.link(connection, settings.tables, codes=NO_CODES, actor="test")


def test_two_people_make_a_link_and_one_alone_does_not(database: Database, settings: Settings, linked: Linked) -> None:
    first = waiting(database)[0]
    proposed = sum(linked.indirect.proposed.values())
    assert said(database, first, ProposalOpinion.SAME, "ann") is ProposalOutcome.WAITS
    assert said(database, first, ProposalOpinion.SAME, "ann") is ProposalOutcome.NOT_TWICE
    assert first not in links(database)
    assert first not in waiting(database)
    assert first in waiting(database, "bob")
    assert again(database, settings).proposed == linked.indirect.proposed, "an opinion outlives a run"
    assert said(database, first, ProposalOpinion.SAME, "bob") is ProposalOutcome.LINKED
    assert links(database)[first][0] == "reviewed"
    assert said(database, first, ProposalOpinion.SAME, "cid") is ProposalOutcome.GONE
    report = again(database, settings)
    assert (report.settled, sum(report.proposed.values())) == (1, proposed - 1)
    assert links(database)[first][0] == "reviewed", "and so does the link"
    with database.begin(DatabaseRole.OWNER) as owner:
        entries = owner.execute(text("SELECT actor, detail FROM audit.entry WHERE action = 'link-reviewed'")).all()
    assert [(entry.actor, entry.detail["outcome"]) for entry in entries] == [
        ("ann", "waits-for-another"), ("bob", "linked"),
    ]  # fmt: skip


@pytest.mark.parametrize("opinion", [ProposalOpinion.DIFFERENT, ProposalOpinion.UNSURE])
@pytest.mark.parametrize("before", [[], ["bob"]], ids=["first", "second"])
def test_any_doubt_sets_a_pair_aside_for_good(
    database: Database, settings: Settings, linked: Linked, opinion: ProposalOpinion, before: list[str]
) -> None:
    first = waiting(database)[0]
    for account in before:
        said(database, first, ProposalOpinion.SAME, account)
    assert said(database, first, opinion, "ann") is ProposalOutcome.SET_ASIDE
    assert said(database, first, ProposalOpinion.SAME, "cid") is ProposalOutcome.GONE
    assert again(database, settings).settled == 1
    assert first not in waiting(database, "cid")
    assert first not in links(database)


def test_a_pair_set_aside_is_not_linked_by_a_method_that_is_proven_later(
    database: Database, settings: Settings, linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = waiting(database)
    said(database, first, ProposalOpinion.DIFFERENT, "ann")
    monkeypatch.setattr(indirect_linkage, "MIN_PRECISION", 0.0)
    again(database, settings)
    assert first not in links(database)
    assert links(database)[second][0] in ("exact", "without-act", "day-off", "without-month", "without-place")


def test_what_an_ins_says_outweighs_people(database: Database, linked: Linked, tmp_path: Path) -> None:
    first = waiting(database)[0]
    for account in ("ann", "bob"):
        said(database, first, ProposalOpinion.SAME, account)
    answer = tmp_path / "late.csv"
    answer.write_text("id_acc;BEN_NIR_ANO\n1;SOMEBODYELSE00001\n", "ascii")
    with database.begin(DatabaseRole.WORKER) as connection:
        report = import_return(connection, answer, delivery="late", resolve=lambda _: {"1": first}, actor="test")
    assert (report.linked, report.replaced) == (1, 1)
    assert links(database)[first] == ("ins", "SOMEBODYELSE00001")


def test_who_opposes_is_not_decided_on(database: Database, linked: Linked) -> None:
    first = waiting(database)[0]
    said(database, first, ProposalOpinion.SAME, "ann")
    with database.begin(DatabaseRole.WORKER) as connection:
        apply(connection, [first], by="test")
    assert said(database, first, ProposalOpinion.SAME, "bob") is ProposalOutcome.GONE
    with database.begin(DatabaseRole.OWNER) as owner:
        assert owner.execute(text("SELECT count(*) FROM hub.link_opinion")).scalar_one() == 0


def test_two_who_decide_at_once_take_turns(database: Database, linked: Linked) -> None:
    first = waiting(database)[0]
    with database.begin(DatabaseRole.WEB) as connection:
        assert clerical_review.decide(connection, first, ProposalOpinion.SAME, account="ann") is ProposalOutcome.WAITS
        assert said(database, first, ProposalOpinion.SAME, "bob") is ProposalOutcome.BUSY
    assert said(database, first, ProposalOpinion.SAME, "bob") is ProposalOutcome.LINKED


def test_the_evidence_is_what_the_search_went_by(database: Database, settings: Settings, linked: Linked) -> None:
    some = waiting(database)[:8]
    assert len(some) > 3
    for pseudonym in some:
        with database.begin(DatabaseRole.WEB) as connection:
            found = clerical_review.find_evidence(connection, settings.tables, NO_CODES, pseudonym, "ann")
        assert found is not None
        assert len(found.exams) >= found.proposal.exam_days
        assert found.exams[0].after_days == 0
        agree = [
            exam for exam in found.exams
            if exam.same_place and exam.gap == 0 and (exam.same_act or found.proposal.method != "exact")
        ]  # fmt: skip
        if found.proposal.method in ("exact", "without-act"):
            assert found.same_month
            assert len({exam.after_days for exam in agree}) >= found.proposal.days
        if found.proposal.method == "exact":
            assert all(exam.claimed in exam.acts for exam in agree)


@pytest.fixture
def story(settings: Settings, database: Database, linked: Linked) -> Iterator[WebStory]:
    """The pages, with proposals to decide on."""
    with a_web_story(settings, database) as told:
        yield told


def test_the_pages_show_what_agrees_and_name_nobody(story: WebStory, database: Database, linked: Linked) -> None:
    first = waiting(database)[0]
    with story.client("operator") as operator, story.client("researcher") as researcher:
        assert first in operator.get("/linkage").text
        page = operator.get(f"/linkage/{first}").text
        assert "✓ same" in page
        person = proposed_person(database, first)
        assert person not in page
        assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d\b", re.sub(r"<footer.*", "", page, flags=re.S))
        assert researcher.get("/linkage").status_code == 403
        assert researcher.post(f"/api/v1/link-proposals/{first}", json={"opinion": "same"}).status_code == 403
        outcome = operator.post(f"/api/v1/link-proposals/{first}", json={"opinion": "same"})
        assert outcome.json() == {"outcome": "waits-for-another"}
        assert operator.post(f"/api/v1/link-proposals/{first}", json={"opinion": "same"}).status_code == 409
        assert operator.get("/linkage/nobody").status_code == 404
        (own,) = [one for one in operator.get("/api/v1/link-proposals").json() if one["pseudonym"] == first]
        assert own["mine"] is True
        assert person not in str(own)
    assert said(database, first, ProposalOpinion.SAME, "ann") is ProposalOutcome.LINKED


def proposed_person(database: Database, sid: str) -> str:
    with database.begin(DatabaseRole.OWNER) as owner:
        person: str = owner.execute(
            text("SELECT snds_person FROM hub.link_proposal WHERE sid = :sid"), {"sid": sid}
        ).scalar_one()
    return person
