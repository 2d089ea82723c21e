"""Originals at rest: nothing of them is readable on the disk, who holds the keys opens them, they can be shredded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from dataset_bytes import element
from hypothesis import given
from hypothesis import strategies as st
from originals import original, spool_of
from raw_scu import Instance, RawScu, an_instance, let_in, receiving, rows
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError, NotFound, StorageUnavailable
from imaging_hub.gateway.storage_scp import StorageServer
from imaging_hub.intake import file_encryption, recovery, retention, study_keys
from imaging_hub.intake.file_encryption import CHUNK_BYTES, FileSealer
from imaging_hub.intake.retention import PurgeableOriginal
from imaging_hub.intake.spool import Spool
from imaging_hub.keys.keyring import create_missing, original_keys
from imaging_hub.settings import Settings

KEY = bytes(range(32))


@pytest.fixture
def gateway(settings: Settings, database: Database) -> Iterator[StorageServer]:
    let_in(database)
    with receiving(settings, database) as server:
        yield server


def on_disk(settings: Settings) -> bytes:
    """Every byte of every file below the hub's home but the keys."""
    files = (file for file in settings.home.rglob("*") if file.is_file() and settings.keys not in file.parents)
    return b"".join(file.read_bytes() for file in files)


@pytest.mark.parametrize("pixels", [512, 20 << 20])
def test_nothing_of_an_original_can_be_read_from_the_disk(
    gateway: StorageServer, settings: Settings, database: Database, pixels: int
) -> None:
    one = an_instance(pixels=pixels)
    assert RawScu(gateway.port).store(one) == 0
    (row,) = rows(database)
    assert original(settings, database, row.digest).endswith(one.dataset)
    stored = on_disk(settings)
    assert len(stored) > pixels
    for needle in (b"DUPONT", b"IPP1", b"chu-test", b"DICM", one.sop_instance_uid.encode()):
        assert needle not in stored


def test_while_a_large_one_is_on_its_way_its_part_cannot_be_read_either(
    gateway: StorageServer, settings: Settings
) -> None:
    association = RawScu(gateway.port)
    one = an_instance(pixels=20 << 20)
    association.send_command(0x01, one.sop_class_uid, one.sop_instance_uid, dataset=True)
    association.send_dataset(one.dataset[:-1000], last=False)
    while len(on_disk(settings)) < 8 << 20:
        pass
    assert b"DUPONT" not in on_disk(settings)


def test_a_study_has_one_key_and_hospitals_share_none(gateway: StorageServer, database: Database) -> None:
    let_in(database, "OTHER", hospital="chu-other")
    for title in ("HOSPITAL", "OTHER"):
        association = RawScu(gateway.port, calling=title)
        for number in range(3):
            assert association.store(an_instance(number, study=number // 2)) == 0
    with database.begin(DatabaseRole.OWNER) as connection:
        keys = connection.execute(text("SELECT hospital, wrapped FROM identifying.study_key")).all()
    assert sorted(row.hospital for row in keys) == ["chu-other", "chu-other", "chu-test", "chu-test"]
    assert len({bytes(row.wrapped) for row in keys}) == 4


def test_a_shredded_study_is_not_read_again_not_even_from_a_backup(
    gateway: StorageServer, settings: Settings, database: Database, tmp_path: Path
) -> None:
    association = RawScu(gateway.port)
    assert association.store(an_instance(1, study=1)) == 0
    assert association.store(an_instance(2, study=2)) == 0
    first, second = rows(database)
    spool = spool_of(settings, database)
    backup = spool.path(first.digest).read_bytes()
    with database.begin(DatabaseRole.WORKER) as connection:
        retention.purge(connection, spool, [PurgeableOriginal(first.id, first.digest, None)])
        assert study_keys.shred_unused_keys(connection) == 0, "a receiver may still hold the key"
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.study_key SET used_at = now() - interval '2 days'"))
    with database.begin(DatabaseRole.WORKER) as connection:
        assert study_keys.shred_unused_keys(connection) == 1
    spool.path(first.digest).write_bytes(backup)
    with pytest.raises(NotFound):
        original(settings, database, first.digest)
    assert original(settings, database, second.digest).endswith(an_instance(2, study=2).dataset)


def test_what_belongs_to_no_study_outlives_the_others_of_the_study_it_names(
    gateway: StorageServer, settings: Settings, database: Database
) -> None:
    association = RawScu(gateway.port)
    assert association.store(an_instance(1)) == 0
    homeless = an_instance(2)
    encoded = homeless.dataset.replace(element(0x0020000E, "UI", b"1.2.826.0.3.1\0"), b"")
    assert association.store(Instance(homeless.sop_instance_uid, encoded)) == 0
    first, second = rows(database)
    assert second.reason == "study-or-series-uid-missing"
    spool = spool_of(settings, database)
    with database.begin(DatabaseRole.WORKER) as connection:
        retention.purge(connection, spool, [PurgeableOriginal(first.id, first.digest, None)])
    with database.begin(DatabaseRole.OWNER) as connection:
        connection.execute(text("UPDATE identifying.study_key SET used_at = now() - interval '2 days'"))
    with database.begin(DatabaseRole.WORKER) as connection:
        study_keys.shred_unused_keys(connection)
    assert original(settings, database, second.digest).endswith(encoded)


def test_an_orphan_that_nobody_can_open_keeps_no_receiver_from_starting(
    gateway: StorageServer, settings: Settings, database: Database
) -> None:
    assert RawScu(gateway.port).store(an_instance()) == 0
    (row,) = rows(database)
    spool = spool_of(settings, database)
    altered = bytearray(spool.path(row.digest).read_bytes())
    altered[-1] ^= 1
    for digest in ("ab" * 32, "cd" * 32):
        spool.path(digest).parent.mkdir(exist_ok=True)
        spool.path(digest).write_bytes(altered)
    with database.begin(DatabaseRole.OWNER) as connection:
        assert recovery.recover(connection, spool).orphans == 0
        connection.execute(text("DELETE FROM identifying.study_key"))
        assert recovery.recover(connection, spool_of(settings, database)).orphans == 0
    assert spool.path("ab" * 32).exists(), "it may be opened yet, when keys or database are restored"


def test_an_original_of_before_is_read_as_it_is(settings: Settings, database: Database) -> None:
    let_in(database)
    with receiving(settings, database, seal_originals=False) as server:
        assert RawScu(server.port).store(an_instance()) == 0
    (row,) = rows(database)
    assert Spool(settings.spool, None).read(row.digest) == original(settings, database, row.digest)
    assert b"DUPONT" in on_disk(settings)


def test_when_nothing_is_sealed_any_more_what_was_sealed_is_still_read(
    gateway: StorageServer, settings: Settings, database: Database
) -> None:
    assert RawScu(gateway.port).store(an_instance()) == 0
    (row,) = rows(database)
    plain = settings.model_copy(update={"seal_originals": False})
    assert original(plain, database, row.digest).endswith(an_instance().dataset)


def test_the_keys_of_another_hub_open_nothing(gateway: StorageServer, settings: Settings, database: Database) -> None:
    assert RawScu(gateway.port).store(an_instance()) == 0
    (row,) = rows(database)
    with pytest.raises(StorageUnavailable):
        Spool(settings.spool, None).read(row.digest)
    (settings.keys / "originals.json").unlink()
    create_missing(settings.keys)
    with pytest.raises(StorageUnavailable) as fault:
        original(settings, database, row.digest)
    assert fault.value.code == "original-unreadable"
    assert "originals.json" in fault.value.hint
    assert (settings.keys / "originals.json").read_text().count("chu-test") == 0, "a new key would open nothing"
    with database.begin(DatabaseRole.OWNER) as connection:
        assert study_keys.list_locked_hospitals(connection, original_keys(settings.keys)) == ["chu-test"]


def sealed(*pieces: bytes) -> bytes:
    sealer = FileSealer()
    body = b"".join(map(bytes, sealer.seal(*pieces))) + bytes(sealer.finish())
    return sealer.header(UUID(int=7), KEY) + body


def opened(file: bytes, wanted: int | None = None) -> bytes:
    return bytes(file_encryption.open_sealed_file(BytesIO(file), KEY).read(wanted))


@given(st.lists(st.integers(0, CHUNK_BYTES + 5), max_size=4), st.binary(min_size=1, max_size=64))
def test_what_is_sealed_opens_as_it_was(sizes: list[int], pattern: bytes) -> None:
    pieces = [(pattern * (size // len(pattern) + 1))[:size] for size in sizes]
    file = sealed(*pieces)
    assert opened(file) == b"".join(pieces)
    assert file_encryption.open_sealed_file(BytesIO(file), KEY).size == len(b"".join(pieces))
    assert opened(file, 1) == b"".join(pieces)[:CHUNK_BYTES]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: file_encryption.HEADER_BYTES + CHUNK_BYTES + 16],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
        lambda data: _exchanged(data),
        lambda data: data + b"more",
        lambda data: data[:-20] + data[-17:],
        lambda data: data[: file_encryption.HEADER_BYTES],
    ],
    ids=[
        *("cut", "without its last chunk", "a bit of a chunk", "a bit of the key", "chunks exchanged", "longer"),
        *("less than a tag left", "no chunk"),
    ],
)
def test_what_was_altered_does_not_open(damage: Callable[[bytes], bytes]) -> None:
    whole = sealed(bytes(CHUNK_BYTES), b"\1" * CHUNK_BYTES, b"rest")
    assert len(opened(whole)) == 2 * CHUNK_BYTES + 4
    with pytest.raises(HubError):
        opened(damage(whole))


@pytest.mark.parametrize("size", [0, 10, 1 << 20, (1 << 20) + 1, 5 << 19])
def test_what_was_sealed_in_the_larger_chunks_of_before_is_still_read(size: int) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    cipher, key = AESGCM(KEY), bytes(reversed(KEY))
    pieces = [content[begin : begin + (1 << 20)] for begin in range(0, max(size, 1), 1 << 20)]
    file = b"IHUBAES1" + UUID(int=7).bytes + aes_key_wrap(key, KEY)
    for number, piece in enumerate(pieces):
        file += cipher.encrypt(number.to_bytes(11, "big") + bytes((piece is pieces[-1],)), piece, None)
    assert file_encryption.read_key_id(file) == UUID(int=7)
    assert bytes(file_encryption.open_sealed_file(BytesIO(file), key).read()) == content
    assert bytes(file_encryption.open_sealed_file(BytesIO(file), key).read(1)) == content[: 1 << 20]


def _exchanged(data: bytes) -> bytes:
    first, size = file_encryption.HEADER_BYTES, CHUNK_BYTES + 16
    return data[:first] + data[first + size : first + 2 * size] + data[first : first + size] + data[first + 2 * size :]
