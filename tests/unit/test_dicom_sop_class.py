"""Storage SOP Classes, transfer syntaxes and statuses."""

from __future__ import annotations

import pytest
from pynetdicom.sop_class import _STORAGE_CLASSES

from imaging_hub.dicom import sop_class, transfer_syntax
from imaging_hub.dicom.sop_class import InstanceKind
from imaging_hub.dicom.status import STORE_STATUS, StoreSituation, StoreStatus


def test_every_storage_class_that_the_network_library_knows_is_here() -> None:
    assert set(_STORAGE_CLASSES.values()) <= set(sop_class.NAMES)


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.1.3.10", "1.2.840.10008.1.20.1", "1.2.840.10008.1.1", "1.2.840.10008.5.1.1.27", "1.2.3"]
)
def test_a_directory_a_commitment_and_a_verification_are_no_storage(uid: str) -> None:
    assert not sop_class.is_storage(uid)


@pytest.mark.parametrize(
    ("uid", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", InstanceKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.66.4", InstanceKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.481.2", InstanceKind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.481.3", InstanceKind.RADIOTHERAPY),
        ("1.2.840.10008.5.1.4.1.1.88.67", InstanceKind.REPORT),
        ("1.2.840.10008.5.1.4.1.1.104.1", InstanceKind.DOCUMENT),
        ("1.2.840.10008.5.1.4.1.1.9.1.1", InstanceKind.WAVEFORM),
        ("1.2.840.10008.5.1.4.1.1.11.1", InstanceKind.PRESENTATION_STATE),
        ("1.2.840.10008.5.1.4.1.1.77.1.1.1", InstanceKind.VIDEO),
        ("1.2.840.10008.5.1.4.1.1.66", InstanceKind.OTHER),
        ("1.2.3", InstanceKind.OTHER),
    ],
)
def test_a_class_has_a_kind(uid: str, kind: InstanceKind) -> None:
    assert sop_class.kind(uid) is kind


def test_an_unknown_class_is_called_by_its_uid() -> None:
    assert sop_class.name("1.2.3") == "1.2.3"
    assert sop_class.name("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage"


def test_deflated_datasets_can_be_read_but_are_not_asked_for() -> None:
    assert transfer_syntax.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN in transfer_syntax.KNOWN
    assert transfer_syntax.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN not in transfer_syntax.NEGOTIATED


def test_every_situation_has_a_status_and_only_faults_of_the_sender_or_the_disk_fail() -> None:
    assert set(STORE_STATUS) == set(StoreSituation)
    failing = {situation for situation, status in STORE_STATUS.items() if status is not StoreStatus.SUCCESS}
    of_the_sender = {
        StoreSituation.UID_MISMATCH,
        StoreSituation.MALFORMED,
        StoreSituation.SOP_CLASS,
        StoreSituation.TRANSFER_SYNTAX,
    }
    assert failing == {StoreSituation.NO_SPACE, *of_the_sender}
