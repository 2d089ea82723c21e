"""The trusted third party over HTTP: what it gives, what it refuses, and that it stands apart from the hub."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from free_ports import free_ports
from fresh_databases import dropped, empty
from running_hub import until_answered
from sqlalchemy import text
from third_parties import reached
from typer.testing import CliRunner

from imaging_hub.audit import trail
from imaging_hub.cli.trust import app
from imaging_hub.database import HUB_SCHEMA, VAULT_SCHEMA, Database, DatabaseRole, migrate
from imaging_hub.errors import KeyringError, SettingsError, ThirdPartyUnavailable
from imaging_hub.keys.keyring import Keyring, access_key
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.trust import epochs
from imaging_hub.trust.app import create_app
from imaging_hub.trust.keyrings import create_missing, trust_keys
from imaging_hub.trust.vault import Vault

ONE, OTHER = "delivery-0000000000000001", "delivery-0000000000000002"
SID = hashlib.md5(b"s", usedforsecurity=False).hexdigest()
TOKEN = "h1e01-" + "0" * 32


def refusal(vault: Vault) -> str:
    with reached(vault) as third_party, pytest.raises(ThirdPartyUnavailable) as refused:
        third_party.check()
    return refused.value.code


def trail_of(vault: Vault) -> list[tuple[str, str]]:
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        assert isinstance(trail.verify(owner), int)
        return [tuple(row) for row in owner.execute(text("SELECT action, object FROM audit.entry ORDER BY sequence"))]


def test_a_token_has_one_subject_and_another_has_another(third_party: ThirdParty) -> None:
    first = third_party.subject(TOKEN, "INS")
    assert third_party.subject(TOKEN, "INS") == first != third_party.subject(TOKEN[:-1] + "1", "INS")
    third_party.subject(TOKEN[:-1] + "2", "IPP")
    third_party.alias(TOKEN[:-1] + "2", first)
    assert third_party.subject(TOKEN[:-1] + "2", "IPP") == first


def test_an_id_acc_ends_with_its_delivery_or_its_time(vault: Vault, third_party: ThirdParty) -> None:
    issued = third_party.issue_id_acc([SID], ONE, timedelta(days=1))[SID]
    late = vault.issue_id_acc([SID], OTHER, timedelta(seconds=-1))[SID]
    assert third_party.resolve(ONE, [issued, late]) == {issued: SID}
    assert third_party.resolve(OTHER, [issued, late]) == {}
    assert third_party.destroy(ONE) == 1
    assert third_party.resolve(ONE, [issued]) == {}
    assert vault.destroy_expired() == 1
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        assert owner.execute(text("SELECT count(*) FROM trust.id_acc WHERE sealed_sid IS NOT NULL")).scalar_one() == 0
    assert trail_of(vault) == [
        ("id-acc-issued", ONE), ("id-acc-issued", OTHER), ("id-acc-resolved", ONE), ("delivery-destroyed", ONE),
        ("delivery-destroyed", OTHER),
    ]  # fmt: skip


def test_a_long_delivery_goes_in_several_requests(third_party: ThirdParty) -> None:
    sids = [hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() for number in range(2500)]
    issued = third_party.issue_id_acc(sids, ONE, timedelta(days=1))
    assert third_party.resolve(ONE, issued.values()) == {id_acc: sid for sid, id_acc in issued.items()}
    assert third_party.destroy(ONE) == 2500


def test_what_expired_is_destroyed_though_nobody_asks(vault: Vault) -> None:
    vault.issue_id_acc([SID], ONE, timedelta(seconds=-1))
    with reached(vault):
        deadline = time.monotonic() + 30
        while ("delivery-destroyed", ONE) not in trail_of(vault):
            assert time.monotonic() < deadline, "nothing was destroyed"
            time.sleep(0.05)


@pytest.mark.parametrize(
    "body",
    [
        {"token": "279035121518989", "kind": "INS"},
        {"token": "INS|1|2790351215189|19790304|2", "kind": "INS"},
        {"token": TOKEN, "kind": "NAME"},
        {"token": TOKEN},
    ],
)
def test_what_is_no_token_is_refused_and_not_repeated(vault: Vault, body: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {access_key(vault.keys)}"}
    with TestClient(create_app(vault), headers=headers) as client:
        answer = client.post("/v1/subjects", json=body)
    assert answer.status_code == 422
    assert "2790351215189" not in answer.text


def test_what_was_never_blinded_is_not_evaluated(vault: Vault) -> None:
    headers = {"Authorization": f"Bearer {access_key(vault.keys)}"}
    with TestClient(create_app(vault), headers=headers) as client:
        assert client.get("/v1/epochs/1").json() == {"blinded": None}
        vault.check()
        assert client.get("/v1/epochs/1").json() == {"blinded": False}
        plain = client.post("/v1/epochs/1/evaluations", json={"inputs": []})
        assert (plain.status_code, plain.json()["code"]) == (409, "epoch-other")
        epochs.begin(vault, blinded=True)
        for no_input in ("00" * 32, "ff" * 32):
            refused = client.post("/v1/epochs/2/evaluations", json={"inputs": [no_input]})
            assert (refused.status_code, refused.json()["code"]) == (409, "blinded-input")
        identity = client.post("/v1/epochs/2/evaluations", json={"inputs": ["279035121518989"]})
        assert identity.status_code == 422


@pytest.mark.parametrize("shown", [None, "Bearer ", "Bearer " + "0" * 64, "Basic abc"])
def test_nobody_without_the_access_key_is_told_anything(vault: Vault, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    app = create_app(vault)
    asked = [(path, method) for path, methods in app.openapi()["paths"].items() for method in methods]
    assert len(asked) == 12
    with TestClient(app, headers=headers) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        for path, method in asked:
            answer = client.request(method, path.format(delivery=ONE, number=1), json={})
            if path != "/healthz":
                assert (answer.status_code, answer.json()["code"]) == (401, "third-party-access"), path


def test_another_key_than_the_vaults_gives_nobody_a_subject(vault: Vault, third_party: ThirdParty) -> None:
    known = third_party.subject(TOKEN, "INS")
    kept = (vault.keys / "trust.json").read_bytes()
    (vault.keys / "trust.json").unlink()
    assert refusal(vault) == "keyring-missing"
    with pytest.raises(KeyringError) as lost:
        create_missing(vault.keys, filled=True)
    assert lost.value.code == "keyring-lost"
    Keyring.create(vault.keys / "trust.json", ("level2",))
    assert refusal(vault) == "keyring-other"
    (vault.keys / "trust.json").unlink()
    (vault.keys / "trust.json").touch(0o600)
    (vault.keys / "trust.json").write_bytes(kept)
    assert third_party.subject(TOKEN, "INS") == known


def test_neither_database_lets_a_role_of_the_other_in(database: Database, vault: Vault) -> None:
    for role in HUB_SCHEMA.roles:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(vault.database.conninfo(role))
        psycopg.connect(database.conninfo(role)).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(database.conninfo(DatabaseRole.TRUST))
    psycopg.connect(vault.database.conninfo(DatabaseRole.TRUST)).close()


def test_its_database_holds_its_own_schemas_only_and_the_hubs_none_of_them(database: Database, vault: Vault) -> None:
    schemas = text("SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1")
    with vault.database.begin(DatabaseRole.OWNER) as owner:
        assert list(owner.execute(schemas).scalars()) == ["audit", "public", "trust"]
    with database.begin(DatabaseRole.OWNER) as owner:
        assert list(owner.execute(schemas).scalars()) == ["audit", "hub", "identifying", "public", "work"]


def test_the_process_runs_alone_and_says_who_it_is_to_nobody_else(
    server: Database, tmp_path: Path, settings: Settings
) -> None:
    """As on a machine of its own: with its folder and its database, and without any of the hub's."""
    own, (port,) = empty(server), free_ports(1)
    alone = load(
        home=tmp_path / "third-party",
        trust_port=port,
        trust_database_url=own.owner_url.render_as_string(hide_password=False),
        trust_database_role_password="unused-by-the-embedded-server",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "imaging_hub", "trust", "serve"], env={**os.environ, **alone.as_environment()}
    )
    try:
        until_answered(f"http://127.0.0.1:{port}/healthz")
        hub = settings.model_copy(update={"trust_url": f"http://127.0.0.1:{port}"})
        with pytest.raises(KeyringError) as stranger:
            ThirdParty.connect(hub)
        assert stranger.value.code == "keyring-missing"
        assert f"bring it from the third party's folder of keys to {hub.keys / 'access.json'}" in stranger.value.hint
        Keyring.open(alone.trust_keys / "access.json").copy_to(hub.keys)
        with ThirdParty.connect(hub) as third_party:
            assert len(third_party.subject(TOKEN, "INS")) == 32
        assert {path.name for path in alone.home.rglob("*.json")} == {"trust.json", "access.json"}
        said = CliRunner().invoke(app, ["verify", "--json"], env=alone.as_environment())
        assert (said.exit_code, json.loads(said.stdout)["findings"]) == (0, {})
        with own.begin(DatabaseRole.OWNER) as owner:
            owner.execute(text("UPDATE trust.person SET token = '279035121518989'"))
        said = CliRunner().invoke(app, ["verify", "--json"], env=alone.as_environment())
        assert (said.exit_code, json.loads(said.stdout)["findings"]) == (1, {"trust.person.token": 1})
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        dropped(own, server)


def test_it_is_reached_in_clear_on_this_machine_only() -> None:
    assert load(trust_url="https://tiers.example").third_party_url == "https://tiers.example"
    for setting in ({"trust_url": "http://10.0.0.1:8083"}, {"trust_database_url": "postgresql://o@h/d"}):
        with pytest.raises(SettingsError):
            load(**setting)


def test_its_schema_goes_down_and_up_again(vault: Vault) -> None:
    from alembic import command

    from imaging_hub.database import alembic_config

    config = alembic_config(VAULT_SCHEMA)
    with vault.database.engine(DatabaseRole.OWNER).begin() as owner:
        config.attributes["connection"] = owner
        command.downgrade(config, "base")
    migrate(vault.database, VAULT_SCHEMA)
    vault.check()
    assert trust_keys(vault.keys).epoch == 1
