"""What a sender is answered, and when (PS3.4 §B.2.3, PS3.8 §9.3.4, PS3.18 §10.5)."""

from __future__ import annotations

from enum import Enum, IntEnum


class StoreStatus(IntEnum):
    """Status of a C-STORE response, failure reason of STOW-RS.

    Warnings (B000, B006, B007) are never sent: receivers read them unpredictably.
    """

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    """The sender may try again."""
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
    """These two are of STOW-RS only (PS3.18 §I.2.2): an association refuses the presentation context instead."""


class StoreSituation(Enum):
    """Outcome of an instance that a hospital sent."""

    STORED = "stored"
    """Durable and in the journal."""
    DUPLICATE = "duplicate"
    """The very instance is already here: a resend after a lost answer is a success."""
    QUARANTINED = "quarantined"
    """Readable, but not to be decided by a machine; the hospital did its part."""
    NO_SPACE = "no-space"
    """The disk or the journal failed during the write."""
    UID_MISMATCH = "uid-mismatch"
    """The command's UID is not the dataset's, or is no valid UID; never repaired silently."""
    MALFORMED = "malformed"
    """The strict walk could not read it."""
    SOP_CLASS = "sop-class"
    """No storage SOP Class."""
    TRANSFER_SYNTAX = "transfer-syntax"
    """None that can be kept."""


STORE_STATUS: dict[StoreSituation, StoreStatus] = {
    StoreSituation.STORED: StoreStatus.SUCCESS,
    StoreSituation.DUPLICATE: StoreStatus.SUCCESS,
    StoreSituation.QUARANTINED: StoreStatus.SUCCESS,
    StoreSituation.NO_SPACE: StoreStatus.OUT_OF_RESOURCES,
    StoreSituation.UID_MISMATCH: StoreStatus.DOES_NOT_MATCH_SOP_CLASS,
    StoreSituation.MALFORMED: StoreStatus.CANNOT_UNDERSTAND,
    StoreSituation.SOP_CLASS: StoreStatus.SOP_CLASS_NOT_SUPPORTED,
    StoreSituation.TRANSFER_SYNTAX: StoreStatus.TRANSFER_SYNTAX_NOT_SUPPORTED,
}


class AssociationRejection(Enum):
    """An association refused, as (result, source, reason) of A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    UNKNOWN_CALLING_AE_TITLE = (1, 1, 3)
    UNKNOWN_CALLED_AE_TITLE = (1, 1, 7)
    CONGESTED = (2, 3, 1)
    """Above a watermark or out of slots: nothing is half sent, the sender comes again."""
    LOCAL_LIMIT = (2, 3, 2)
    """Shutting down, or the journal cannot be reached."""


CONSECUTIVE_FAILURES_BEFORE_ABORT = 3
"""After so many 0xA700 in a row the association is aborted: some senders stop their whole queue otherwise."""
