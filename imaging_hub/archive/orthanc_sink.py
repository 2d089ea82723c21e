"""Orthanc sink: an Orthanc that receives a copy of each releasable study, verified byte for byte."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from orthanc_api_client import OrthancApiClient
from orthanc_api_client import exceptions as orthanc
from sqlalchemy import text

from imaging_hub.archive import search
from imaging_hub.archive.index import ArchivedStudyState
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.search import ArchivedInstance
from imaging_hub.archive.search_filters import StudyFilter
from imaging_hub.database import DatabaseLogin
from imaging_hub.errors import HubError

_PAUSES_SECONDS = (0.5, 2.0, 8.0)


class OrthancSink:
    """The Orthanc at `url`; methods may be repeated after any fault.

    They raise `HubError`: `sink-unavailable` when it does not respond after some attempts, `sink-refused` when it
    refuses an object, `sink-differs` when it returns other bytes than were sent.
    """

    def __init__(
        self,
        url: str,
        objects: ObjectStore,
        pauses_seconds: Sequence[float] = _PAUSES_SECONDS,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._client = OrthancApiClient(url.rstrip("/") + "/")
        self._objects = objects
        self._pauses_seconds = pauses_seconds
        self._timeout_seconds = timeout_seconds

    def send(self, instance: ArchivedInstance) -> None:
        """Store an instance and read it back; one that is stored already is not sent again."""
        if self._holds(instance):
            return
        # Orthanc does not replace an instance of the same UID (OverwriteInstances=false), so it is deleted first.
        for name in self._orthanc_ids(instance):
            self._request("delete", f"instances/{name}")
        self._request("post", "instances", data=self._objects.get(instance.digest))
        if not self._holds(instance):
            raise HubError("The sink does not hold the bytes it was sent.", code="sink-differs", hint="check the sink")

    def send_study(self, login: DatabaseLogin, study_instance_uid: str) -> None:
        """Send the instances of a releasable study, and record each in the index."""
        with login.begin() as connection:
            wanted = StudyFilter(study_uids=[study_instance_uid], state=ArchivedStudyState.RELEASABLE)
            instances = search.find_instances(connection, of_study=wanted)
        for instance in instances:
            self.send(instance)
            with login.begin() as connection:
                connection.execute(
                    text(
                        "UPDATE hub.instance SET sink_digest = :digest"
                        " WHERE sop_instance_uid = :uid AND digest = :digest"
                    ),
                    {"uid": instance.sop_instance_uid, "digest": instance.digest},
                )

    def _holds(self, instance: ArchivedInstance) -> bool:
        files = (self._request("get", f"instances/{name}/file").content for name in self._orthanc_ids(instance))
        return any(sha256(file).hexdigest() == instance.digest for file in files)

    def _orthanc_ids(self, instance: ArchivedInstance) -> list[str]:
        """Return Orthanc's ids of instances with this SOP Instance UID."""
        resources = self._request("post", "tools/lookup", data=instance.sop_instance_uid).json()
        return [resource["ID"] for resource in resources if resource["Type"] == "Instance"]

    def _request(self, method: str, endpoint: str, **arguments: object) -> Any:
        """Request with retries after pauses while the sink does not respond."""
        for pause in (*self._pauses_seconds, None):
            try:
                response = getattr(self._client, method)(endpoint, timeout=self._timeout_seconds, **arguments)
            except (orthanc.ConnectionError, orthanc.TimeoutError):
                response = None
            except orthanc.OrthancApiException:
                # `from None`, because the client's message repeats Orthanc's, which may quote the data.
                raise HubError("The sink does not take it.", code="sink-refused", hint="see Orthanc's log") from None
            # orthanc-api-client 0.25 returns None on other connection faults.
            if response is not None:
                return response
            if pause is not None:
                time.sleep(pause)
        raise HubError("The sink does not answer.", code="sink-unavailable", hint="check orthanc_sink_url")
