"""The index in files: always what the database says, written anew only where it changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import Connection, text

from imaging_hub.archive import index
from imaging_hub.cohorts import index_files
from imaging_hub.cohorts.index_files import IndexFiles
from imaging_hub.database import Database, DatabaseRole
from tests.cohort_oracle import index_series
from tests.dense_tables import a_dense_world

AWKWARD = 'a "quoted", name;\n{with} a line'


@pytest.fixture
def indexed(database: Database, tmp_path: Path) -> Database:
    """Eighty linked subjects and their series."""
    index_series(database, a_dense_world(tmp_path, random.Random(7)))
    return database


def held(database: Database, tables: Path) -> tuple[str, list[tuple[Any, ...]]]:
    """The digest of what is held, and the rows: of links, and of series."""
    with database.begin(DatabaseRole.WEB) as connection, index_files.open_index_files(connection, tables) as files:
        return files.digest, rows_of(files)


def rows_of(files: IndexFiles) -> list[tuple[Any, ...]]:
    with duckdb.connect() as reading:
        found = [reading.read_parquet([str(path) for path in some]).fetchall() for some in (files.link, files.series)]
    return sorted((repr(row), row) for rows in found for row in rows)


def done(database: Database, statement: str, **values: object) -> None:
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text(statement), values)


_A_SERIES = "(SELECT series_instance_uid FROM hub.series ORDER BY md5(series_instance_uid || :draw) LIMIT 1)"
_A_STUDY = "(SELECT study_instance_uid FROM hub.study ORDER BY md5(study_instance_uid || :draw) LIMIT 1)"
_A_LINK = "(SELECT sid FROM hub.link ORDER BY md5(sid || :draw) LIMIT 1)"
CHANGES = {
    "a series is rejected": f"UPDATE hub.series SET review_state = 'REJECTED' WHERE series_instance_uid = {_A_SERIES}",
    "a series is approved": f"UPDATE hub.series SET review_state = 'APPROVED' WHERE series_instance_uid = {_A_SERIES}",
    "a series grows": f"UPDATE hub.series SET instances = instances + 1 WHERE series_instance_uid = {_A_SERIES}",
    "a series goes": f"DELETE FROM hub.series WHERE series_instance_uid = {_A_SERIES}",
    "a study is vetoed": f"UPDATE hub.study SET state = 'VETOED' WHERE study_instance_uid = {_A_STUDY}",
    "a study gets a day": f"UPDATE hub.study SET study_date = '2020-01-09' WHERE study_instance_uid = {_A_STUDY}",
    "a study is another's": f"UPDATE hub.study SET sid = {_A_LINK} WHERE study_instance_uid = {_A_STUDY}",
    "a series is of another study": f"UPDATE hub.series SET study_instance_uid = {_A_STUDY}"
    f" WHERE series_instance_uid = {_A_SERIES}",
    "a link goes": f"DELETE FROM hub.link WHERE sid = {_A_LINK}",
    "a link is better": f"UPDATE hub.link SET score = 0.5 WHERE sid = {_A_LINK}",
    "somebody opposes": f"INSERT INTO hub.opposition (sid) VALUES ({_A_LINK}) ON CONFLICT DO NOTHING",
    "somebody changes their mind": "UPDATE hub.opposition SET lifted_at = now() WHERE lifted_at IS NULL",
    "a series comes": "INSERT INTO hub.series (series_instance_uid, study_instance_uid, modality, sop_class_uid, model,"
    " kernel, instances, profile, needs_review, review_state, content_digest)"
    f" VALUES (:draw, {_A_STUDY}, 'CT', '1.2', :awkward, '', 1, 'p@0', false, 'NOT_NEEDED', 'c')",
}


def test_whatever_changes_the_files_are_the_rows_of_the_database(indexed: Database, tmp_path: Path) -> None:
    """Each kind of change, one after the other and in any order."""
    chance = random.Random(11)
    digests = {held(indexed, tmp_path)[0]}
    for number, what in enumerate([*CHANGES, *chance.sample(list(CHANGES), len(CHANGES))]):
        done(indexed, CHANGES[what], draw=str(number), awkward=AWKWARD)
        digest, rows = held(indexed, tmp_path)
        assert rows == rows_of_the_database(indexed), what
        digests.add(digest)
    assert len(digests) > len(CHANGES)
    assert held(indexed, tmp_path) == held(indexed, tmp_path / "new")
    names = [(row[8], row[9]) for _, row in rows if len(row) > 9]
    assert ("", AWKWARD) in names, "an empty value is not a missing one"


def rows_of_the_database(database: Database) -> list[tuple[Any, ...]]:
    with database.begin(DatabaseRole.OWNER) as owner:
        series = owner.execute(
            text(
                "SELECT st.sid, s.series_instance_uid, s.content_digest, st.study_date, s.modality, s.body_part,"
                " s.contrast, s.manufacturer, s.kernel, s.model, s.slice_thickness_mm, s.slice_spacing_mm,"
                " s.pixel_spacing_mm, s.kvp, s.magnetic_field_t, s.image_type, s.instances, s.is_scout, s.is_derived"
                " FROM hub.series s JOIN hub.study st USING (study_instance_uid) JOIN hub.link l ON l.sid = st.sid"
                " LEFT JOIN hub.opposition o ON o.sid = l.sid AND o.lifted_at IS NULL"
                " WHERE o.sid IS NULL AND s.review_state <> 'REJECTED' AND st.state <> 'VETOED'"
            )
        ).all()
        links = owner.execute(
            text(
                "SELECT sid, snds_person, method, score FROM hub.link"
                " WHERE NOT EXISTS (SELECT 1 FROM hub.opposition o WHERE o.sid = link.sid AND lifted_at IS NULL)"
            )
        ).all()
    return sorted((repr(tuple(row)), tuple(row)) for row in (*links, *series))


def test_what_did_not_change_is_not_written_again(indexed: Database, tmp_path: Path) -> None:
    before, _ = held(indexed, tmp_path)
    old = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert held(indexed, tmp_path)[0] == before
    done(indexed, CHANGES["a series grows"], draw="1", awkward="")
    assert held(indexed, tmp_path)[0] != before
    new = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert len(new.items() - old.items()) == 2, "of one bucket: its links and its series"
    assert len(new) == len(old), "and those before are gone"
    done(indexed, "UPDATE hub.series SET instances = instances - 1 WHERE series_instance_uid ="
         + _A_SERIES, draw="1")  # fmt: skip
    assert held(indexed, tmp_path)[0] == before, "the same rows are the same data version, whatever came between"


def test_nothing_linked_is_a_table_too(database: Database, tmp_path: Path) -> None:
    assert held(database, tmp_path)[1] == []


def test_writers_do_not_wait_for_each_other_and_each_commit_is_noticed(indexed: Database, tmp_path: Path) -> None:
    """Of two transactions on one bucket the first to begin is the last to end."""
    with indexed.begin(DatabaseRole.OWNER) as owner:
        sid = owner.execute(text("SELECT sid FROM hub.link ORDER BY sid LIMIT 1")).scalar_one()
    add = text(
        "INSERT INTO hub.study (study_instance_uid, sid, finess, state) VALUES (:uid, :sid, '990000101', 'RELEASABLE')"
    )
    before = _version_of(indexed, sid)
    with (
        indexed.engine(DatabaseRole.WORKER).connect() as first,
        indexed.engine(DatabaseRole.WORKER).connect() as second,
    ):
        for connection, uid in ((first, "8.1"), (second, "8.2")):
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            connection.execute(add, {"uid": uid, "sid": sid})
        assert _version_of(indexed, sid) == before
        second.commit()
        between = _version_of(indexed, sid)
        first.commit()
    assert len({before, between, _version_of(indexed, sid)}) == 3
    after = _version_of(indexed, sid)
    held(indexed, tmp_path)
    old = sorted((tmp_path / "index").iterdir())
    with indexed.begin(DatabaseRole.WORKER) as connection:
        index.fold_changes(connection)
        assert connection.execute(text("SELECT count(*) FROM hub.index_change")).scalar_one() == 0
    assert _version_of(indexed, sid) == after, "what was noted is put together, and means the same"
    held(indexed, tmp_path)
    assert sorted((tmp_path / "index").iterdir()) == old


def test_files_stay_as_long_as_somebody_reads_them(indexed: Database, tmp_path: Path) -> None:
    with indexed.begin(DatabaseRole.WEB) as connection, index_files.open_index_files(connection, tmp_path) as reading:
        rows = rows_of(reading)
        done(indexed, CHANGES["a link goes"], draw="1")
        assert held(indexed, tmp_path)[1] != rows
        assert rows_of(reading) == rows
    done(indexed, CHANGES["a link goes"], draw="2")
    held(indexed, tmp_path)
    assert not all(path.exists() for path in reading.series)


def test_what_a_killed_writer_left_is_cleared_away(
    indexed: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended before each of its names is given, or after it: the next one finds all."""
    real: Callable[..., Any] = Path.rename

    def killed_at(stop: int) -> Callable[[Path, Path], Path]:
        calls = iter(range(1, 1000))

        def killed(self: Path, target: Path) -> Path:
            if next(calls) == stop:
                raise KeyboardInterrupt
            return real(self, target)  # type: ignore[no-any-return]

        return killed

    for stop in (1, 2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killed_at(stop))
            patch.setattr(index_files.shutil, "rmtree", lambda _: None)
            with pytest.raises(KeyboardInterrupt):
                held(indexed, tmp_path)
    assert list((tmp_path / "index").glob(".draft-*"))
    assert held(indexed, tmp_path) == held(indexed, tmp_path / "new")
    assert not list((tmp_path / "index").glob(".draft-*"))
    links = {path.name.partition("-")[2] for path in (tmp_path / "index").glob("link-*")}
    assert links == {path.name.partition("-")[2] for path in (tmp_path / "index").glob("series-*")}
    assert len(list((tmp_path / "index").iterdir())) == 2 * len(links)


def _version_of(database: Database, sid: str) -> int:
    def asked(connection: Connection) -> int:
        return int(
            connection.execute(
                text("SELECT version FROM hub.index_version WHERE bucket = hub.bucket(:sid)"), {"sid": sid}
            ).scalar_one()
        )

    with database.begin(DatabaseRole.WEB) as connection:
        return asked(connection)
