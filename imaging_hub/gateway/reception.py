"""What happens to one instance between its last byte and the answer: examined, spooled, journalled, in this order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import part10, uid, walk
from imaging_hub.dicom.status import StoreSituation
from imaging_hub.errors import MalformedDataset, NotFound, StorageUnavailable
from imaging_hub.gateway.incoming_dataset import IncomingDataset
from imaging_hub.gateway.senders import Sender
from imaging_hub.intake import journal, spool_capacity
from imaging_hub.intake.deidentification_socket import HandoverClient, HandoverRequest
from imaging_hub.intake.group_commit import GroupCommit
from imaging_hub.intake.instance_validation import (
    InstanceValidation,
    content_digest,
    validate_header,
    validate_instance,
)
from imaging_hub.intake.journal import Arrival, RecordedArrival
from imaging_hub.intake.original_preamble import OriginalPreamble, replace_preamble
from imaging_hub.intake.spool import FSYNC_FAILED, SpooledFile, open_spool
from imaging_hub.intake.spool_capacity import SpoolCapacity, SpoolUsage
from imaging_hub.intake.study_keys import OriginalOwner
from imaging_hub.log import log
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings


@dataclass(frozen=True, slots=True)
class AnnouncedInstance:
    """An instance as its sender announces it."""

    sender: Sender
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str | None = None
    """The study it must belong to, where the sender named one."""


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """What became of an instance that was sent."""

    situation: StoreSituation
    reason: str | None = None
    """Code of what was wrong with it."""


class Reception:
    """Takes instances of known senders; every one that reached us ends in exactly one row of the journal."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._quarantine_max_bytes = settings.quarantine_max_bytes
        self._login = database.login(DatabaseRole.GATEWAY)
        self._commits = GroupCommit(self._login)
        self._capacity = SpoolCapacity(settings, self._load)
        self._handover = HandoverClient(settings.handover_socket)
        self.spool = open_spool(settings, self._login)
        self.metrics = GatewayMetrics()
        self.failed = Event()
        """Set when the disk can no longer be vouched for: the process must end, whoever noticed."""

    def start(self) -> None:
        """Begin to take instances."""
        self.spool.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._commits.start()

    def stop(self) -> None:
        """Write what was handed in, then end."""
        self._commits.stop()
        self._handover.close()

    @contextmanager
    def taking(self) -> Iterator[Self]:
        """Taking instances until the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def is_accepting(self) -> bool:
        """Whether there is room for a new association; raises `SQLAlchemyError` when the journal is away."""
        return self._capacity.is_accepting()

    def store(self, sent: AnnouncedInstance, body: IncomingDataset) -> ReceivedInstance:
        """Take one instance; any situation but NO_SPACE is durable when this returns.

        Raises `StorageUnavailable` only for the fault after which the process must end.
        """
        begun = time.monotonic()
        try:
            situation, recorded = self._store(sent, body)
        except (StorageUnavailable, SQLAlchemyError) as fault:
            log.error("instance-not-stored", finess=sent.sender.finess, exc_info=fault)
            self.metrics.instances.labels(sent.sender.finess, StoreSituation.NO_SPACE.value).inc()
            if isinstance(fault, StorageUnavailable) and fault.code == FSYNC_FAILED:
                self.failed.set()
                raise
            return ReceivedInstance(StoreSituation.NO_SPACE, getattr(fault, "code", "journal-unavailable"))
        self.metrics.instances.labels(sent.sender.finess, situation.value).inc()
        self.metrics.received_bytes.labels(sent.sender.finess).inc(body.size)
        self.metrics.spool_bytes.set(self._capacity.spool_bytes)
        log.info(
            "instance",
            row=recorded.id,
            outcome=situation.value,
            reason=recorded.reason,
            finess=sent.sender.finess,
            bytes=body.size,
            seconds=round(time.monotonic() - begun, 4),
        )
        return ReceivedInstance(situation, recorded.reason)

    def _store(self, sent: AnnouncedInstance, body: IncomingDataset) -> tuple[StoreSituation, RecordedArrival]:
        if self._capacity.is_full():
            raise StorageUnavailable("the spool quota is used up", code="spool-full")
        found = _examined(sent, body)
        if found.situation is StoreSituation.STORED and sent.study_instance_uid not in (None, found.study_instance_uid):
            found = replace(found, situation=StoreSituation.UID_MISMATCH, reason="study-instance-uid-mismatch")
        passed = self._passed(sent, found, body)
        if passed is not None:
            return (StoreSituation.STORED if passed.new else StoreSituation.DUPLICATE), passed
        spooled, kept = self._keep(OriginalOwner(sent.sender.hospital, found.study_instance_uid or ""), found, body)
        recorded = self._commits.record(
            replace(_arrival(sent, found, spooled), kept=kept),
            sent.sender.profile,
            lambda standing: self._same_content(standing, body, sent.transfer_syntax_uid),
        )
        if found.situation is not StoreSituation.STORED:
            return found.situation, recorded
        if recorded.reason == journal.CONFLICT:
            return StoreSituation.QUARANTINED, recorded
        if not recorded.new:
            if recorded.digest != spooled.digest:
                # The same instance encoded otherwise: the first original is the one kept.
                self.spool.remove(spooled.digest)
            return StoreSituation.DUPLICATE, recorded
        self._capacity.add_stored(spooled.size)
        return StoreSituation.STORED, recorded

    def _passed(
        self, sent: AnnouncedInstance, found: InstanceValidation, body: IncomingDataset
    ) -> RecordedArrival | None:
        """Have an instance whose original is never kept de-identified before the answer."""
        dataset = body.held()
        if found.situation is not StoreSituation.STORED or sent.sender.keep_originals != "never" or dataset is None:
            return None
        handed = HandoverRequest(
            sent.sender.hospital,
            sent.sender.profile,
            found.study_instance_uid or "",
            found.patient_id or "",
            sent.transfer_syntax_uid,
        )
        outcome = self._handover.deidentify(handed, dataset)
        if outcome is None:
            return None
        return self._commits.record_deidentified(
            replace(_arrival(sent, found, body.digest()), outcome=outcome), sent.sender.profile
        )

    def _keep(self, owner: OriginalOwner, found: InstanceValidation, body: IncomingDataset) -> tuple[SpooledFile, bool]:
        """Spool the file; what can belong to no study is kept within the quarantine quota only."""
        if found.situation is StoreSituation.STORED:
            return body.keep(owner), True
        with self._login.begin() as connection:
            used = spool_capacity.quarantined_bytes(connection)
        if used + body.size > self._quarantine_max_bytes:
            return body.digest(), False
        return body.keep(owner), True

    def _load(self) -> SpoolUsage:
        with self._login.begin() as connection:
            return SpoolUsage(
                spool_capacity.spool_bytes(connection), spool_capacity.largest_open_study_bytes(connection)
            )

    def _same_content(self, standing: str, body: IncomingDataset, transfer_syntax_uid: str) -> bool:
        """Whether the original `standing` is this dataset, encoded otherwise; False when it cannot be told."""
        try:
            meta, original = part10.split(self.spool.read(standing))
            with body.dataset() as dataset:
                return content_digest(walk.read(original, meta.transfer_syntax_uid)) == content_digest(
                    walk.read(dataset, transfer_syntax_uid)
                )
        except (NotFound, MalformedDataset):
            return False


def _examined(sent: AnnouncedInstance, body: IncomingDataset) -> InstanceValidation:
    header = body.header()
    if header is not None:
        return validate_header(header, sent.sop_class_uid, sent.sop_instance_uid)
    with body.dataset() as dataset:
        return validate_instance(
            dataset, sent.transfer_syntax_uid, sent.sop_class_uid, sent.sop_instance_uid, body.reader
        )


def head(sent: AnnouncedInstance) -> bytes:
    """What stands before the dataset in its file; an invalid UID is left out of it."""
    meta = part10.file_meta(_valid(sent.sop_class_uid), _valid(sent.sop_instance_uid), sent.transfer_syntax_uid)
    return replace_preamble(meta, OriginalPreamble(sent.sender.hospital, sent.sender.finess))


def _arrival(sent: AnnouncedInstance, found: InstanceValidation, spooled: SpooledFile) -> Arrival:
    return Arrival(
        hospital=sent.sender.hospital,
        finess=sent.sender.finess,
        sop_instance_uid=_storable(sent.sop_instance_uid),
        sop_class_uid=_storable(sent.sop_class_uid),
        transfer_syntax_uid=sent.transfer_syntax_uid,
        study_instance_uid=found.study_instance_uid,
        series_instance_uid=found.series_instance_uid,
        patient_id=found.patient_id,
        modality=found.modality,
        digest=spooled.digest,
        size=spooled.size,
        reason=found.reason,
    )


def _valid(given: str) -> str:
    return given if uid.is_valid(given) else ""


def _storable(given: str) -> str:
    """A UID as the journal holds it: an invalid one too, as far as a text column can."""
    return given.replace("\0", "")[: uid.MAX_LENGTH]
