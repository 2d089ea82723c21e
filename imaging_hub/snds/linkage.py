"""The answer of the SNDS operator becomes links: one subject, one SNDS person, or none.

Direct linkage only: the operator turned a qualified INS into its own pseudonym, so a link holds or it does not. What
is not one to one is counted and left alone; nobody guesses. `BEN_NIR_ANO` is the person's own pseudonym and the name
under which `loading` files that person's events (BEN_IDT_ANO).

The operator changes its pseudonyms about every two years: a new extraction then comes with a new delivery, whose links
differ from those in force and are counted as `changed` until an operator of the hub replaces them.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.archive import opposition, search
from imaging_hub.audit import trail
from imaging_hub.errors import LinkageError
from imaging_hub.snds import clerical_review

COLUMNS = ("id_acc", "BEN_NIR_ANO")


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What became of the lines of a return file; the counts but `replaced` add up to `lines`."""

    lines: int
    linked: int
    """New links."""
    unchanged: int
    """Links that were there already."""
    not_found: int
    """The operator knows nobody."""
    unresolved: int
    """The id_acc is unknown, expired or destroyed."""
    not_archived: int
    """The subject has nothing in the archive."""
    collisions: int
    """Two subjects with one person, or one subject with two: none of them is linked."""
    changed: int
    """The subject, or the person, has another link by INS already."""
    opposed: int
    """The subject has opposed the use of its data."""
    replaced: int
    """Of the new links, those in whose way stood one found without an INS, which is gone."""


def import_return(
    connection: Connection,
    return_file: Path,
    *,
    delivery: str,
    resolve: Callable[[Sequence[str]], Mapping[str, str]],
    actor: str,
) -> LinkReport:
    """Link the subjects of one delivery and leave an entry in the trail; importing again changes nothing.

    `resolve` is the third party's: from the id_acc of this delivery to subjects, of those that are alive. The caller
    has the id_acc destroyed once this transaction is committed. Raises `LinkageError` when the file is not a return
    file.
    """
    answers = _read(return_file)
    outcomes: Counter[str] = Counter()
    pairs: set[tuple[str, str]] = set()
    sids = resolve([id_acc for id_acc, person in answers if person])
    for id_acc, person in answers:
        sid = sids.get(id_acc)
        if not person:
            outcomes["not_found"] += 1
        elif sid is None:
            outcomes["unresolved"] += 1
        elif (sid, person) in pairs:
            outcomes["unchanged"] += 1
        else:
            pairs.add((sid, person))
    clerical_review.take_turn(connection)
    for sid, person in _one_to_one(pairs, outcomes):
        _link(connection, sid, person, delivery, outcomes)
    counts = [field.name for field in fields(LinkReport) if field.name != "lines"]
    report = LinkReport(len(answers), **{name: outcomes[name] for name in counts})
    trail.append(connection, actor, trail.AuditAction.DELIVERY_LINKED, delivery, dict(sorted(outcomes.items())))
    return report


def _one_to_one(pairs: Iterable[tuple[str, str]], outcomes: Counter[str]) -> list[tuple[str, str]]:
    subjects, persons = Counter(sid for sid, _ in pairs), Counter(person for _, person in pairs)
    single = [(sid, person) for sid, person in sorted(pairs) if subjects[sid] == 1 and persons[person] == 1]
    outcomes["collisions"] += sum(subjects.values()) - len(single)
    return single


def _link(connection: Connection, sid: str, person: str, delivery: str, outcomes: Counter[str]) -> None:
    """Note the outcome of one pair that is single in its file; what an INS says outweighs what was found without."""
    pair = {"sid": sid, "person": person, "delivery": delivery}
    known = connection.execute(
        text("SELECT sid, snds_person, method FROM hub.link WHERE sid = :sid OR snds_person = :person"), pair
    ).all()
    by_ins = [(row.sid, row.snds_person) for row in known if row.method == "ins"]
    if by_ins:
        outcomes["unchanged" if by_ins == [(sid, person)] else "changed"] += 1
        return
    if opposition.stands(connection, sid):
        outcomes["opposed"] += 1
        return
    if not search.holds_subject(connection, sid):
        outcomes["not_archived"] += 1
        return
    connection.execute(text("DELETE FROM hub.link WHERE sid = :sid OR snds_person = :person"), pair)
    connection.execute(text("DELETE FROM hub.link_proposal WHERE sid = :sid OR snds_person = :person"), pair)
    connection.execute(
        text(
            "INSERT INTO hub.link (sid, snds_person, method, score, source)"
            " VALUES (:sid, :person, 'ins', 1.0, :delivery)"
        ),
        pair,
    )
    outcomes["linked"] += 1
    outcomes["replaced"] += bool(known)


def cut(connection: Connection, sids: Sequence[str]) -> int:
    """Remove the links of these subjects, and what was proposed of them; how many links there were."""
    who = {"sids": list(sids)}
    connection.execute(text("DELETE FROM hub.link_proposal WHERE sid = ANY(:sids)"), who)
    connection.execute(text("DELETE FROM hub.link_opinion WHERE sid = ANY(:sids)"), who)
    return connection.execute(text("DELETE FROM hub.link WHERE sid = ANY(:sids)"), who).rowcount


def _read(return_file: Path) -> list[tuple[str, str]]:
    """Pairs of id_acc and person, empty where nobody was found."""
    try:
        with return_file.open(encoding="ascii", newline="") as file:
            reader = csv.DictReader(file, delimiter=";", strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise LinkageError(
                    "the return file does not have the columns id_acc and BEN_NIR_ANO",
                    code="return-columns",
                    hint="a semicolon between them, names in the first line",
                )
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise LinkageError("the return file cannot be read", code="return-unreadable", hint="ASCII text") from fault
    if any(None in line.values() or None in line for line in lines):
        raise LinkageError("a line of the return file does not have two fields", code="return-columns")
    return [(line["id_acc"], line["BEN_NIR_ANO"].strip()) for line in lines]
