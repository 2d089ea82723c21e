"""Reception of an instance as a DICOM file (PS3.10 §7), in chunks: by STOW-RS, from a folder, from an Orthanc."""

from __future__ import annotations

from dataclasses import dataclass

from imaging_hub.dicom import part10, sop_class, transfer_syntax
from imaging_hub.dicom.elements import Buffer
from imaging_hub.dicom.part10 import FileMeta
from imaging_hub.dicom.status import StoreSituation
from imaging_hub.errors import MalformedDataset
from imaging_hub.gateway.incoming_dataset import IncomingDataset
from imaging_hub.gateway.reception import AnnouncedInstance, ReceivedInstance, Reception, encode_file_meta
from imaging_hub.gateway.senders import Sender

META_MAX_BYTES = 1 << 16
"""Preamble and file meta information have to end within these first bytes."""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """Result of a file, without UIDs when its file meta information could not be read."""

    received: ReceivedInstance
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


class IncomingFileReader:
    """Receives one file after another, each in no more memory than an `IncomingDataset` holds.

    Of the sender's file meta information only SOP Class, SOP Instance and Transfer Syntax UID are used.
    """

    def __init__(self, reception: Reception, sender: Sender, dataset_max_bytes: int) -> None:
        self._reception = reception
        self._sender = sender
        self._dataset_max_bytes = dataset_max_bytes
        self._body = IncomingDataset(reception.spool)
        self._start = bytearray()
        self._meta: FileMeta | None = None
        self._refused: ReceivedInstance | None = None

    def write(self, data: Buffer) -> None:
        """Append the next chunk of the file."""
        if self._meta is not None:
            self._append(data)
        elif self._refused is None:
            self._start += data
            if len(self._start) >= META_MAX_BYTES:
                self._read_file_meta()

    def finish(self, study_instance_uid: str | None = None) -> ReceivedFile:
        """Store the complete file, which has to belong to the study with `study_instance_uid`, if given.

        Raises `StorageUnavailable` as `Reception.store` does.
        """
        if self._meta is None and self._refused is None:
            self._read_file_meta()
        meta, refused = self._meta or FileMeta("", "", ""), self._refused
        try:
            return ReceivedFile(
                refused or self._reception.store(self._announce(meta, study_instance_uid), self._body),
                meta.sop_class_uid,
                meta.sop_instance_uid,
            )
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop the file."""
        self._body.discard()
        self._start.clear()
        self._meta = self._refused = None

    def _read_file_meta(self) -> None:
        """Read the file meta information, and start the dataset with our own."""
        try:
            self._meta, dataset = part10.split(bytes(self._start))
        except MalformedDataset as fault:
            self._refused = ReceivedInstance(StoreSituation.MALFORMED, fault.code)
            return
        self._start.clear()
        if self._meta.transfer_syntax_uid not in transfer_syntax.NEGOTIATED:
            self._refused = ReceivedInstance(StoreSituation.TRANSFER_SYNTAX, "unsupported-transfer-syntax")
        elif not sop_class.is_kept(self._meta.sop_class_uid):
            self._refused = ReceivedInstance(StoreSituation.SOP_CLASS, "sop-class-refused")
        else:
            self._body.begin(encode_file_meta(self._announce(self._meta, None)), self._meta.transfer_syntax_uid)
            self._append(dataset)

    def _append(self, data: Buffer) -> None:
        if self._refused is None and self._body.size + len(data) > self._dataset_max_bytes:
            self._body.discard()
            self._refused = ReceivedInstance(StoreSituation.MALFORMED, "dataset-too-long")
        if self._refused is None:
            self._body.write(data)

    def _announce(self, meta: FileMeta, study_instance_uid: str | None) -> AnnouncedInstance:
        return AnnouncedInstance(
            self._sender, meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, study_instance_uid
        )
