"""De-identification in memory, before the answer, for senders whose originals are never kept: a process of its own.

It decides on an instance alone, and only where nothing speaks against it; whatever else there is takes the spool, where
a worker sees it beside its whole study. What passes here is stored and not yet indexed: that too waits for the study.
"""

from __future__ import annotations

import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock, Thread

from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.archive import change_lists, opposition
from imaging_hub.archive.index import StoredInstance
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, DatabaseRole
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import Plan, PlanCache
from imaging_hub.deidentification.identifiers.collector import IdentifierCollector
from imaging_hub.deidentification.instance import AttributeChange, Pseudonyms, Quarantined, SourceInstance
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
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work.group_store import GroupStore
from imaging_hub.work.inline_outcome import InlineOutcome, OutcomeSealer

REMEMBERED = 64
"""Studies that arrive at once."""
FRESH_SECONDS = 30.0
"""What is known of a study, its profile and its patient is looked up again after so long."""


@dataclass(frozen=True)
class _Study:
    """What does not change from instance to instance."""

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
    """Lets instances of known studies through; safe among threads, each of which has a `InlineSession` of its own."""

    def __init__(self, settings: Settings, database: Database, third_party: ThirdParty) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.WORKER)
        self._third_party = third_party
        self._study_keys = open_study_keys(settings, self._login)
        self._storing = GroupStore(ObjectStore(settings.objects))
        self._hub_keys = hub_keys(settings.keys)
        self._plans = PlanCache(settings.profile_folders)
        self._studies: OrderedDict[OriginalOwner, _Study] = OrderedDict()
        self._lock = Lock()

    def deidentify(self, handed: HandoverRequest, dataset: Buffer, session: InlineSession) -> bytes | None:
        """The sealed outcome of an instance that passed, its object durable; None where it has to take the spool."""
        try:
            return self._deidentify(handed, dataset, session)
        except (HubError, SQLAlchemyError, OSError) as fault:
            log.warning("inline-deidentification-failed", fault=type(fault).__name__, code=getattr(fault, "code", ""))
            return None

    def _deidentify(self, handed: HandoverRequest, dataset: Buffer, session: InlineSession) -> bytes | None:
        owner = OriginalOwner(handed.hospital, handed.study_instance_uid)
        header = session.read(owner, dataset, handed.transfer_syntax_uid)
        reading = ins.read(header, self._settings.environment)
        study = self._study(owner, handed, reading)
        if study is None or study.patient_id != handed.patient_id or study.reading != reading:
            return None
        study = self._knowing(owner, study, frozenset(session.identifiers))
        outcome = session.engine(study.label, study.plan).deidentify(
            SourceInstance(dataset, handed.transfer_syntax_uid), study.pseudonyms
        )
        if isinstance(outcome, Quarantined):
            if outcome.fault is not None:
                log.error("engine-fault", fault=outcome.fault.kind, place=outcome.fault.place, instances=1)
            return None
        change_list = session.change_list(outcome.changes, self._kept)
        stored = self._storing.put(outcome.part10)
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

    def _study(
        self, owner: OriginalOwner, handed: HandoverRequest, reading: QualifiedIns | UnqualifiedIns
    ) -> _Study | None:
        """What is known of a study; None where it is for people, or for its worker, to decide."""
        with self._lock:
            known = self._studies.get(owner)
        if known is not None and time.monotonic() - known.since < FRESH_SECONDS:
            return known
        label, plan = self._plans.of(handed.profile)
        key = self._study_keys.get_key(owner)
        with self._login.begin() as connection:
            if not retention.keeps_no_originals(connection, handed.hospital):
                return None
            subject = identity.register(
                connection,
                gateway_keys(self._settings.keys),  # as it is now: it may have been renewed
                self._third_party,
                hospital=handed.hospital,
                patient_id=handed.patient_id,
                reading=reading,
            )
            if isinstance(subject, ContestedIdentity) or opposition.is_opposed(connection, subject.sid):
                return None
            named = patient_identifiers.merge_identifiers(connection, key, frozenset())
        pseudonyms = replace(subject_pseudonyms(self._hub_keys, subject.sid, handed.hospital), identifiers=named)
        sealer, now = OutcomeSealer(self._hub_keys, key), time.monotonic()
        made = _Study(handed.patient_id, reading, subject.sid, pseudonyms, label, plan, key, sealer, now)
        return self._remember(owner, made)

    def _knowing(self, owner: OriginalOwner, study: _Study, identifiers: frozenset[str]) -> _Study:
        """The study with what one more header names its patient by; kept before anything passes."""
        if identifiers <= study.pseudonyms.identifiers:
            return study
        with self._login.begin() as connection:
            named = patient_identifiers.merge_identifiers(connection, study.key, identifiers)
        return self._remember(owner, replace(study, pseudonyms=replace(study.pseudonyms, identifiers=named)))

    def _kept(self, changes: Sequence[AttributeChange]) -> str:
        with self._login.begin() as connection:
            return change_lists.store(connection, [changes])[0]

    def _remember(self, owner: OriginalOwner, study: _Study) -> _Study:
        with self._lock:
            self._studies[owner] = study
            self._studies.move_to_end(owner)
            while len(self._studies) > REMEMBERED:
                self._studies.popitem(last=False)
        return study


class InlineSession:
    """What one thread keeps from instance to instance: slices of a series repeat most of what is read and decided."""

    def __init__(self) -> None:
        self._owner: OriginalOwner | None = None
        self._collector = IdentifierCollector()
        self._label = ""
        self._engine: Deidentifier | None = None
        self._changes: tuple[Sequence[AttributeChange], str] = ((), "")

    @property
    def identifiers(self) -> set[str]:
        """What the headers of the study read last name its patient by."""
        return self._collector.found

    def read(self, owner: OriginalOwner, dataset: Buffer, transfer_syntax_uid: str) -> Dataset:
        """The header of an instance, its identifiers collected."""
        if owner != self._owner:
            self._owner, self._collector = owner, IdentifierCollector()
        start = self._collector.read_start(dataset, len(dataset), transfer_syntax_uid)
        return self._collector.read(dataset, transfer_syntax_uid) if start is None else start

    def change_list(self, changes: Sequence[AttributeChange], keep: Callable[[Sequence[AttributeChange]], str]) -> str:
        """The digest of a list of changes, kept by `keep` unless it is that of the instance before."""
        if changes != self._changes[0] or not self._changes[1]:
            self._changes = (changes, keep(changes))
        return self._changes[1]

    def engine(self, label: str, plan: Plan) -> Deidentifier:
        """The engine of a plan."""
        if self._engine is None or label != self._label:
            self._engine, self._label = Deidentifier(plan), label
        return self._engine


def run(settings: Settings, database: Database) -> None:
    """Let instances through until asked to stop."""
    deidentifier = InlineDeidentifier(settings, database, ThirdParty.connect(settings))
    listening = deidentification_socket.listen(settings.handover_socket)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: listening.shutdown(socket.SHUT_RDWR))
    serve(listening, deidentifier)


def serve(listening: socket.socket, deidentifier: InlineDeidentifier) -> None:
    """A thread a gateway's connection, until the socket is shut down."""
    with listening:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            Thread(target=_attend, args=(line, deidentifier), name="inline-deidentification", daemon=True).start()


def _attend(line: socket.socket, deidentifier: InlineDeidentifier) -> None:
    session = InlineSession()
    with line:
        while True:
            try:
                handed, dataset = deidentification_socket.receive_request(line)
                deidentification_socket.send_outcome(line, deidentifier.deidentify(handed, dataset, session))
            except OSError:
                return
