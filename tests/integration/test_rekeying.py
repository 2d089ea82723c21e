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
from imaging_hub.errors import KeyringError, ThirdPartyAway
from imaging_hub.pseudonymisation import identity, rekeying
from imaging_hub.pseudonymisation.chain import level1, project_pseudonym
from imaging_hub.pseudonymisation.identity import Identity
from imaging_hub.pseudonymisation.ins import NotQualified, Qualified
from imaging_hub.pseudonymisation.keyring import Keyring, gateway_keys, project_keys
from imaging_hub.pseudonymisation.rekeying import Resubmitted, resubmit
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.trust import epochs
from imaging_hub.trust.ceremony import Share, key_of
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import Vault

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
    return settings.keys


def everybody(database: Database, keys: Path, third_party: ThirdParty) -> list[str]:
    """The subject of each visit."""
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


def tokens(vault: Vault) -> dict[int, set[str]]:
    with vault.database.begin(Role.OWNER) as owner:
        rows = owner.execute(text("SELECT epoch, token FROM trust.person")).all()
    return {epoch: {row.token for row in rows if row.epoch == epoch} for epoch in {row.epoch for row in rows}}


def rekey(database: Database, keys: Path, vault: Vault, third_party: ThirdParty) -> Resubmitted:
    """Both halves."""
    epochs.begin(vault)
    return resubmit(database, keys, third_party)


def test_everybody_stays_and_nothing_of_the_former_keys_does(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    before, former = everybody(database, keys, third_party), tokens(vault)
    k1, k2 = gateway_keys(keys).key("level1"), trust_keys(vault.keys).key("level2")
    pid = project_pseudonym(project_keys(keys).project_key("pid", "p"), before[0])
    assert rekey(database, keys, vault, third_party) == Resubmitted(2, len(former[1]), 0)
    assert set(tokens(vault)) == {2}
    assert tokens(vault)[2].isdisjoint(former[1])
    for file in (*keys.glob("*.json"), *vault.keys.glob("*.json")):
        assert k1.hex() not in file.read_text()
        assert k2.hex() not in file.read_text()
    forgotten(database)
    assert everybody(database, keys, third_party) == before
    assert project_pseudonym(project_keys(keys).project_key("pid", "p"), before[0]) == pid
    assert rekey(database, keys, vault, third_party).epoch == 3
    forgotten(database)
    assert everybody(database, keys, third_party) == before
    with vault.database.begin(Role.OWNER) as connection:
        assert trail.verify(connection) == 4  # each begun and ended


class Killed(Exception):
    """The process ends here."""


STEPS: tuple[tuple[Any, str, int], ...] = (
    (Keyring, "advance", 1), (Keyring, "advance", 2), (epochs, "_begin", 1), (epochs, "take", 1),
    (epochs, "take", 2), (epochs, "_end", 1), (Keyring, "forget_former", 1), (Keyring, "forget_former", 2),
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step", "call"), STEPS, ids=[f"{step}-{call}" for _, step, call in STEPS])
def test_broken_off_anywhere_nobody_becomes_somebody_new_and_it_goes_on(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty, monkeypatch: pytest.MonkeyPatch,
    owner: Any, step: str, call: int, after: bool,
) -> None:  # fmt: skip
    """Before and after each step, of either keyring and of either batch of identities."""
    before = everybody(database, keys, third_party)
    running = gateway_keys(keys)
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
    # Within the third party it is that process which ends; the gateway's is then told that it does not answer.
    with pytest.raises((Killed, ThirdPartyAway)):
        rekey(database, keys, vault, third_party)
    assert calls == call
    monkeypatch.setattr(owner, step, real)
    _known_or_refused(database, third_party, before, lambda: running)
    _known_or_refused(database, third_party, before, lambda: gateway_keys(keys))
    # Whoever was cut off is called again: first the third party, if it was not done, and then the gateway.
    if (step, call) in (("advance", 1), ("_begin", 1)):
        epochs.begin(vault)
    if (step, call, after) == ("forget_former", 2, True):
        assert refusal(lambda: resubmit(database, keys, third_party)) == "epoch-other"  # nothing is left to do
    else:
        assert resubmit(database, keys, third_party).epoch == 2
    forgotten(database)
    assert everybody(database, keys, third_party) == before
    assert rekey(database, keys, vault, third_party).epoch == 3
    forgotten(database)
    assert everybody(database, keys, third_party) == before
    assert set(tokens(vault)) == {3}


def _known_or_refused(
    database: Database, third_party: ThirdParty, before: list[str], keyring: Callable[[], Keyring]
) -> None:
    """A hub that runs on, or is started now, gives everybody the known subject, or refuses."""
    forgotten(database)
    for (hospital, patient_id, reading), sid in zip(VISITS, before, strict=True):
        try:
            with database.begin(Role.WORKER) as connection:
                who = identity.register(
                    connection, keyring(), third_party, hospital=hospital, patient_id=patient_id, reading=reading
                )
        except ThirdPartyAway as refused:
            assert refused.code in ("rekeying", "keyring-other")
        else:
            assert isinstance(who, Identity)
            assert who.sid == sid


def test_a_hub_that_runs_on_is_refused_until_it_has_the_new_keys(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    everybody(database, keys, third_party)
    old = gateway_keys(keys)
    rekey(database, keys, vault, third_party)
    with pytest.raises(ThirdPartyAway) as refused:
        third_party.subject(level1(old.key("level1"), "IPP|1|CHU|1", old.epoch), "IPP")
    assert refused.value.code == "rekeying"


def test_nothing_is_submitted_to_a_third_party_that_waits_for_nobody(
    database: Database, keys: Path, third_party: ThirdParty
) -> None:
    before = everybody(database, keys, third_party)
    assert refusal(lambda: resubmit(database, keys, third_party)) == "epoch-other"
    with pytest.raises(ThirdPartyAway) as refused:
        third_party.end(2)
    assert refused.value.code == "epoch-other"
    forgotten(database)
    assert everybody(database, keys, third_party) == before


def test_what_no_gateway_submits_again_is_counted_and_destroyed(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    everybody(database, keys, third_party)
    with database.begin(Role.OWNER) as owner:
        owner.execute(text("DELETE FROM identifying.identity WHERE patient_id = '3'"))
    assert rekey(database, keys, vault, third_party).left_behind == 1
    assert set(tokens(vault)) == {2}


def test_a_destroyed_delivery_cannot_be_mapped_back_from_a_backup(vault: Vault) -> None:
    issued = vault.issue_id_acc(["a" * 32], "d", timedelta(days=1))
    with vault.database.begin(Role.OWNER) as owner:
        backup = [dict(row) for row in owner.execute(text("SELECT * FROM trust.id_acc")).mappings()]
    assert "a" * 32 not in str(backup)
    assert vault.destroy("d") == 1
    with vault.database.begin(Role.OWNER) as owner:
        owner.execute(text("DELETE FROM trust.id_acc"))
        owner.execute(
            text(
                "INSERT INTO trust.id_acc (id_acc, sealed_sid, delivery, expires_at)"
                " VALUES (:id_acc, :sealed_sid, :delivery, :expires_at)"
            ),
            backup,
        )
    for again in (vault, Vault(vault.database, vault.keys)):
        assert again.resolve("d", issued.values()) == {}
    assert vault.destroy("d") == 1, "what was restored is destroyed again, with its certificate"


def test_a_destruction_that_is_broken_off_leaves_nothing_that_opens(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, id_acc),) = vault.issue_id_acc(["s"], "d", timedelta(days=1)).items()
    assert vault.resolve("d", [id_acc]) == {id_acc: "s"}

    def killed(_: object) -> None:
        raise Killed

    monkeypatch.setattr(vault.database, "begin", killed)
    with pytest.raises(Killed):
        vault.destroy("d")
    monkeypatch.undo()
    assert vault.resolve("d", [id_acc]) == {}
    assert vault.destroy("d") == 1


def third_partys(vault: Vault, home: Path) -> dict[str, str]:
    """What its commands read, on its own machine."""
    (home / "trust").mkdir(parents=True)
    (home / "trust" / "keys").symlink_to(vault.keys)
    url = vault.database.owner_url.render_as_string(hide_password=False)
    return load(home=home, trust_database_url=url, trust_database_role_password="unused").as_environment()


def test_a_key_of_two_shares_is_made_of_both_and_the_trail_names_them(
    database: Database, keys: Path, vault: Vault, settings_with_third_party: Settings, tmp_path: Path
) -> None:
    """The two commands, beside a third party that runs on."""
    hub = settings_with_third_party
    before = everybody(database, keys, ThirdParty.connect(hub))
    files = [tmp_path / "first", tmp_path / "second"]
    told = [CliRunner().invoke(app, ["share", str(file)]).stdout for file in files]
    its = third_partys(vault, tmp_path / "its")
    done = CliRunner().invoke(app, ["rekey", *map(str, files), "--json"], env=its)
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"epoch": 2}), done.output
    first, second = map(Share.open, files)
    assert first.fingerprint in told[0]
    key = trust_keys(vault.keys).key("level2")
    assert key == key_of(first, second, 2)
    assert key not in (key_of(second, first, 2), key_of(first, second, 3), first.secret, second.secret)
    with vault.database.begin(Role.OWNER) as owner:
        detail = owner.execute(text("SELECT detail FROM audit.entry WHERE action = 'epoch-begun'")).scalar_one()
    assert detail["shares"] == [first.fingerprint, second.fingerprint]
    done = CliRunner().invoke(app, ["resubmit", "--json"], env=hub.as_environment())
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"epoch": 2, "tokens": 4, "left_behind": 0}), done.output
    forgotten(database)
    assert everybody(database, keys, ThirdParty.connect(hub)) == before


def test_shares_that_come_after_it_began_are_refused(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty, tmp_path: Path
) -> None:
    """Else the trail would name shares of which the key is not made."""
    before = everybody(database, keys, third_party)
    late = Share.create(tmp_path / "a"), Share.create(tmp_path / "b")
    assert epochs.begin(vault) == 2
    assert refusal(lambda: epochs.begin(vault, late)) == "share-other"
    assert rekey(database, keys, vault, third_party).epoch == 2
    forgotten(database)
    assert everybody(database, keys, third_party) == before


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
