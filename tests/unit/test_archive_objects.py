"""The object store: one name, one content, for ever."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from imaging_hub.archive.objects import ObjectStore
from imaging_hub.errors import NotFound, StorageUnavailable


@pytest.fixture(params=["file", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return ObjectStore((tmp_path / "objects").as_uri() if request.param == "file" else "memory:///")


def test_an_object_is_found_under_the_digest_of_its_bytes(objects: ObjectStore) -> None:
    stored = objects.put([b"first ", memoryview(b"second")])
    assert stored.digest == hashlib.sha256(b"first second").hexdigest()
    assert stored.size == 12 == objects.size(stored.digest)
    assert objects.get(stored.digest) == b"first second"


def test_ranges_and_streams_give_the_bytes_asked_for(objects: ObjectStore) -> None:
    content = os.urandom(300_000)
    digest = objects.put([content]).digest
    assert objects.get_range(digest, 5, 1005) == content[5:1005]
    assert objects.get_range(digest, 299_990, 400_000) == content[299_990:]
    assert objects.get_range(digest, 7, 7) == b""
    assert objects.get_range(digest, 300_000, 300_012) == b""
    with objects.open(digest) as file:
        file.seek(1000)
        assert file.read(1000) == content[1000:2000]
    assert b"".join(objects.stream(digest, chunk=4096)) == content
    assert b"".join(objects.stream(digest, 1000, 2000)) == content[1000:2000]
    assert b"".join(objects.stream(digest, 1000)) == content[1000:]


def test_an_empty_object_is_an_object(objects: ObjectStore) -> None:
    assert objects.get(objects.put([]).digest) == b""


def test_a_second_put_changes_nothing(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path.as_uri())
    stored = objects.put([b"once"])
    file = tmp_path / stored.digest[:2] / stored.digest
    before = file.stat()
    assert objects.put([b"on", b"ce"]) == stored
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_of_writing_but_the_object(tmp_path: Path) -> None:
    stored = ObjectStore(tmp_path.as_uri()).put([b"x"])
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [stored.digest]


@pytest.mark.parametrize("digest", ["0" * 64, "", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_is_not_found(objects: ObjectStore, digest: str) -> None:
    with pytest.raises(NotFound):
        objects.get(digest)
    assert not objects.exists(digest)


def test_a_flipped_bit_is_never_handed_out_as_whole(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path.as_uri())
    digest = objects.put([b"pixels"]).digest
    (tmp_path / digest[:2] / digest).write_bytes(b"pixelz")
    with pytest.raises(StorageUnavailable) as fault:
        objects.get(digest)
    assert fault.value.code == "object-damaged"


def test_a_torn_object_is_not_taken_for_the_stored_one(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path.as_uri())
    digest = objects.put([b"pixels"]).digest
    (tmp_path / digest[:2] / digest).write_bytes(b"pix")
    with pytest.raises(StorageUnavailable):
        objects.put([b"pixels"])


def test_a_full_disk_is_a_fault_with_a_cure_and_leaves_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = ObjectStore(tmp_path.as_uri())

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageUnavailable) as fault:
        objects.put([b"x"])
    assert fault.value.hint
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_several_are_put_as_one_by_one_and_the_same_twice_is_one_object(objects: ObjectStore) -> None:
    objects.put([b"there already"])
    stored = objects.put_all([[b"a", b"b"], [b"there already"], [b"ab"], []])
    assert stored == [objects.put([content]) for content in (b"ab", b"there already", b"ab", b"")]
    assert [objects.get(one.digest) for one in stored] == [b"ab", b"there already", b"ab", b""]


def test_nothing_but_the_objects_stays_in_their_folder(tmp_path: Path) -> None:
    stored = ObjectStore(tmp_path.as_uri()).put_all([[b"a"], [b"b"]])
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {one.digest for one in stored}
