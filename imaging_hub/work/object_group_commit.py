"""Group commit of objects: those that threads hand in during one flush share the next one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Lock

from imaging_hub.archive.objects import ObjectStore, StoredObject
from imaging_hub.dicom.elements import Buffer

_Waiting = tuple[Sequence[Buffer], Future[StoredObject]]


class ObjectGroupCommit:
    """Stores one object per calling thread; the thread that finds the disk idle stores those of all that wait."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._waiting: list[_Waiting] = []
        self._queue = Lock()
        self._disk = Lock()

    def put(self, buffers: Sequence[Buffer]) -> StoredObject:
        """As `ObjectStore.put`, durable on return. Raises `StorageUnavailable`."""
        stored: Future[StoredObject] = Future()
        with self._queue:
            self._waiting.append((buffers, stored))
        with self._disk:
            if not stored.done():
                with self._queue:
                    batch, self._waiting = self._waiting, []
                self._store(batch)
        return stored.result()

    def _store(self, batch: Sequence[_Waiting]) -> None:
        try:
            objects = self._objects.put_all([buffers for buffers, _ in batch])
        except BaseException as fault:
            for _, stored in batch:
                stored.set_exception(fault)
            return
        for (_, stored), stored_object in zip(batch, objects, strict=True):
            stored.set_result(stored_object)
