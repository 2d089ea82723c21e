"""Inline de-identification: in memory and before the acknowledgement, for senders whose originals are never kept.

It runs in a process of its own and decides on one instance alone. An instance with any doubt goes to the spool, where a
worker sees it together with its study. The object of a de-identified instance is stored at once and indexed later, with
its study.
"""

from __future__ import annotations

import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock, Thread

from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.archive import deidentification_changes, opposed_subjects
from imaging_hub.archive.index import StoredInstance
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import Plan, PlanCache
from imaging_hub.deidentification.identifiers.collector import IdentifierCollector
from imaging_hub.deidentification.source_and_outcome import AttributeChange, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.errors import HubError
from imaging_hub.intake import deidentification_socket, patient_identifiers, retention
from imaging_hub.intake.deidentification_socket import HandoverRequest
from imaging_hub.intake.study_keys import OriginalOwner, StudyKey, open_study_keys
from imaging_hub.keys.keyring import gateway_keys, hub_keys
from imaging_hub.log import log
from imaging_hub.pseudonymisation import identity, ins, traits
from imaging_hub.pseudonymisation.identity import ContestedIdentity
from imaging_hub.pseudonymisation.ins import QualifiedIns, UnqualifiedIns
from imaging_hub.pseudonymisation.pseudonyms import subject_pseudonyms
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work.inline_outcome import InlineOutcome, OutcomeSealer
from imaging_hub.work.object_group_commit import ObjectGroupCommit

CACHED_STUDIES = 64
"""Studies kept in memory."""
CACHE_SECONDS = 30.0
"""A study, its profile and its patient are looked up again after this time."""


@dataclass(frozen=True)
class _Study:
    """What the instances of one study have in common."""

    patient_id: str
    reading: QualifiedIns | UnqualifiedIns
    sid: str
    pseudonyms: Pseudonyms
    label: str
    plan: Plan
    key: StudyKey
    sealer: OutcomeSealer
    since: float


class InlineDeidentifier:
    """De-identifies instances; thread-safe, with an `InlineSession` per thread."""

    def __init__(self, settings: Settings, database: Database, third_party: ThirdParty) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.WORKER)
        self._third_party = third_party
        self._study_keys = open_study_keys(settings, self._login)
        self._objects = ObjectGroupCommit(ObjectStore(settings.objects))
        self._hub_keys = hub_keys(settings.keys)
        self._plans = PlanCache(settings.profile_folders)
        self._studies: OrderedDict[OriginalOwner, _Study] = OrderedDict()
        self._lock = Lock()

    def deidentify(self, request: HandoverRequest, dataset: Buffer, session: InlineSession) -> bytes | None:
        """Return the encrypted outcome of the instance, its object durable; None when it has to be spooled."""
        try:
            return self._deidentify(request, dataset, session)
        except (HubError, SQLAlchemyError, OSError) as fault:
            log.warning("inline-deidentification-failed", fault=type(fault).__name__, code=getattr(fault, "code", ""))
            return None

    def _deidentify(self, request: HandoverRequest, dataset: Buffer, session: InlineSession) -> bytes | None:
        owner = OriginalOwner(request.hospital, request.study_instance_uid)
        header = session.read(owner, dataset, request.transfer_syntax_uid)
        reading = ins.read(header, self._settings.environment)
        study = self._get_study(owner, request, reading)
        if study is None or study.patient_id != request.patient_id or study.reading != reading:
            return None
        study = self._add_identifiers(owner, study, frozenset(session.identifiers))
        outcome = session.engine(study.label, study.plan).deidentify(
            SourceInstance(dataset, request.transfer_syntax_uid), study.pseudonyms
        )
        if isinstance(outcome, Quarantined):
            if outcome.fault is not None:
                log.error("engine-fault", fault=outcome.fault.kind, place=outcome.fault.place, instances=1)
            return None
        change_list = session.change_list(outcome.changes, self._store_changes)
        stored = self._objects.put(outcome.part10)
        return study.sealer.seal(
            InlineOutcome(
                admission=StoredInstance(
                    replace(outcome, part10=(), changes=()), stored.digest, stored.size, change_list
                ),
                sid=study.sid,
                profile=study.label,
                searched=study.pseudonyms.identifiers,
                reading=reading,
                traits=traits.read(header),
            )
        )

    def _get_study(
        self, owner: OriginalOwner, request: HandoverRequest, reading: QualifiedIns | UnqualifiedIns
    ) -> _Study | None:
        """Return the study, cached or looked up; None when its instances have to be spooled."""
        with self._lock:
            cached = self._studies.get(owner)
        if cached is not None and time.monotonic() - cached.since < CACHE_SECONDS:
            return cached
        label, plan = self._plans.of(request.profile)
        key = self._study_keys.get_key(owner)
        with self._login.begin() as connection:
            if not retention.keeps_no_originals(connection, request.hospital):
                return None
            subject = identity.register(
                connection,
                gateway_keys(self._settings.keys),  # as it is now: it may have been renewed
                self._third_party,
                hospital=request.hospital,
                patient_id=request.patient_id,
                reading=reading,
            )
            if isinstance(subject, ContestedIdentity) or opposed_subjects.is_opposed(connection, subject.sid):
                return None
            identifiers = patient_identifiers.merge_identifiers(connection, key, frozenset())
        pseudonyms = replace(subject_pseudonyms(self._hub_keys, subject.sid, request.hospital), identifiers=identifiers)
        sealer, now = OutcomeSealer(self._hub_keys, key), time.monotonic()
        study = _Study(request.patient_id, reading, subject.sid, pseudonyms, label, plan, key, sealer, now)
        return self._cache(owner, study)

    def _add_identifiers(self, owner: OriginalOwner, study: _Study, identifiers: frozenset[str]) -> _Study:
        """Add the identifiers of one more header to the study, durably, before an instance is released."""
        if identifiers <= study.pseudonyms.identifiers:
            return study
        with self._login.begin() as connection:
            all_identifiers = patient_identifiers.merge_identifiers(connection, study.key, identifiers)
        return self._cache(owner, replace(study, pseudonyms=replace(study.pseudonyms, identifiers=all_identifiers)))

    def _store_changes(self, changes: Sequence[AttributeChange]) -> str:
        with self._login.begin() as connection:
            return deidentification_changes.store(connection, [changes])[0]

    def _cache(self, owner: OriginalOwner, study: _Study) -> _Study:
        with self._lock:
            self._studies[owner] = study
            self._studies.move_to_end(owner)
            while len(self._studies) > CACHED_STUDIES:
                self._studies.popitem(last=False)
        return study


class InlineSession:
    """State of one thread from instance to instance, since slices of a series repeat most of the work."""

    def __init__(self) -> None:
        self._owner: OriginalOwner | None = None
        self._collector = IdentifierCollector()
        self._label = ""
        self._engine: Deidentifier | None = None
        self._changes: tuple[Sequence[AttributeChange], str] = ((), "")

    @property
    def identifiers(self) -> set[str]:
        """Identifiers of the patient in the headers that were read of the present study."""
        return self._collector.found

    def read(self, owner: OriginalOwner, dataset: Buffer, transfer_syntax_uid: str) -> Dataset:
        """Parse the header of an instance and collect its identifiers."""
        if owner != self._owner:
            self._owner, self._collector = owner, IdentifierCollector()
        start = self._collector.read_start(dataset, len(dataset), transfer_syntax_uid)
        return self._collector.read(dataset, transfer_syntax_uid) if start is None else start

    def change_list(self, changes: Sequence[AttributeChange], keep: Callable[[Sequence[AttributeChange]], str]) -> str:
        """Return the digest of a list of changes, stored by `keep` unless it equals that of the previous instance."""
        if changes != self._changes[0] or not self._changes[1]:
            self._changes = (changes, keep(changes))
        return self._changes[1]

    def engine(self, label: str, plan: Plan) -> Deidentifier:
        """Return the engine of a plan, reused while the plan stays the same."""
        if self._engine is None or label != self._label:
            self._engine, self._label = Deidentifier(plan), label
        return self._engine


def run(settings: Settings, database: Database) -> None:
    """Serve gateways until stopped."""
    deidentifier = InlineDeidentifier(settings, database, ThirdParty.connect(settings))
    listener = deidentification_socket.listen(settings.handover_socket)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(listener))
    serve(listener, deidentifier)


def _end(listener: socket.socket) -> None:
    """Have `serve` return; a second signal finds the socket shut down or closed."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def serve(listener: socket.socket, deidentifier: InlineDeidentifier) -> None:
    """Serve each connection in a thread of its own, until the socket is shut down."""
    with listener:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            Thread(
                target=_serve_connection, args=(connection, deidentifier), name="inline-deidentification", daemon=True
            ).start()


def _serve_connection(connection: socket.socket, deidentifier: InlineDeidentifier) -> None:
    session = InlineSession()
    with connection:
        while True:
            try:
                request, dataset = deidentification_socket.receive_request(connection)
                deidentification_socket.send_outcome(connection, deidentifier.deidentify(request, dataset, session))
            except OSError:
                return
