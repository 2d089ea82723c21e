"""Transfer of the stable studies of an Orthanc, by following its changes.

The position among the changes is stored after each batch; an instance that is transferred twice is a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orthanc_api_client import ChangeType, OrthancApiClient
from orthanc_api_client import exceptions as orthanc

from imaging_hub.database import DatabaseLogin
from imaging_hub.dicom.status import StoreSituation
from imaging_hub.errors import HubError
from imaging_hub.gateway.dicom_file import IncomingFileReader
from imaging_hub.gateway.reception import Reception
from imaging_hub.gateway.senders import Sender
from imaging_hub.intake import completeness
from imaging_hub.retrieval import progress

BATCH = 100
_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60
_IN_JOURNAL = (StoreSituation.STORED, StoreSituation.DUPLICATE, StoreSituation.QUARANTINED)


@dataclass(frozen=True, slots=True)
class OrthancFeed:
    """Address of an Orthanc, the user there, and the label of the studies to transfer."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    label: str | None = None
    """Only studies with this label; None for all."""


@dataclass(frozen=True, slots=True)
class TransferredStudy:
    """Counts of the instances of a transferred study: in the Orthanc, in the journal, refused."""

    instances: int
    received: int
    refused: int


class OrthancSource:
    """The Orthanc of `feed`, as one hospital's sender."""

    def __init__(
        self,
        feed: OrthancFeed,
        login: DatabaseLogin,
        reception: Reception,
        sender: Sender,
        *,
        dataset_max_bytes: int,
    ) -> None:
        self._url = feed.url.rstrip("/") + "/"
        self._client = OrthancApiClient(self._url, user=feed.user, pwd=feed.password)
        self._login = login
        self._reception = reception
        self._sender = sender
        self._file = IncomingFileReader(reception, sender, dataset_max_bytes)
        self._label = feed.label

    def follow(self) -> Iterator[TransferredStudy]:
        """Transfer the studies that became stable since the last call, and yield each.

        Raises `HubError`: `source-unavailable` when Orthanc does not answer, `source-refused` when it refuses,
        `source-labels` for a label with an Orthanc before 1.12, `spool-full` when there is no room.
        """
        if self._label is not None and not self._call(self._client.is_orthanc_version_at_least, 1, 12, 0):
            raise HubError("this Orthanc has no labels", code="source-labels", hint="Orthanc 1.12, or no --label")
        since, done = self._read_position(), False
        while not done:
            changes, since, done = self._fetch_changes(since)
            stable = dict.fromkeys(
                change.resource_id for change in changes if change.change_type == ChangeType.STABLE_STUDY
            )
            for study in stable:
                transferred = self._transfer_study(study)
                if transferred is not None:
                    yield transferred
            self._record_position(since)

    def _fetch_changes(self, since: int) -> Any:
        try:
            return self._call(self._client.get_changes, since, BATCH)
        except orthanc.ResourceNotFound:
            raise HubError("this is no Orthanc", code="source-unavailable", hint="check its address") from None

    def _transfer_study(self, study: str) -> TransferredStudy | None:
        """Transfer one study; return None when it was deleted meanwhile or does not have the label."""
        try:
            if self._label is not None and self._label not in self._call(self._client.studies.get_labels, study):
                return None
            uid = self._call(self._client.get_json, f"studies/{study}")["MainDicomTags"]["StudyInstanceUID"]
            instances = [instance["ID"] for instance in self._call(self._client.get_json, f"studies/{study}/instances")]
            situations = [self._transfer_instance(instance) for instance in instances]
        except orthanc.ResourceNotFound:
            return None
        if StoreSituation.NO_SPACE in situations:
            raise HubError("there is no room for more", code="spool-full", hint="run it again when there is")
        transferred = TransferredStudy(
            len(instances),
            sum(situation in _IN_JOURNAL for situation in situations),
            sum(situation not in _IN_JOURNAL for situation in situations),
        )
        if transferred.received and not transferred.refused:
            with self._login.begin() as connection:
                completeness.close_announced_study(connection, self._sender.hospital, uid)
        return transferred

    def _transfer_instance(self, instance: str) -> StoreSituation:
        response = self._call(self._client.get, f"instances/{instance}/file", stream=True, timeout=_TIMEOUT_SECONDS)
        try:
            for chunk in self._call(response.iter_content, _CHUNK_BYTES):
                self._file.write(chunk)
            return self._file.finish().received.situation
        finally:
            self._file.discard()
            response.close()

    def _call(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            answer = call(*arguments, **options)
        except orthanc.ResourceNotFound:
            raise
        except (orthanc.ConnectionError, orthanc.TimeoutError, AttributeError):
            # orthanc-api-client turns other connection faults into a response of None, and reads its JSON.
            raise HubError("the Orthanc does not answer", code="source-unavailable", hint="check its address") from None
        except orthanc.OrthancApiException:
            raise HubError(
                "the Orthanc refuses", code="source-refused", hint="check user and password, and see Orthanc's log"
            ) from None
        if answer is None:
            raise HubError("the Orthanc does not answer", code="source-unavailable", hint="check its address")
        return answer

    def _read_position(self) -> int:
        with self._login.begin() as connection:
            return progress.last_change(connection, self._sender.hospital, self._url)

    def _record_position(self, change: int) -> None:
        with self._login.begin() as connection:
            progress.record_change(connection, self._sender.hospital, self._url, change)
