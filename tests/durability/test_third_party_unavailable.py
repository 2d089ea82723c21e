"""The third party is stopped, killed and given new keys while a hospital sends: studies wait, and none is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from raw_scu import RawScu, an_instance
from running_hub import SENDER, RunningHub, a_hub
from sqlalchemy import text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.pseudonymisation.rekeying import resubmit
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.trust import epochs
from imaging_hub.trust.vault import Vault
from imaging_hub.work.job_queue import MAX_ATTEMPTS


def sent(hub: RunningHub, study: int) -> None:
    scu = RawScu(hub.settings.dicom_port, calling=SENDER)
    assert scu.store(an_instance(study=study, patient="PATIENT-1")) == 0


def warned(hub: RunningHub, times: int) -> bool:
    return hub.log.read_text("utf-8", "replace").count("third-party-away") >= times


DATABASES = {"IMAGING_HUB_DATABASE_URL", "IMAGING_HUB_TRUST_DATABASE_URL"}


def settings_of(process: int) -> set[str]:
    """Names of what its environment says."""
    return {one.partition("=")[0] for one in Path(f"/proc/{process}/environ").read_text().split("\0")}


def test_studies_wait_for_a_third_party_that_is_away(database: Database, tmp_path: Path) -> None:
    with a_hub(tmp_path, database, workers=1) as hub:
        hub.start()
        sent(hub, 1)
        hub.wait_until_settled()
        (third_party,) = hub.parts("trust")
        assert settings_of(third_party) & DATABASES == {"IMAGING_HUB_TRUST_DATABASE_URL"}
        for part in ("gateway", "worker", "web", "console"):
            assert settings_of(hub.parts(part)[0]) & DATABASES == {"IMAGING_HUB_DATABASE_URL"}, part
        os.kill(third_party, signal.SIGSTOP)
        sent(hub, 2)
        hub.wait(lambda: warned(hub, 1), "the worker misses the third party")
        assert hub.states() == {"ARCHIVED": 1, "RECEIVED": 1}
        os.kill(third_party, signal.SIGKILL)  # serve starts it again
        hub.wait_until_settled()
        assert hub.states() == {"ARCHIVED": 2}
        with database.begin(DatabaseRole.OWNER) as owner:
            assert owner.execute(text("SELECT count(DISTINCT sid) FROM hub.study")).scalar_one() == 1


def test_new_keys_need_no_hub_that_stands_still(database: Database, tmp_path: Path) -> None:
    with a_hub(tmp_path, database, workers=1) as hub:
        hub.start()
        sent(hub, 1)
        hub.wait_until_settled()
        epochs.begin(Vault(hub.vault, hub.settings.trust_keys))
        sent(hub, 2)
        # More sweeps than attempts: waiting is no attempt.
        hub.wait(lambda: warned(hub, MAX_ATTEMPTS + 2), "studies wait for the new keys")
        assert hub.states() == {"ARCHIVED": 1, "RECEIVED": 1}
        with ThirdParty.connect(hub.settings) as third_party:
            resubmit(database.login(DatabaseRole.GATEWAY), hub.settings.keys, third_party)
        hub.wait_until_settled()
        assert hub.states() == {"ARCHIVED": 2}
        with database.begin(DatabaseRole.OWNER) as owner:
            assert owner.execute(text("SELECT count(DISTINCT sid) FROM hub.study")).scalar_one() == 1
