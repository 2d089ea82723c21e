"""Direct linkage: the SNDS operator's return file becomes links between subjects and SNDS persons.

The operator has replaced each qualified INS by its own pseudonym, so a link is certain. Pairs that are not one to one
are counted and not linked. `BEN_NIR_ANO` is the person's own pseudonym, under which `loading` stores the events
(BEN_IDT_ANO).

The operator changes its pseudonyms about every two years. The delivery for a new extraction then returns other persons
than the links in force; they are counted as `changed` until an operator of the hub deletes the old links.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sqlalchemy import Connection, text

from imaging_hub.archive import opposed_subjects, search
from imaging_hub.audit import trail
from imaging_hub.errors import LinkageError
from imaging_hub.snds import clerical_review

COLUMNS = ("id_acc", "BEN_NIR_ANO")


@dataclass(frozen=True, slots=True)
class LinkReport:
    """Lines of a return file by outcome; the counts except `replaced` add up to `lines`."""

    lines: int
    linked: int
    """New links."""
    unchanged: int
    """Links that existed already."""
    not_found: int
    """The operator does not know the INS."""
    unresolved: int
    """The id_acc is unknown, expired or destroyed."""
    not_archived: int
    """The archive has nothing of the subject."""
    collisions: int
    """Two subjects with one person, or one subject with two persons; none is linked."""
    changed: int
    """The subject or the person already has another link by INS."""
    opposed: int
    """The subject opposed the use of its data."""
    replaced: int
    """New links that replaced one found without an INS."""


def import_return(
    connection: Connection,
    return_file: Path,
    *,
    delivery: str,
    resolve: Callable[[Sequence[str]], Mapping[str, str]],
    actor: str,
) -> LinkReport:
    """Link the subjects of one delivery in the caller's transaction, with an entry in the trail; idempotent.

    `resolve` maps id_acc of this delivery to sids, as `ThirdParty.resolve`. The caller destroys the delivery once this
    transaction is committed. Raises `LinkageError` when the file is not a return file.
    """
    answers = _read_answers(return_file)
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
    clerical_review.lock_linkage(connection)
    for sid, person in _unique_pairs(pairs, outcomes):
        _link(connection, sid, person, delivery, outcomes)
    counts = [field.name for field in fields(LinkReport) if field.name != "lines"]
    report = LinkReport(len(answers), **{name: outcomes[name] for name in counts})
    trail.append(connection, actor, trail.AuditAction.DELIVERY_LINKED, delivery, dict(sorted(outcomes.items())))
    return report


def _unique_pairs(pairs: Iterable[tuple[str, str]], outcomes: Counter[str]) -> list[tuple[str, str]]:
    subjects, persons = Counter(sid for sid, _ in pairs), Counter(person for _, person in pairs)
    unique = [(sid, person) for sid, person in sorted(pairs) if subjects[sid] == 1 and persons[person] == 1]
    outcomes["collisions"] += sum(subjects.values()) - len(unique)
    return unique


def _link(connection: Connection, sid: str, person: str, delivery: str, outcomes: Counter[str]) -> None:
    """Link one pair and count its outcome; a link by INS replaces links found without one."""
    pair = {"sid": sid, "person": person, "delivery": delivery}
    links = connection.execute(
        text("SELECT sid, snds_person, method FROM hub.link WHERE sid = :sid OR snds_person = :person"), pair
    ).all()
    by_ins = [(row.sid, row.snds_person) for row in links if row.method == "ins"]
    if by_ins:
        outcomes["unchanged" if by_ins == [(sid, person)] else "changed"] += 1
        return
    if opposed_subjects.is_opposed(connection, sid):
        outcomes["opposed"] += 1
        return
    if not search.has_subject(connection, sid):
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
    outcomes["replaced"] += bool(links)


def delete_links(connection: Connection, sids: Sequence[str]) -> int:
    """Delete the links, proposals and opinions of these subjects; returns the number of links."""
    parameters = {"sids": list(sids)}
    connection.execute(text("DELETE FROM hub.link_proposal WHERE sid = ANY(:sids)"), parameters)
    connection.execute(text("DELETE FROM hub.link_opinion WHERE sid = ANY(:sids)"), parameters)
    return connection.execute(text("DELETE FROM hub.link WHERE sid = ANY(:sids)"), parameters).rowcount


def _read_answers(return_file: Path) -> list[tuple[str, str]]:
    """Return pairs of id_acc and person; the person is empty when the operator knows none."""
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
