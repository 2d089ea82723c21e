"""An object is named by the index, or it is removed: whoever comes second sees what the first has done."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from archived import admit_in, deidentified, slice_of
from locks import until_somebody_waits

from imaging_hub.archive import object_removal
from imaging_hub.archive.objects import ObjectStore, StoredObject
from imaging_hub.database import Database, DatabaseRole

INSTANCE = deidentified(slice_of("2.25.100", "2.25.200", 1))


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "objects").as_uri())


@pytest.fixture
def stored(objects: ObjectStore) -> StoredObject:
    return objects.put(INSTANCE.part10)


def _forget(database: Database, objects: ObjectStore, digest: str) -> None:
    with database.begin(DatabaseRole.WORKER) as connection:
        object_removal.remove_unreferenced(connection, objects, [digest])


def test_what_is_about_to_be_indexed_is_not_removed(
    database: Database, objects: ObjectStore, stored: StoredObject
) -> None:
    with database.begin(DatabaseRole.WORKER) as connection:
        assert object_removal.protect_objects(connection, objects, [stored.digest]) == set()
        refusing = Thread(target=_forget, args=(database, objects, stored.digest))
        refusing.start()
        until_somebody_waits(database)
        assert objects.exists(stored.digest)
        admit_in(connection, [INSTANCE])
    refusing.join()
    assert objects.exists(stored.digest)


def test_what_was_removed_is_not_indexed(database: Database, objects: ObjectStore, stored: StoredObject) -> None:
    _forget(database, objects, stored.digest)
    with database.begin(DatabaseRole.WORKER) as connection:
        assert object_removal.protect_objects(connection, objects, [stored.digest]) == {stored.digest}


def test_a_bucket_too_knows_what_is_missing() -> None:
    objects = ObjectStore("memory://")
    stored = objects.put(INSTANCE.part10)
    assert objects.missing([stored.digest, "0" * 64]) == {"0" * 64}
