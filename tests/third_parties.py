"""A trusted third party with a database of its own, and the ways to it: within this process, and over a port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from free_ports import free_ports
from fresh_databases import migrated
from starlette.testclient import TestClient
from web_story import served

from imaging_hub.database import VAULT_SCHEMA, Database
from imaging_hub.keys.keyring import Keyring, access_key
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.trust.app import create_app
from imaging_hub.trust.keyrings import create_missing
from imaging_hub.trust.vault import Vault


def a_vault(server: Database, keys: Path) -> Vault:
    """A vault at first start, in a new database on the server of this one."""
    database = migrated(server, VAULT_SCHEMA)
    create_missing(keys, filled=False)
    return Vault(database, keys)


class Near(Vault):
    """A vault in the place of the way to it, for populations of thousands; its epoch is not blinded."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(vault.database, vault.keys)

    token = ThirdParty.token

    def token_inputs(self, messages: Sequence[str], _: Keyring, __: int) -> list[str]:
        """What the hub makes tokens of."""
        return list(messages)


@contextmanager
def reached(vault: Vault) -> Iterator[ThirdParty]:
    """The hub's way to it, without a port between."""
    headers = {"Authorization": f"Bearer {access_key(vault.keys)}"}
    with TestClient(create_app(vault), headers=headers) as client:
        yield ThirdParty(client)


@contextmanager
def listening(vault: Vault, settings: Settings) -> Iterator[Settings]:
    """The third party on a port, and the settings of a hub that knows where."""
    Keyring.open(vault.keys / "access.json").copy_to(settings.keys)
    (port,) = free_ports(1)
    with served((create_app(vault), port)):
        yield settings.model_copy(update={"trust_url": f"http://127.0.0.1:{port}"})
