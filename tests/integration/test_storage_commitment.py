"""Storage Commitment, to whom originals are kept always and to nobody else."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from free_ports import free_ports
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from raw_scu import CT, Instance, RawScu, an_instance, let_in, receiving

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.gateway import senders
from imaging_hub.gateway.query_retrieve_scp import QueryRetrieveScp
from imaging_hub.gateway.senders import QueryRetrieveAddress
from imaging_hub.intake import retention
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings

MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Modality:
    """A sender that asks for commitment, with a receiver for the reports."""

    query_port: int
    database: Database
    reports: queue.Queue[tuple[int, Dataset]] = field(default_factory=queue.Queue)

    def ask(self, *instances: tuple[str, str], transaction: str = "1.2.3.99", action: int = 1) -> int:
        """Status of an N-ACTION."""
        entity = AE("HOSPITAL")
        entity.add_requested_context(StorageCommitmentPushModel)
        association = entity.associate("127.0.0.1", self.query_port, ae_title="IMAGINGHUB")
        assert association.is_established
        wanted = Dataset()
        wanted.TransactionUID = transaction
        wanted.ReferencedSOPSequence = []
        for sop_class, uid in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            wanted.ReferencedSOPSequence.append(item)
        status, _ = association.send_n_action(
            wanted, action, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        association.release()
        return int(status.Status)

    def keep(self, policy: str | None) -> None:
        """Have the sender's originals kept so."""
        with self.database.begin(DatabaseRole.GATEWAY) as connection:
            senders.add(
                connection,
                senders.Sender(
                    calling_ae_title="HOSPITAL",
                    address="127.0.0.0/8",
                    hospital="chu-test",
                    finess="750000001",
                    profile="basic",
                    query=QueryRetrieveAddress("127.0.0.1", self.receives_on),
                    retrieves=True,
                    keep_originals=None if policy is None else retention.parse_policy(policy),
                ),
            )

    receives_on: int = 0


@pytest.fixture
def modality(settings: Settings, database: Database) -> Iterator[Modality]:
    let_in(database)
    with receiving(settings, database) as server:
        for number in (1, 2):
            assert RawScu(server.port).store(an_instance(number)) == 0
        RawScu(server.port).store(Instance("1.2.3", an_instance(3).dataset))
        RawScu(server.port).store(Instance("1.2.4", an_instance(4, uid="1.2.4").dataset[:-100]))
    query, own = free_ports(2)
    asked = Modality(query, database, receives_on=own)

    def reported(event: Event) -> tuple[int, None]:
        asked.reports.put((event.event_type, event.event_information))
        return 0, None

    listener = AE("HOSPITAL")
    listener.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    receiver = listener.start_server(("127.0.0.1", own), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported)])
    ours = QueryRetrieveScp(settings.model_copy(update={"query_port": query}), database, GatewayMetrics())
    ours.start()
    try:
        yield asked
    finally:
        ours.stop()
        receiver.shutdown()


def test_what_is_kept_always_is_committed(modality: Modality) -> None:
    modality.keep("always")
    uids = [an_instance(number).sop_instance_uid for number in (1, 2)]
    assert modality.ask(*((CT, uid) for uid in uids)) == 0
    event, report = modality.reports.get(timeout=20)
    assert (event, report.TransactionUID) == (1, "1.2.3.99")
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == uids
    with modality.database.begin(DatabaseRole.WORKER) as connection:
        assert retention.list_expired(connection, 0) == []


def test_what_is_not_there_is_not_committed(modality: Modality) -> None:
    modality.keep("always")
    one = an_instance(1).sop_instance_uid
    assert (
        modality.ask((CT, one), (CT, "1.2.3.4.5"), (CT, "1.2.3"), (CT, "1.2.4"), (MR, an_instance(2).sop_instance_uid))
        == 0
    )
    event, report = modality.reports.get(timeout=20)
    assert event == 2
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [one]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence} == {
        "1.2.3.4.5": 0x0112, "1.2.3": 0x0112, "1.2.4": 0x0112, an_instance(2).sop_instance_uid: 0x0119,
    }  # fmt: skip


@pytest.mark.parametrize("policy", [None, "never", "until-released", "3650"])
def test_whoever_has_originals_purged_gets_no_commitment(modality: Modality, policy: str | None) -> None:
    modality.keep(policy)
    assert modality.ask((CT, an_instance(1).sop_instance_uid)) == 0x0124
    assert modality.reports.empty()


def test_a_request_that_is_none_is_refused(modality: Modality) -> None:
    modality.keep("always")
    assert modality.ask((CT, "1.2.3"), action=2) == 0x0123
    assert modality.ask() == 0x0115
