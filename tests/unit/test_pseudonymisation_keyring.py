"""Keys that only their owner can read, made once and never replaced in silence."""

from __future__ import annotations

import json
import multiprocessing
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from imaging_hub.errors import KeyringError
from imaging_hub.keys.keyring import Keyring, access_key, create_missing, gateway_keys, hub_keys, project_keys
from imaging_hub.trust import keyrings


def code_of(path: Path) -> str:
    with pytest.raises(KeyringError) as refused:
        Keyring.open(path)
    return refused.value.code


def test_a_keyring_is_created_0600_and_read_back(tmp_path: Path) -> None:
    made = Keyring.create(tmp_path / "keys" / "k.json", ("level1",))
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert len(made.key("level1")) == 32
    assert Keyring.open(made.path).key("level1") == made.key("level1")
    assert made.key("level1").hex() not in repr(made)


def test_create_never_writes_over_a_keyring(tmp_path: Path) -> None:
    first = Keyring.create(tmp_path / "k.json", ("level1",))
    with pytest.raises(KeyringError, match="already there"):
        Keyring.create(first.path, ("level1",))
    assert Keyring.open(first.path).key("level1") == first.key("level1")
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_a_keyring_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = Keyring.create(tmp_path / "k.json", ("level1",)).path
    path.chmod(mode)
    assert code_of(path) == "keyring-exposed"


def test_a_link_to_a_keyring_is_refused(tmp_path: Path) -> None:
    path = Keyring.create(tmp_path / "k.json", ("level1",)).path
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert code_of(link) == "keyring-missing"


@pytest.mark.parametrize(
    "key", ["00" * 32, "ab" * 32, "deadbeef" * 8, bytes(range(32)).hex(), bytes(range(31, -1, -1)).hex()]
)
def test_sample_keys_are_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"format": "imaging-hub-keyring-1", "epoch": 1, "keys": {"level1": key}}))
    path.chmod(0o600)
    assert code_of(path) == "key-weak"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format": "imaging-hub-keyring-1", "epoch": 1, "keys": {"a": "12"}}']
)
def test_what_is_not_a_keyring_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k.json"
    path.write_text(content)
    path.chmod(0o600)
    assert code_of(path) == "keyring-malformed"


def test_first_start_makes_keyrings_of_unlike_keys(tmp_path: Path) -> None:
    own = tmp_path / "third-partys"
    for _ in range(2):
        create_missing(tmp_path)
        keyrings.create_missing(own, filled=False)
    assert {path.name for path in own.glob("*.json")} == {"trust.json", "access.json"}
    assert not set(own.glob("*.json")) & set(tmp_path.glob("*.json"))
    hub = hub_keys(tmp_path)
    keys = [
        gateway_keys(tmp_path).key("level1"),
        keyrings.trust_keys(own).key("level2"),
        bytes.fromhex(access_key(own)),
    ]
    keys += [hub.key(name) for name in ("pseudonym", "date-shift", "uid")]
    keys += [project_keys(tmp_path).project_key("pid", "a"), project_keys(tmp_path).project_key("uid", "a")]
    assert len(set(keys)) == 8


def test_a_lost_keyring_is_not_replaced(tmp_path: Path) -> None:
    create_missing(tmp_path)
    (tmp_path / "hub.json").unlink()
    with pytest.raises(KeyringError) as refused:
        create_missing(tmp_path)
    assert refused.value.code == "keyring-lost"
    assert not (tmp_path / "hub.json").exists()


def test_a_project_has_its_own_keys_until_they_are_destroyed(tmp_path: Path) -> None:
    create_missing(tmp_path)
    keys = project_keys(tmp_path)
    first = keys.project_key("pid", "alpha")
    assert keys.project_key("pid", "beta") != first
    assert project_keys(tmp_path).project_key("pid", "alpha") == first
    keys.destroy_project_keys("alpha")
    assert first.hex() not in (tmp_path / "projects.json").read_text()
    assert keys.project_key("pid", "alpha") != first


def _keys_of(folder: Path, projects: list[str]) -> dict[str, bytes]:
    return {project: project_keys(folder).project_key("pid", project) for project in projects}


def test_processes_that_ask_at_once_lose_no_key(tmp_path: Path) -> None:
    create_missing(tmp_path)
    shared = [[f"p{number}" for number in range(40)]] * 2
    own = [[f"q{worker}-{number}" for number in range(40)] for worker in range(2)]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        given = list(pool.map(_keys_of, [tmp_path] * 4, shared + own))
    assert given[0] == given[1]
    kept = project_keys(tmp_path)
    for project, key in [pair for keys in given for pair in keys.items()]:
        assert kept.key(f"pid:{project}") == key
