"""An Orthanc that receives a copy of what may leave: stored, read back, and compared byte for byte."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from orthanc_api_client import OrthancApiClient
from orthanc_api_client import exceptions as orthanc
from sqlalchemy import text

from imaging_hub.archive import search
from imaging_hub.archive.filters import StudyFilter
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.search import Instance
from imaging_hub.database import Database, Role
from imaging_hub.errors import HubError

_PAUSES_SECONDS = (0.5, 2.0, 8.0)
_T = TypeVar("_T")


class OrthancSink:
    """The Orthanc at `url`; every method may be called again after any fault.

    Raises `HubError`: `sink-unavailable` when it does not answer after some attempts, `sink-refused`
    when it does not take an object, `sink-differs` when it holds other bytes than were sent.
    """

    def __init__(
        self,
        url: str,
        objects: ObjectStore,
        pauses_seconds: tuple[float, ...] = _PAUSES_SECONDS,
    ) -> None:
        self._client = OrthancApiClient(url.rstrip("/") + "/")
        self._objects = objects
        self._pauses_seconds = pauses_seconds

    def send(self, instance: Instance) -> None:
        """Store one instance and see that what came to lie there is it; one already there is not sent again."""
        if self._holds(instance):
            return
        content = self._objects.get(instance.digest)
        self._patiently(lambda: self._client.upload(content))
        if not self._holds(instance):
            # Orthanc keeps the file it has when an instance of that UID comes again (OverwriteInstances=false).
            self._patiently(lambda: self._client.instances.delete(self._ids(instance)[0]))
            self._patiently(lambda: self._client.upload(content))
        if not self._holds(instance):
            raise HubError("The sink does not hold the bytes it was sent.", code="sink-differs", hint="check the sink")

    def send_study(self, database: Database, study_instance_uid: str) -> None:
        """Send what the sink was not yet seen to hold of a releasable study, remembering each instance."""
        with database.begin(Role.WORKER) as connection:
            wanted = StudyFilter(study_uids=[study_instance_uid], state="RELEASABLE")
            found = search.instances(connection, of_study=wanted)
        for instance in found:
            self.send(instance)
            with database.begin(Role.WORKER) as connection:
                connection.execute(
                    text(
                        "UPDATE hub.instance SET sink_digest = :digest"
                        " WHERE sop_instance_uid = :uid AND digest = :digest"
                    ),
                    {"uid": instance.sop_instance_uid, "digest": instance.digest},
                )

    def _holds(self, instance: Instance) -> bool:
        for name in self._ids(instance):
            stored = self._patiently(lambda name=name: self._client.instances.get_file(name))
            if sha256(stored).hexdigest() == instance.digest:
                return True
        return False

    def _ids(self, instance: Instance) -> list[str]:
        """Orthanc's names of instances with this SOP Instance UID."""
        return self._patiently(lambda: self._client.lookup(instance.sop_instance_uid, "Instance"))

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """The result of a call, tried again after pauses while the sink does not answer."""
        for pause in (*self._pauses_seconds, None):
            try:
                return call()
            except (orthanc.ConnectionError, orthanc.TimeoutError):
                # `from None`: the client's messages hold addresses and what Orthanc said of the data.
                if pause is None:
                    raise HubError(
                        "The sink does not answer.",
                        code="sink-unavailable",
                        hint="check orthanc_sink_url and the Orthanc",
                    ) from None
                time.sleep(pause)
            except orthanc.OrthancApiException:
                raise HubError(
                    "The sink does not take an object.", code="sink-refused", hint="see the log of the Orthanc"
                ) from None
        raise AssertionError
