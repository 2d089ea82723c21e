"""Who may send, who was refused, and when there is no room."""

from __future__ import annotations

import pytest

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import HubError
from imaging_hub.gateway import senders
from imaging_hub.gateway.rejection_log import REMEMBERED_CAUSES, RefusalCause, RefusalReason, RejectionLog
from imaging_hub.intake.spool_capacity import SpoolCapacity, SpoolUsage
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings

_CHU = {"hospital": "chu", "finess": "2A0000014", "profile": "p"}


def test_the_narrower_network_wins_and_both_families_are_known(database: Database) -> None:
    with database.begin(DatabaseRole.GATEWAY) as connection:
        senders.add(connection, senders.Sender(calling_ae_title="CT1", address="10.0.0.0/8", **_CHU))
        senders.add(
            connection, senders.Sender(calling_ae_title="CT1", address="10.1.2.3", **{**_CHU, "hospital": "clinic"})
        )
        senders.add(connection, senders.Sender(calling_ae_title="CT1", address="2001:db8::/64", **_CHU))

        def hospital(title: str, address: str) -> str | None:
            found = senders.find_sender(connection, title, address)
            return found.hospital if found else None

        assert hospital("CT1", "10.1.2.3") == "clinic"
        assert hospital("CT1", "::ffff:10.1.2.4") == "chu"
        assert hospital("CT1", "2001:db8::7") == "chu"
        assert hospital("CT1", "11.0.0.1") is None
        assert hospital("ct1", "10.1.2.4") is None
        assert hospital("' OR true --", "10.1.2.4") is None
        assert len(senders.list_senders(connection)) == 3


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"calling_ae_title": ""}, "ae-title"),
        ({"calling_ae_title": "SEVENTEEN-LETTERS"}, "ae-title"),
        ({"address": "10.1.2.3/8"}, "address"),
        ({"address": "chu.example"}, "address"),
        ({"finess": "123"}, "finess"),
        ({"hospital": "é" * 60}, "hospital-name"),
    ],
)
def test_a_sender_described_wrongly_is_refused_with_its_remedy(
    database: Database, changed: dict[str, str], code: str
) -> None:
    described = {"calling_ae_title": "CT1", "address": "10.1.2.3", **_CHU, **changed}
    with database.begin(DatabaseRole.GATEWAY) as connection, pytest.raises(HubError) as refused:
        senders.add(connection, senders.Sender(**described))
    assert refused.value.code == code


def test_rejections_are_bounded_whoever_knocks(database: Database) -> None:
    now = [0.0]
    rejections = RejectionLog(database.login(DatabaseRole.GATEWAY), GatewayMetrics(), clock=lambda: now[0])
    for number in range(2 * REMEMBERED_CAUSES):
        rejections.record(RefusalCause("10.0.0.1", f"AE{number}", "HUB", RefusalReason.UNKNOWN_SENDER))
    now[0] = 61.0
    rejections.record(RefusalCause("10.0.0.1", "AE0", "HUB", RefusalReason.UNKNOWN_SENDER))
    with database.begin(DatabaseRole.OWNER) as connection:
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM identifying.rejection").scalar_one()
            == REMEMBERED_CAUSES + 1
        )


def test_watermarks_have_hysteresis(settings: Settings) -> None:
    settings.spool.mkdir(parents=True)
    quota, now, used = 1 << 20, [0.0], [0.0]
    admission = SpoolCapacity(
        settings.model_copy(update={"spool_max_bytes": quota, "spool_reserve_bytes": 0}),
        measure=lambda: SpoolUsage(int(used[0] * quota), 0),
        clock=lambda: now[0],
    )
    seen = []
    for share in (0.5, 0.8, 0.9, 0.8, 0.72, 0.69, 0.8):
        used[0] = share
        now[0] += 60
        seen.append(admission.is_accepting())
    assert seen == [True, True, False, False, False, True, True]


def test_a_disk_below_its_reserve_turns_senders_away(settings: Settings) -> None:
    settings.spool.mkdir(parents=True)
    admission = SpoolCapacity(
        settings.model_copy(update={"spool_reserve_bytes": 1 << 60}), measure=lambda: SpoolUsage(0, 0)
    )
    assert not admission.is_accepting()
