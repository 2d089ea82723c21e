"""An Orthanc as source: its changes are followed, and each stable study is taken over, file by file.

How far the changes have been followed is written down after each batch: what is taken twice is a duplicate.
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
_PIECE = 1 << 20
_TIMEOUT_SECONDS = 60
_TAKEN = (StoreSituation.STORED, StoreSituation.DUPLICATE, StoreSituation.QUARANTINED)


@dataclass(frozen=True, slots=True)
class OrthancFeed:
    """Which Orthanc is followed, as whom, and which of its studies are wanted."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    label: str | None = None
    """Only studies with this label; None for all."""


@dataclass(frozen=True, slots=True)
class TransferredStudy:
    """A stable study of the Orthanc, and how much of it is in the journal now."""

    instances: int
    received: int
    refused: int


class OrthancSource:
    """The Orthanc of `feed`, as one hospital's sender.

    Raises `HubError`: `source-unavailable` when it does not answer, `source-refused` when it refuses, `source-labels`
    when a label is asked for and it is older than 1.12, which brought labels.
    """

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
        """The studies that became stable since the last time, until there is no further change."""
        if self._label is not None and not self._ask(self._client.is_orthanc_version_at_least, 1, 12, 0):
            raise HubError("this Orthanc has no labels", code="source-labels", hint="Orthanc 1.12, or no --label")
        since, done = self._position(), False
        while not done:
            changes, since, done = self._changes(since)
            stable = dict.fromkeys(one.resource_id for one in changes if one.change_type == ChangeType.STABLE_STUDY)
            for study in stable:
                taken = self._take(study)
                if taken is not None:
                    yield taken
            self._followed(since)

    def _changes(self, since: int) -> Any:
        try:
            return self._ask(self._client.get_changes, since, BATCH)
        except orthanc.ResourceNotFound:
            raise HubError("this is no Orthanc", code="source-unavailable", hint="check its address") from None

    def _take(self, study: str) -> TransferredStudy | None:
        """One study; nothing where it is gone meanwhile, or has not the label."""
        try:
            if self._label is not None and self._label not in self._ask(self._client.studies.get_labels, study):
                return None
            uid = self._ask(self._client.get_json, f"studies/{study}")["MainDicomTags"]["StudyInstanceUID"]
            instances = [one["ID"] for one in self._ask(self._client.get_json, f"studies/{study}/instances")]
            outcomes = [self._instance(instance) for instance in instances]
        except orthanc.ResourceNotFound:
            return None
        if StoreSituation.NO_SPACE in outcomes:
            raise HubError("there is no room for more", code="spool-full", hint="run it again when there is")
        taken = TransferredStudy(
            len(instances), sum(one in _TAKEN for one in outcomes), sum(one not in _TAKEN for one in outcomes)
        )
        if taken.received and not taken.refused:
            with self._login.begin() as connection:
                completeness.announced(connection, self._sender.hospital, uid)
        return taken

    def _instance(self, instance: str) -> StoreSituation:
        response = self._ask(self._client.get, f"instances/{instance}/file", stream=True, timeout=_TIMEOUT_SECONDS)
        try:
            for piece in self._ask(response.iter_content, _PIECE):
                self._file.write(piece)
            return self._file.finish().received.situation
        finally:
            self._file.discard()
            response.close()

    def _ask(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            answer = call(*arguments, **options)
        except orthanc.ResourceNotFound:
            raise
        except (orthanc.ConnectionError, orthanc.TimeoutError, AttributeError):
            # orthanc-api-client turns other faults of the connection into no response, and then asks it for its JSON.
            raise HubError("the Orthanc does not answer", code="source-unavailable", hint="check its address") from None
        except orthanc.OrthancApiException:
            raise HubError(
                "the Orthanc refuses", code="source-refused", hint="check user and password, and see Orthanc's log"
            ) from None
        if answer is None:
            raise HubError("the Orthanc does not answer", code="source-unavailable", hint="check its address")
        return answer

    def _position(self) -> int:
        with self._login.begin() as connection:
            return progress.last_change(connection, self._sender.hospital, self._url)

    def _followed(self, change: int) -> None:
        with self._login.begin() as connection:
            progress.note_change(connection, self._sender.hospital, self._url, change)
