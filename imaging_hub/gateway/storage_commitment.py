"""Storage Commitment (PS3.4 Annex J, Push Model), for senders whose originals are kept always (ADR 0008).

A sender may delete its own copy after a commitment, so none is given for an original that may be purged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Thread

from pydicom import Dataset
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom.sop_class import STORAGE_COMMITMENT
from imaging_hub.gateway.senders import Sender
from imaging_hub.intake import journal
from imaging_hub.intake.retention import KeepOriginals
from imaging_hub.log import log

ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event Type IDs of the report (PS3.4 §J.3.3)."""
NO_SUCH_OBJECT, CLASS_INSTANCE_CONFLICT = 0x0112, 0x0119
_PAUSE_SECONDS = 5.0
_CONNECT_SECONDS = 15.0
_SUCCESS, _PROCESSING_FAILURE = 0x0000, 0x0110
_NO_SUCH_ACTION, _INVALID_ARGUMENT = 0x0123, 0x0115


def is_eligible(sender: Sender) -> bool:
    """Whether a sender's originals are kept always and the report can be delivered."""
    return sender.keep_originals is KeepOriginals.ALWAYS and sender.query is not None


def handle_request(
    login: DatabaseLogin, sender: Sender, our_title: str, action_type: int | None, action: Dataset
) -> int:
    """Handle an N-ACTION: return its status, and deliver the report to the sender's own port afterwards."""
    if action_type != 1:
        return _NO_SUCH_ACTION
    if not action.get("TransactionUID") or not action.get("ReferencedSOPSequence"):
        return _INVALID_ARGUMENT
    try:
        with login.begin() as connection:
            report = _build_report(connection, sender, action)
    except SQLAlchemyError:
        return _PROCESSING_FAILURE
    Thread(target=_deliver, args=(sender, our_title, report), name="commitment", daemon=True).start()
    return _SUCCESS


def _build_report(connection: Connection, sender: Sender, action: Dataset) -> Dataset:
    """Build the N-EVENT-REPORT, in which each instance with a kept original is committed."""
    requested = [
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in action.ReferencedSOPSequence
    ]
    kept = journal.find_kept_originals(connection, sender.hospital, [uid for _, uid in requested])
    report = Dataset()
    report.TransactionUID = action.TransactionUID
    report.ReferencedSOPSequence = [_item(pair) for pair in requested if kept.get(pair[1]) == pair[0]]
    failed = [pair for pair in requested if kept.get(pair[1]) != pair[0]]
    if failed:
        report.FailedSOPSequence = [
            _item(pair, CLASS_INSTANCE_CONFLICT if pair[1] in kept else NO_SUCH_OBJECT) for pair in failed
        ]
    detail = {"committed": len(requested) - len(failed), "failed": len(failed)}
    trail.append(
        connection,
        f"sender:{sender.calling_ae_title}",
        AuditAction.STORAGE_COMMITTED,
        f"finess:{sender.finess}",
        detail,
    )
    return report


def _item(pair: tuple[str, str], failure: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = pair
    if failure is not None:
        item.FailureReason = failure
    return item


def _deliver(
    sender: Sender,
    our_title: str,
    report: Dataset,
    pauses: Sequence[float] = (0.0, _PAUSE_SECONDS, 4 * _PAUSE_SECONDS),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Deliver the report on an association of our own; a sender that cannot be reached has to request it again."""
    if sender.query is None:
        return
    event = SOME_FAILED if "FailedSOPSequence" in report else ALL_COMMITTED
    for pause in pauses:
        sleep(pause)
        entity = AE(ae_title=our_title)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = _CONNECT_SECONDS
        entity.add_requested_context(STORAGE_COMMITMENT)
        association = entity.associate(
            sender.query.host,
            sender.query.port,
            ae_title=sender.calling_ae_title,
            ext_neg=[build_role(STORAGE_COMMITMENT, scp_role=True)],
        )
        if not association.is_established:
            continue
        status, _ = association.send_n_event_report(
            report, event, STORAGE_COMMITMENT, StorageCommitmentPushModelInstance
        )
        association.release()
        if status.get("Status") == _SUCCESS:
            return
    log.warning("commitment-not-reported", finess=sender.finess)
