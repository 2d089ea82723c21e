"""New keys for the chain of pseudonyms: everybody stays who they are, wherever it is broken off."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from imaging_hub.audit import trail
from imaging_hub.cli.trust import app
from imaging_hub.database import Database, Role
from imaging_hub.errors import KeyringError
from imaging_hub.pseudonymisation import identity, rekeying
from imaging_hub.pseudonymisation.ceremony import Share, key_of
from imaging_hub.pseudonymisation.chain import project_pseudonym
from imaging_hub.pseudonymisation.identity import Identity
from imaging_hub.pseudonymisation.ins import NotQualified, Qualified
from imaging_hub.pseudonymisation.keyring import Keyring, create_missing, gateway_keys, project_keys, trust_keys
from imaging_hub.pseudonymisation.rekeying import rekey
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings

MARIE = Qualified("279035121518989", date(1979, 3, 4), "2")
PAUL = Qualified("180035100100133", date(1980, 3, 1), "1")
NONE = NotQualified("no-ins")
VISITS = (
    ("CHU", "1", MARIE),
    ("CLINIQUE", "A7", MARIE),
    ("CHU", "2", PAUL),
    ("CHU", "3", NONE),
    ("CLINIQUE", "B", NONE),
)


@pytest.fixture
def keys(settings: Settings) -> Path:
    create_missing(settings.keys)
    return settings.keys


def everybody(database: Database, keys: Path) -> list[str]:
    """The subject of each visit."""
    third_party = ThirdParty(database, trust_keys(keys))
    found = []
    for hospital, patient_id, reading in VISITS:
        with database.begin(Role.WORKER) as connection:
            who = identity.register(
                connection, gateway_keys(keys), third_party, hospital=hospital, patient_id=patient_id, reading=reading
            )
        assert isinstance(who, Identity)
        found.append(who.sid)
    return found


def forgotten(database: Database) -> None:
    """The identifying zone no longer knows the subjects, so that each is asked for again."""
    with database.begin(Role.OWNER) as owner:
        owner.execute(text("UPDATE identifying.identity SET sid = NULL"))


def tokens(database: Database) -> dict[int, set[str]]:
    with database.begin(Role.OWNER) as owner:
        rows = owner.execute(text("SELECT epoch, token FROM trust.person")).all()
    return {epoch: {row.token for row in rows if row.epoch == epoch} for epoch in {row.epoch for row in rows}}


def test_everybody_stays_and_nothing_of_the_former_keys_does(database: Database, keys: Path) -> None:
    before, former = everybody(database, keys), tokens(database)
    k1, k2 = gateway_keys(keys).key("level1"), trust_keys(keys).key("level2")
    pid = project_pseudonym(project_keys(keys).project_key("pid", "p"), before[0])
    done = rekey(database, keys)
    assert (done.epoch, done.tokens, done.left_behind) == (2, len(former[1]), 0)
    assert set(tokens(database)) == {2}
    assert tokens(database)[2].isdisjoint(former[1])
    for file in keys.glob("*.json"):
        assert k1.hex() not in file.read_text()
        assert k2.hex() not in file.read_text()
    forgotten(database)
    assert everybody(database, keys) == before
    assert project_pseudonym(project_keys(keys).project_key("pid", "p"), before[0]) == pid
    assert rekey(database, keys).epoch == 3
    forgotten(database)
    assert everybody(database, keys) == before
    with database.begin(Role.OWNER) as connection:
        assert trail.verify(connection) == 2


class Killed(Exception):
    """The process ends here."""


STEPS: tuple[tuple[Any, str, int], ...] = (
    (Keyring, "advance", 1), (Keyring, "advance", 2), (rekeying, "_begin", 1), (rekeying, "_take", 1),
    (rekeying, "_take", 2), (rekeying, "_end", 1), (Keyring, "forget_former", 1), (Keyring, "forget_former", 2),
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step", "call"), STEPS, ids=[f"{step}-{call}" for _, step, call in STEPS])
def test_broken_off_anywhere_nobody_becomes_somebody_new_and_it_goes_on(
    database: Database, keys: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, call: int, after: bool
) -> None:
    """Before and after each step, of either keyring and of either batch of identities."""
    before = everybody(database, keys)
    running = gateway_keys(keys), ThirdParty(database, trust_keys(keys))
    monkeypatch.setattr(rekeying, "_AT_ONCE", 3)
    real: Callable[..., Any] = getattr(owner, step)
    calls = 0

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        found = real(*arguments)
        if calls == call:
            raise Killed
        return found

    monkeypatch.setattr(owner, step, killed)
    with pytest.raises(Killed):
        rekey(database, keys)
    monkeypatch.setattr(owner, step, real)
    _known_or_refused(database, before, lambda: running)
    _known_or_refused(database, before, lambda: (gateway_keys(keys), ThirdParty(database, trust_keys(keys))))
    assert rekey(database, keys).epoch == (3 if (step, call, after) == ("forget_former", 2, True) else 2)
    forgotten(database)
    assert everybody(database, keys) == before
    assert len(tokens(database)) == 1


def _known_or_refused(database: Database, before: list[str], opened: Callable[[], tuple[Keyring, ThirdParty]]) -> None:
    """A hub that runs on, or is started now, gives everybody the known subject, or refuses."""
    forgotten(database)
    for (hospital, patient_id, reading), sid in zip(VISITS, before, strict=True):
        try:
            keyring, third_party = opened()
            with database.begin(Role.WORKER) as connection:
                who = identity.register(
                    connection, keyring, third_party, hospital=hospital, patient_id=patient_id, reading=reading
                )
        except KeyringError as refused:
            assert refused.code in ("rekeying", "keyring-other")
        else:
            assert isinstance(who, Identity)
            assert who.sid == sid


def test_a_hub_that_runs_on_is_refused_until_it_has_the_new_keys(database: Database, keys: Path) -> None:
    everybody(database, keys)
    old = ThirdParty(database, trust_keys(keys))
    rekey(database, keys)
    with pytest.raises(KeyringError) as refused:
        old.subject("h1e01-X", "INS")
    assert refused.value.code == "rekeying"


def test_what_no_gateway_submits_again_is_counted_and_destroyed(database: Database, keys: Path) -> None:
    everybody(database, keys)
    with database.begin(Role.OWNER) as owner:
        owner.execute(text("DELETE FROM identifying.identity WHERE patient_id = '3'"))
    done = rekey(database, keys)
    assert done.left_behind == 1
    assert set(tokens(database)) == {2}


def test_a_destroyed_delivery_cannot_be_mapped_back_from_a_backup(database: Database, keys: Path) -> None:
    third_party = ThirdParty(database, trust_keys(keys))
    issued = third_party.issue_id_acc(["a" * 32], "d", timedelta(days=1))
    with database.begin(Role.OWNER) as owner:
        backup = [dict(row) for row in owner.execute(text("SELECT * FROM trust.id_acc")).mappings()]
    assert "a" * 32 not in str(backup)
    assert third_party.destroy("d") == 1
    with database.begin(Role.OWNER) as owner:
        owner.execute(text("DELETE FROM trust.id_acc"))
        owner.execute(
            text(
                "INSERT INTO trust.id_acc (id_acc, sealed_sid, delivery, expires_at)"
                " VALUES (:id_acc, :sealed_sid, :delivery, :expires_at)"
            ),
            backup,
        )
    (id_acc,) = issued.values()
    for again in (third_party, ThirdParty(database, trust_keys(keys))):
        assert again.resolve("d", id_acc) is None
    assert third_party.destroy("d") == 1, "what was restored is destroyed again, with its certificate"


def test_a_destruction_that_is_broken_off_leaves_nothing_that_opens(
    database: Database, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third_party = ThirdParty(database, trust_keys(keys))
    ((_, id_acc),) = third_party.issue_id_acc(["s"], "d", timedelta(days=1)).items()
    assert third_party.resolve("d", id_acc) == "s"

    def killed(_: object) -> None:
        raise Killed

    monkeypatch.setattr(third_party._database, "begin", killed)
    with pytest.raises(Killed):
        third_party.destroy("d")
    monkeypatch.undo()
    assert third_party.resolve("d", id_acc) is None
    assert third_party.destroy("d") == 1


def test_the_command_refuses_beside_a_worker_and_says_what_it_did(
    database: Database, keys: Path, settings: Settings
) -> None:
    everybody(database, keys)
    beside = CliRunner().invoke(app, ["rekey"], env=settings.as_environment())
    assert isinstance(beside.exception, KeyringError)
    assert beside.exception.code == "vault-in-use"
    database.dispose()
    done = CliRunner().invoke(app, ["rekey", "--json"], env=settings.as_environment())
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"epoch": 2, "tokens": 4, "left_behind": 0}


def test_a_key_of_two_shares_is_made_of_both_and_the_trail_names_them(
    database: Database, keys: Path, settings: Settings, tmp_path: Path
) -> None:
    before = everybody(database, keys)
    database.dispose()
    files = [tmp_path / "first", tmp_path / "second"]
    told = [CliRunner().invoke(app, ["share", str(file)]).stdout for file in files]
    done = CliRunner().invoke(app, ["rekey", *map(str, files), "--json"], env=settings.as_environment())
    assert done.exit_code == 0, done.output
    first, second = map(Share.open, files)
    assert first.fingerprint in told[0]
    key = trust_keys(keys).key("level2")
    assert key == key_of(first, second, 2)
    assert key not in (key_of(second, first, 2), key_of(first, second, 3), first.secret, second.secret)
    with database.begin(Role.OWNER) as owner:
        detail = owner.execute(text("SELECT detail FROM audit.entry WHERE action = 'vault-rekeyed'")).scalar_one()
    assert detail["shares"] == [first.fingerprint, second.fingerprint]
    forgotten(database)
    assert everybody(database, keys) == before


def test_shares_that_come_after_it_began_are_refused(
    database: Database, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the trail would name shares of which the key is not made."""
    before = everybody(database, keys)
    late = Share.create(tmp_path / "a"), Share.create(tmp_path / "b")

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(rekeying, "_begin", killed)
    with pytest.raises(Killed):
        rekey(database, keys)
    monkeypatch.undo()
    assert refusal(lambda: rekey(database, keys, late)) == "share-other"
    assert rekey(database, keys).epoch == 2
    forgotten(database)
    assert everybody(database, keys) == before


def test_a_share_is_of_one_custodian_alone(tmp_path: Path, settings: Settings) -> None:
    share, other = Share.create(tmp_path / "s"), tmp_path / "other"
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert share.secret.hex() not in repr(share)
    other.write_text("00")
    other.chmod(0o600)
    for path, code in ((tmp_path / "none", "share-missing"), (other, "share-malformed")):
        assert refusal(lambda path=path: Share.open(path)) == code
    (tmp_path / "s").chmod(0o640)
    assert refusal(lambda: Share.open(tmp_path / "s")) == "share-exposed"
    assert refusal(lambda: Share.create(tmp_path / "s")) == "share-exists"
    assert refusal(lambda: key_of(share, share, 2)) == "share-alone"
    assert CliRunner().invoke(app, ["rekey", "one"], env=settings.as_environment()).exit_code == 2


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(KeyringError) as refused:
        attempt()
    return refused.value.code
