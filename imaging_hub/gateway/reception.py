"""Reception of one instance, from its last byte to the response: it is validated, spooled, then journalled."""

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
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.intake.spool import FSYNC_FAILED, SpooledFile, open_spool
from imaging_hub.intake.spool_capacity import SpoolCapacity, SpoolUsage
from imaging_hub.intake.study_keys import OriginalOwner
from imaging_hub.log import log
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings


@dataclass(frozen=True, slots=True)
class AnnouncedInstance:
    """An instance as named in the C-STORE request or in the file meta information."""

    sender: Sender
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str | None = None
    """The study that it has to belong to, if the sender names one."""


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """Result of one instance."""

    situation: StoreSituation
    reason: str | None = None
    """Code of the fault, if any."""


class Reception:
    """Receives instances of known senders; each ends in exactly one row of the journal."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._quarantine_max_bytes = settings.quarantine_max_bytes
        self._login = database.login(DatabaseRole.GATEWAY)
        self._commits = GroupCommit(self._login)
        self._capacity = SpoolCapacity(settings, self._measure_usage)
        self._handover = HandoverClient(settings.handover_socket)
        self.spool = open_spool(settings, self._login)
        self.metrics = GatewayMetrics()
        self.failed = Event()
        """Set after a failed fsync, when the process must end."""

    def start(self) -> None:
        """Create the spool folder and start the journal thread."""
        self.spool.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._commits.start()

    def stop(self) -> None:
        """Write the journal rows that were handed in, and stop."""
        self._commits.stop()
        self._handover.close()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start, and stop at the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def is_accepting(self) -> bool:
        """Whether there is room for a new association. Raises `SQLAlchemyError` when the journal does not answer."""
        return self._capacity.is_accepting()

    def store(self, announced: AnnouncedInstance, body: IncomingDataset) -> ReceivedInstance:
        """Receive one instance; every situation but NO_SPACE is durable when this returns.

        Raises `StorageUnavailable` only after a failed fsync, when the process must end.
        """
        started = time.monotonic()
        try:
            situation, recorded = self._store(announced, body)
        except (StorageUnavailable, SQLAlchemyError) as fault:
            log.error("instance-not-stored", finess=announced.sender.finess, exc_info=fault)
            self.metrics.instances.labels(announced.sender.finess, StoreSituation.NO_SPACE.value).inc()
            if isinstance(fault, StorageUnavailable) and fault.code == FSYNC_FAILED:
                self.failed.set()
                raise
            return ReceivedInstance(StoreSituation.NO_SPACE, getattr(fault, "code", "journal-unavailable"))
        self.metrics.instances.labels(announced.sender.finess, situation.value).inc()
        self.metrics.received_bytes.labels(announced.sender.finess).inc(body.size)
        self.metrics.spool_bytes.set(self._capacity.spool_bytes)
        log.info(
            "instance",
            row=recorded.id,
            outcome=situation.value,
            reason=recorded.reason,
            finess=announced.sender.finess,
            bytes=body.size,
            seconds=round(time.monotonic() - started, 4),
        )
        return ReceivedInstance(situation, recorded.reason)

    def _store(self, announced: AnnouncedInstance, body: IncomingDataset) -> tuple[StoreSituation, RecordedArrival]:
        if self._capacity.is_full():
            raise StorageUnavailable("the spool quota is used up", code="spool-full")
        validation = _validate(announced, body)
        named_study = announced.study_instance_uid
        if validation.situation is StoreSituation.STORED and named_study not in (None, validation.study_instance_uid):
            validation = replace(
                validation, situation=StoreSituation.UID_MISMATCH, reason="study-instance-uid-mismatch"
            )
        deidentified = self._deidentify_inline(announced, validation, body)
        if deidentified is not None:
            return (StoreSituation.STORED if deidentified.new else StoreSituation.DUPLICATE), deidentified
        spooled, kept = self._keep(
            OriginalOwner(announced.sender.hospital, validation.study_instance_uid or ""), validation, body
        )
        recorded = self._commits.record(
            replace(_arrival(announced, validation, spooled), kept=kept),
            announced.sender.profile,
            lambda recorded_digest: self._same_content(recorded_digest, body, announced.transfer_syntax_uid),
        )
        if validation.situation is not StoreSituation.STORED:
            return validation.situation, recorded
        if recorded.reason == journal.CONFLICT:
            return StoreSituation.QUARANTINED, recorded
        if not recorded.new:
            if recorded.digest != spooled.digest:
                # The same instance in another transfer syntax: the first original is kept.
                self.spool.remove(spooled.digest)
            return StoreSituation.DUPLICATE, recorded
        self._capacity.add_stored(spooled.size)
        return StoreSituation.STORED, recorded

    def _deidentify_inline(
        self, announced: AnnouncedInstance, validation: InstanceValidation, body: IncomingDataset
    ) -> RecordedArrival | None:
        """Have an instance whose original is never kept de-identified before the response; None to spool it."""
        dataset = body.in_memory()
        if (
            validation.situation is not StoreSituation.STORED
            or announced.sender.keep_originals is not KeepOriginals.NEVER
            or dataset is None
        ):
            return None
        request = HandoverRequest(
            announced.sender.hospital,
            announced.sender.profile,
            validation.study_instance_uid or "",
            validation.patient_id or "",
            announced.transfer_syntax_uid,
        )
        outcome = self._handover.deidentify(request, dataset)
        if outcome is None:
            return None
        return self._commits.record_deidentified(
            replace(_arrival(announced, validation, body.measure()), outcome=outcome), announced.sender.profile
        )

    def _keep(
        self, owner: OriginalOwner, validation: InstanceValidation, body: IncomingDataset
    ) -> tuple[SpooledFile, bool]:
        """Spool the file, an invalid one within the quarantine quota only; return whether it was kept."""
        if validation.situation is StoreSituation.STORED:
            return body.keep(owner), True
        with self._login.begin() as connection:
            used = spool_capacity.quarantined_bytes(connection)
        if used + body.size > self._quarantine_max_bytes:
            return body.measure(), False
        return body.keep(owner), True

    def _measure_usage(self) -> SpoolUsage:
        with self._login.begin() as connection:
            return SpoolUsage(
                spool_capacity.spool_bytes(connection), spool_capacity.largest_open_study_bytes(connection)
            )

    def _same_content(self, recorded_digest: str, body: IncomingDataset, transfer_syntax_uid: str) -> bool:
        """Whether the original `recorded_digest` is this dataset in another transfer syntax; False when unreadable."""
        try:
            meta, original = part10.split(self.spool.read(recorded_digest))
            with body.dataset() as dataset:
                return content_digest(walk.read(original, meta.transfer_syntax_uid)) == content_digest(
                    walk.read(dataset, transfer_syntax_uid)
                )
        except (NotFound, MalformedDataset):
            return False


def _validate(announced: AnnouncedInstance, body: IncomingDataset) -> InstanceValidation:
    header = body.read_header()
    if header is not None:
        return validate_header(header, announced.sop_class_uid, announced.sop_instance_uid)
    with body.dataset() as dataset:
        return validate_instance(
            dataset, announced.transfer_syntax_uid, announced.sop_class_uid, announced.sop_instance_uid, body.reader
        )


def encode_file_meta(announced: AnnouncedInstance) -> bytes:
    """Encode preamble and file meta information of an instance; invalid UIDs are left empty."""
    meta = part10.file_meta(
        _valid_or_empty(announced.sop_class_uid),
        _valid_or_empty(announced.sop_instance_uid),
        announced.transfer_syntax_uid,
    )
    return replace_preamble(meta, OriginalPreamble(announced.sender.hospital, announced.sender.finess))


def _arrival(announced: AnnouncedInstance, validation: InstanceValidation, spooled: SpooledFile) -> Arrival:
    return Arrival(
        hospital=announced.sender.hospital,
        finess=announced.sender.finess,
        sop_instance_uid=_truncate_uid(announced.sop_instance_uid),
        sop_class_uid=_truncate_uid(announced.sop_class_uid),
        transfer_syntax_uid=announced.transfer_syntax_uid,
        study_instance_uid=validation.study_instance_uid,
        series_instance_uid=validation.series_instance_uid,
        patient_id=validation.patient_id,
        modality=validation.modality,
        digest=spooled.digest,
        size=spooled.size,
        reason=validation.reason,
    )


def _valid_or_empty(value: str) -> str:
    return value if uid.is_valid(value) else ""


def _truncate_uid(value: str) -> str:
    """Truncate a UID, which may be invalid, to what the journal can store."""
    return value.replace("\0", "")[: uid.MAX_LENGTH]
