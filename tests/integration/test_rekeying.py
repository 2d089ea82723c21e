"""New keys for the chain of pseudonyms: everybody stays who they are, wherever it is broken off."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer.testing import CliRunner
from voprf.ristretto import Evaluator

from imaging_hub.audit import trail
from imaging_hub.cli.trust import app
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import KeyringError, ThirdPartyUnavailable
from imaging_hub.keys.keyring import Keyring, access_key, gateway_keys, project_keys
from imaging_hub.keys.pseudonym_chain import ins_message, level1, level2, project_pseudonym
from imaging_hub.pseudonymisation import identity, rekeying
from imaging_hub.pseudonymisation.identity import PatientIdentity
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.rekeying import ResubmissionReport, resubmit
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.trust import epochs
from imaging_hub.trust.app import create_app
from imaging_hub.trust.ceremony import KeyShare, combine_shares
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import Vault

MARIE = QualifiedIns("279035121518989", date(1979, 3, 4), "2")
PAUL = QualifiedIns("180035100100133", date(1980, 3, 1), "1")
NONE = UnqualifiedIns("no-ins")
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
        with database.begin(DatabaseRole.WORKER) as connection:
            who = identity.register(
                connection, gateway_keys(keys), third_party, hospital=hospital, patient_id=patient_id, reading=reading
            )
        assert isinstance(who, PatientIdentity)
        found.append(who.sid)
    return found


def forgotten(database: Database) -> None:
    """The identifying zone no longer knows the subjects, so that each is asked for again."""
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("UPDATE identifying.identity SET sid = NULL"))


def tokens(vault: Vault) -> dict[int, set[str]]:
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        rows = owner.execute(text("SELECT epoch, token FROM trust.person")).all()
    return {epoch: {row.token for row in rows if row.epoch == epoch} for epoch in {row.epoch for row in rows}}


def rekey(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty, *, blinded: bool | None = None
) -> ResubmissionReport:
    """Both halves."""
    epochs.begin(vault, blinded=blinded)
    return resubmit(database.login(DatabaseRole.GATEWAY), keys, third_party)


def test_everybody_stays_and_nothing_of_the_former_keys_does(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    before, former = everybody(database, keys, third_party), tokens(vault)
    k1, k2 = gateway_keys(keys).key("level1"), trust_keys(vault.keys).key("level2")
    pid = project_pseudonym(project_keys(keys).project_key("pid", "p"), before[0])
    assert rekey(database, keys, vault, third_party) == ResubmissionReport(2, len(former[1]), 0)
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
    with vault.database.begin(DatabaseRole.OWNER) as connection:
        assert trail.verify(connection) == 4  # each begun and ended


class Killed(Exception):
    """The process ends here."""


STEPS: tuple[tuple[Any, str, int], ...] = (
    (Keyring, "rotate", 1), (Keyring, "rotate", 2), (epochs, "_insert_epoch", 1), (epochs, "accept_submissions", 1),
    (epochs, "accept_submissions", 2), (epochs, "_close_epoch", 1), (Keyring, "destroy_former_key", 1),
    (Keyring, "destroy_former_key", 2), (Keyring, "create_blinding_key", 1), (Keyring, "destroy_blinding_key", 1),
    (Keyring, "destroy_evaluator", 1),
)  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step", "call"), STEPS, ids=[f"{step}-{call}" for _, step, call in STEPS])
def test_broken_off_anywhere_nobody_becomes_somebody_new_and_it_goes_on(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty, monkeypatch: pytest.MonkeyPatch,
    owner: Any, step: str, call: int, after: bool,
) -> None:  # fmt: skip
    """Before and after each step, of either keyring and of either batch of identities, into a blinded epoch."""
    before = everybody(database, keys, third_party)
    running = gateway_keys(keys)
    monkeypatch.setattr(rekeying, "_BATCH_ROWS", 3)
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
    with pytest.raises((Killed, ThirdPartyUnavailable)):
        rekey(database, keys, vault, third_party, blinded=True)
    assert calls == call
    monkeypatch.setattr(owner, step, real)
    _known_or_refused(database, third_party, before, lambda: running)
    _known_or_refused(database, third_party, before, lambda: gateway_keys(keys))
    # Whoever was cut off is called again: first the third party, if it was not done, and then the gateway.
    if (step, call) in (("rotate", 1), ("_insert_epoch", 1), ("create_blinding_key", 1)):
        epochs.begin(vault, blinded=True)
    if (step, call, after) == ("destroy_former_key", 2, True):
        assert (
            refusal(lambda: resubmit(database.login(DatabaseRole.GATEWAY), keys, third_party)) == "epoch-other"
        )  # nothing is left to do
    else:
        assert resubmit(database.login(DatabaseRole.GATEWAY), keys, third_party).epoch == 2
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
            with database.begin(DatabaseRole.WORKER) as connection:
                who = identity.register(
                    connection, keyring(), third_party, hospital=hospital, patient_id=patient_id, reading=reading
                )
        except ThirdPartyUnavailable as refused:
            assert refused.code in ("rekeying", "keyring-other")
        else:
            assert isinstance(who, PatientIdentity)
            assert who.sid == sid


def names_in(keyring: Path) -> set[str]:
    return set(json.loads(keyring.read_text())["keys"])


def test_everybody_stays_through_blinded_epochs_and_back(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    before = everybody(database, keys, third_party)
    for blinded, epoch in ((True, 2), (None, 3), (False, 4)):
        assert rekey(database, keys, vault, third_party, blinded=blinded) == ResubmissionReport(epoch, 4, 0)
        assert epochs.is_blinded(vault, epoch) == (blinded is not False)
        forgotten(database)
        assert everybody(database, keys, third_party) == before
        kept = {f"blind:{epoch}", f"evaluator:{epoch}"} if blinded is not False else set()
        assert names_in(vault.keys / "trust.json") | names_in(keys / "gateway.json") == {"level1", "level2"} | kept


def test_in_a_blinded_epoch_the_key_of_a_gateway_makes_nobodys_token(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    """Who has it, and the third party's too, would still have to ask for every single person."""
    rekey(database, keys, vault, third_party, blinded=True)
    (marie, *_) = everybody(database, keys, third_party)
    k1, k2 = gateway_keys(keys).key("level1"), trust_keys(vault.keys).key("level2")
    alone = level1(k1, ins_message(MARIE.nir13, MARIE.birth_date, MARIE.sex), 2)
    assert level2(k2, alone, 2) not in tokens(vault)[2]
    assert third_party.subject(alone, "INS") != marie


class Watched(httpx.BaseTransport):
    """What goes to the third party, and what its answers are made to be."""

    def __init__(self, vault: Vault, spoil: Callable[[bytes], bytes] = lambda content: content) -> None:
        self.client = TestClient(create_app(vault))
        self.spoil = spoil
        self.sent = b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += request.content
        answer = self.client.request(
            request.method, request.url.path, content=request.content, headers=dict(request.headers)
        )
        return httpx.Response(answer.status_code, content=self.spoil(answer.content))


def watched(vault: Vault, transport: Watched) -> ThirdParty:
    headers = {"Authorization": f"Bearer {access_key(vault.keys)}"}
    return ThirdParty(httpx.Client(transport=transport, base_url="http://third-party", headers=headers))


def test_what_is_evaluated_says_nothing_of_the_person(vault: Vault, keys: Path) -> None:
    """Each time other bytes go, and what comes back is the same."""
    epochs.begin(vault, blinded=True)
    transport = Watched(vault)
    third_party = watched(vault, transport)
    gateway, message = gateway_keys(keys), "INS|1|2790351215189|19790304|2"
    first, sent = third_party.token_inputs([message], gateway, 2), transport.sent
    transport.sent = b""
    assert third_party.token_inputs([message], gateway, 2) == first
    assert sent != transport.sent
    assert b"2790351215189" not in sent + transport.sent
    assert re.fullmatch(r"OPRF\|1\|[0-9a-f]{128}", first[0])


def test_an_answer_that_another_key_made_is_refused(vault: Vault, keys: Path) -> None:
    """Whether its proof fits or not: else a patient would become somebody new, and be told apart by it."""
    epochs.begin(vault, blinded=True)
    other = Evaluator(bytes(range(32))).public_key.serialize().hex()

    def another_key(content: bytes) -> bytes:
        return re.sub(rb'"public_key":"[0-9a-f]+"', f'"public_key":"{other}"'.encode(), content)

    with pytest.raises(ThirdPartyUnavailable) as refused:
        watched(vault, Watched(vault, another_key)).token_inputs(["m"], gateway_keys(keys), 2)
    assert refused.value.code == "evaluation-unproven"
    honest = watched(vault, Watched(vault))
    assert honest.token_inputs(["m"], gateway_keys(keys), 2) == honest.token_inputs(["m"], gateway_keys(keys), 2)
    trust_keys(vault.keys).destroy_blinding_key(2)
    trust_keys(vault.keys).create_blinding_key(2)
    with pytest.raises(ThirdPartyUnavailable) as refused:
        honest.token_inputs(["m"], gateway_keys(keys), 2)
    assert refused.value.code == "evaluator-other"


def test_a_hub_that_runs_on_is_refused_until_it_has_the_new_keys(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    everybody(database, keys, third_party)
    old = gateway_keys(keys)
    rekey(database, keys, vault, third_party)
    with pytest.raises(ThirdPartyUnavailable) as refused:
        third_party.subject(level1(old.key("level1"), "IPP|1|CHU|1", old.epoch), "IPP")
    assert refused.value.code == "rekeying"


def test_nothing_is_submitted_to_a_third_party_that_waits_for_nobody(
    database: Database, keys: Path, third_party: ThirdParty
) -> None:
    before = everybody(database, keys, third_party)
    assert refusal(lambda: resubmit(database.login(DatabaseRole.GATEWAY), keys, third_party)) == "epoch-other"
    with pytest.raises(ThirdPartyUnavailable) as refused:
        third_party.end(2)
    assert refused.value.code == "epoch-other"
    forgotten(database)
    assert everybody(database, keys, third_party) == before


def test_what_no_gateway_submits_again_is_counted_and_destroyed(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty
) -> None:
    everybody(database, keys, third_party)
    with database.begin(DatabaseRole.OWNER) as owner:
        owner.execute(text("DELETE FROM identifying.identity WHERE patient_id = '3'"))
    assert rekey(database, keys, vault, third_party).left_behind == 1
    assert set(tokens(vault)) == {2}


def test_a_destroyed_delivery_cannot_be_mapped_back_from_a_backup(vault: Vault) -> None:
    issued = vault.issue_id_acc(["a" * 32], "d", timedelta(days=1))
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        backup = [dict(row) for row in owner.execute(text("SELECT * FROM trust.id_acc")).mappings()]
    assert "a" * 32 not in str(backup)
    assert vault.destroy("d") == 1
    with vault.database.begin(DatabaseRole.OWNER) as owner:
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
    with ThirdParty.connect(hub) as third_party:
        before = everybody(database, keys, third_party)
    files = [tmp_path / "first", tmp_path / "second"]
    told = [CliRunner().invoke(app, ["share", str(file)]).stdout for file in files]
    its = third_partys(vault, tmp_path / "its")
    done = CliRunner().invoke(app, ["rekey", *map(str, files), "--json"], env=its)
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"epoch": 2}), done.output
    first, second = map(KeyShare.open, files)
    assert first.fingerprint in told[0]
    key = trust_keys(vault.keys).key("level2")
    assert key == combine_shares(first, second, 2)
    assert key not in (combine_shares(second, first, 2), combine_shares(first, second, 3), first.secret, second.secret)
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        detail = owner.execute(text("SELECT detail FROM audit.entry WHERE action = 'epoch-begun'")).scalar_one()
    assert detail["shares"] == [first.fingerprint, second.fingerprint]
    done = CliRunner().invoke(app, ["resubmit", "--json"], env=hub.as_environment())
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"epoch": 2, "tokens": 4, "left_behind": 0}), done.output
    forgotten(database)
    with ThirdParty.connect(hub) as third_party:
        assert everybody(database, keys, third_party) == before


def test_shares_that_come_after_it_began_are_refused(
    database: Database, keys: Path, vault: Vault, third_party: ThirdParty, tmp_path: Path
) -> None:
    """Else the trail would name shares of which the key is not made."""
    before = everybody(database, keys, third_party)
    late = KeyShare.create(tmp_path / "a"), KeyShare.create(tmp_path / "b")
    assert epochs.begin(vault) == 2
    assert refusal(lambda: epochs.begin(vault, late)) == "share-other"
    assert rekey(database, keys, vault, third_party).epoch == 2
    forgotten(database)
    assert everybody(database, keys, third_party) == before


def test_a_share_is_of_one_custodian_alone(tmp_path: Path, settings: Settings) -> None:
    share, other = KeyShare.create(tmp_path / "s"), tmp_path / "other"
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert share.secret.hex() not in repr(share)
    other.write_text("00")
    other.chmod(0o600)
    for path, code in ((tmp_path / "none", "share-missing"), (other, "share-malformed")):
        assert refusal(lambda path=path: KeyShare.open(path)) == code
    (tmp_path / "s").chmod(0o640)
    assert refusal(lambda: KeyShare.open(tmp_path / "s")) == "share-exposed"
    assert refusal(lambda: KeyShare.create(tmp_path / "s")) == "share-exists"
    assert refusal(lambda: combine_shares(share, share, 2)) == "share-alone"
    assert CliRunner().invoke(app, ["rekey", "one"], env=settings.as_environment()).exit_code == 2


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(KeyringError) as refused:
        attempt()
    return refused.value.code
