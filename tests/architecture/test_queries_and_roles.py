"""Who asks the database what, and as whom: each table has one room that knows it, and roles are handed down."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Module

CHOOSERS = ("cli/", "console/", "gateway/", "trust/", "web/", "work/", "database.py")
"""Rooms that are processes of a role, or start them. Every other one is handed a `Connection` or a `DatabaseLogin`."""

ROLES = {
    "console": {"CONSOLE"},
    "gateway": {"GATEWAY"},
    "trust": {"OWNER", "TRUST"},
    "web": {"WEB"},
    "work": {"OWNER", "WORKER"},
}
"""Roles that these choose; who owns a database migrates it and asks whether it is well. A command may start any."""

WITHOUT_QUERIES = ("cli/", "console/", "dicomweb/", "http/", "web/")
"""Rooms that show, and ask the others."""

OWNERS = {
    "audit.entry": "audit",
    "hub.account": "permits",
    "hub.answer": "cohorts",
    "hub.change_list": "archive",
    "hub.cohort": "cohorts",
    "hub.cohort_member": "cohorts",
    "hub.index_change": "archive",
    "hub.index_changed_before": "archive",
    "hub.index_version": "archive",
    "hub.instance": "archive",
    "hub.link": "snds",
    "hub.link_in_use": "snds",
    "hub.link_opinion": "snds",
    "hub.link_proposal": "snds",
    "hub.object": "archive",
    "hub.opposed": "archive",
    "hub.opposition": "archive",
    "hub.permit": "permits",
    "hub.permit_holder": "permits",
    "hub.project": "permits",
    "hub.reception": "archive",
    "hub.release": "cohorts",
    "hub.release_item": "cohorts",
    "hub.review": "review",
    "hub.series": "archive",
    "hub.study": "archive",
    "hub.subject": "archive",
    "hub.told": "cohorts",
    "hub.trait": "archive",
    "identifying.diagnosis": "intake",
    "identifying.identity": "pseudonymisation",
    "identifying.instance": "intake",
    "identifying.opposing": "pseudonymisation",
    "identifying.operator": "gateway",
    "identifying.orthanc_source": "retrieval",
    "identifying.outcome": "intake",
    "identifying.rejection": "gateway",
    "identifying.retrieval": "retrieval",
    "identifying.sender": "gateway",
    "identifying.study": "intake",
    "identifying.study_key": "intake",
    "trust.epoch": "trust",
    "trust.id_acc": "trust",
    "trust.person": "trust",
}
"""The room that writes each table and view, and alone may."""

READERS = {
    "cohorts": {
        "hub.instance": "a release lists the instances of a cohort's series",
        "hub.series": "members are series: their review state and content decide",
        "hub.study": "the index of cohorts is series joined with their studies",
        "hub.subject": "a release replaces the pseudonyms of subjects",
        "hub.opposed": "nobody who opposes is counted, frozen or released",
        "hub.link_in_use": "the index of cohorts is of linked subjects",
        "hub.index_version": "files of the index are made again when it has changed",
        "hub.permit": "cohorts are shown to who holds a permit of their project",
        "hub.permit_holder": "likewise",
    },
    "intake": {"identifying.sender": "what came is kept, closed and replayed as its senders are described"},
    "review": {"hub.study": "the queue is by the age of studies", "hub.series": "verdicts are on series"},
    "snds": {
        "hub.opposed": "nobody who opposes is linked",
        "hub.series": "claims are compared with the modalities of studies",
        "hub.study": "exams are the studies of a day",
        "hub.subject": "proposals are shown under pseudonyms",
        "hub.trait": "exams are compared by what headers say of the patient",
    },
}
"""Rooms that join tables of others in the same zone when they read, and why."""

WRITERS = {"review": {"hub.series": "the column `review_state`, on which the index builds the state of a study"}}
"""Rooms that write a table of another."""

_VERB = r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|TRUNCATE|WITH|COPY|LISTEN|NOTIFY|SET ROLE|CALL)"
_STATEMENT = re.compile(
    rf"^\s*{_VERB}\b|(?i:^\s*(?:select\s.+\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from)\s)", re.DOTALL
)
_WORD = re.compile(rf"\b(?:{_VERB}|FROM|JOIN)\b|(?i:\b(?:from|join|into|update|truncate)\s+\w+\.\w)")
_DRIVERS = ("sqlalchemy", "psycopg", "duckdb", "asyncpg", "sqlite3")
_TABLE = re.compile(r"\b(?:identifying|hub|trust|audit|work)\.[a-z_]+\b")
_WRITTEN = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE|COPY)\s+(?:TABLE\s+)?(?:ONLY\s+)?"
    r"((?:identifying|hub|trust|audit)\.[a-z_]+)\b",
    re.IGNORECASE,
)
_ROLE = re.compile(r"\bimaging_hub_(?:gateway|console|trust|worker|web)\b|\bSET\s+(?:LOCAL\s+|SESSION\s+)?ROLE\b")

_MADE = re.compile(r"\bCREATE (?:TABLE|VIEW) ((?:identifying|hub|trust|audit)\.[a-z_]+)\b")


def test_a_role_is_chosen_only_by_what_runs_as_a_process(modules: list[Module]) -> None:
    choosing = [
        f"{module.path}:{line}"
        for module in _written(modules)
        if not _place(module).startswith(CHOOSERS)
        for line in _mentions_of_roles(module.tree)
    ]
    assert choosing == []


def test_each_process_chooses_its_own_role(modules: list[Module]) -> None:
    chosen = defaultdict(set)
    for module in modules:
        room = _place(module).partition("/")[0]
        if room in ROLES and not module.is_revision:
            chosen[room] |= {
                node.attr
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "DatabaseRole"
            }
    assert chosen == ROLES


def test_rooms_that_show_ask_the_others(modules: list[Module]) -> None:
    asking = [
        f"{module.path}:{line}"
        for module in _written(modules)
        if _place(module).startswith(WITHOUT_QUERIES)
        for line in _queries(module.tree)
    ]
    assert asking == []


def test_statements_in_files_of_their_own_make_tables_or_invented_people(root: Path) -> None:
    found = {path.parent.relative_to(root / "imaging_hub").as_posix() for path in root.glob("imaging_hub/**/*.sql")}
    assert found == {"migrations/sql", "synthetic", "trust"}


def test_a_table_is_written_by_its_owner(modules: list[Module]) -> None:
    strangers = {
        (room, table)
        for room, text in _statements(modules)
        for table in _WRITTEN.findall(text)
        if OWNERS.get(table) != room
    }
    assert strangers == {(room, table) for room, tables in WRITERS.items() for table in tables}


def test_a_table_is_read_by_its_owner_and_where_a_join_needs_it(modules: list[Module]) -> None:
    strangers = defaultdict(set)
    for room, text in _statements(modules):
        for table in _TABLE.findall(text):
            if table in OWNERS and OWNERS[table] != room:
                strangers[room].add(table)
    assert strangers == {room: set(tables) for room, tables in READERS.items()}


def test_every_table_has_its_owner(root: Path) -> None:
    folders = (root / "imaging_hub" / "migrations", root / "imaging_hub" / "trust" / "migrations")
    revisions = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".sql")]
    assert set(OWNERS) == {table for path in revisions for table in _MADE.findall(path.read_text("utf-8"))}


def _written(modules: list[Module]) -> Iterator[Module]:
    return (module for module in modules if not module.is_revision)


def _place(module: Module) -> str:
    return module.path.removeprefix("imaging_hub/")


def _mentions_of_roles(tree: ast.Module) -> Iterator[int]:
    """Lines that import the roles, under whatever name, reach them through their module, or write one's name."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.ImportFrom) and any(name.name == "DatabaseRole" for name in node.names)
        reached = isinstance(node, ast.Attribute) and node.attr == "DatabaseRole"
        text = _text(node)
        written = text is not None and (text == "DatabaseRole" or _ROLE.search(text))
        if named or reached or written:
            yield node.lineno  # type: ignore[attr-defined]


def _queries(tree: ast.Module) -> Iterator[int]:
    """Lines that hold a statement, or name more of a driver than the type of a connection and what it raises."""
    for node in ast.walk(tree):
        if _STATEMENT.match(_text(node) or ""):
            yield node.lineno  # type: ignore[attr-defined]
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_DRIVERS):
            known = node.module == "sqlalchemy.exc" or {name.name for name in node.names} == {"Connection"}
            yield from () if known else (node.lineno,)
        if isinstance(node, ast.Import):
            yield from (node.lineno for name in node.names if name.name.startswith(_DRIVERS))
        if isinstance(node, ast.Attribute) and node.attr in ("execute", "exec_driver_sql", "scalar", "scalars"):
            yield node.lineno


def _statements(modules: list[Module]) -> Iterator[tuple[str, str]]:
    """Room and text of every string that is no docstring and names tables among SQL's words."""
    for module in _written(modules):
        documentation = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(module.tree):
            text = _text(node)
            if text is not None and id(node) not in documentation and _WORD.search(text):
                yield _place(module).partition("/")[0], text


def _text(node: ast.AST) -> str | None:
    """Text of a literal, identifiers without quotation marks; of an f-string, with `?` for what is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace('"', "")
        case ast.Constant(value=bytes(text)):
            return text.decode("utf-8", "replace").replace('"', "")
        case ast.JoinedStr(values=values):
            return "".join(_text(part) or "?" for part in values)
    return None
