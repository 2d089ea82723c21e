"""The door as a process: de-identifies in memory, before the answer, what is to leave no original.

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

from imaging_hub.archive import changes as change_lists
from imaging_hub.archive import opposition
from imaging_hub.archive.index import Admission
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.database import Database, Role
from imaging_hub.deidentification.engine import Engine
from imaging_hub.deidentification.identifiers import Collector
from imaging_hub.deidentification.instance import Change, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.deidentification.plan import Plan
from imaging_hub.dicom.elements import Buffer, Dataset
from imaging_hub.errors import HubError
from imaging_hub.intake import door, retention, study_identifiers
from imaging_hub.intake.door import Handed
from imaging_hub.intake.vault import Owner, StudyKey, open_vault
from imaging_hub.log import log
from imaging_hub.pseudonymisation import identity, ins, pseudonyms, traits
from imaging_hub.pseudonymisation.identity import Contested
from imaging_hub.pseudonymisation.ins import NotQualified, Qualified
from imaging_hub.pseudonymisation.keyring import gateway_keys, hub_keys
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work.group_store import GroupStore
from imaging_hub.work.outcome import Envelopes, Outcome
from imaging_hub.work.plans import Plans

REMEMBERED = 64
"""Studies that arrive at once."""
FRESH_SECONDS = 30.0
"""What is known of a study, its profile and its patient is looked up again after so long."""


@dataclass(frozen=True)
class _Study:
    """What does not change from instance to instance."""

    patient_id: str
    reading: Qualified | NotQualified
    sid: str
    pseudonyms: Pseudonyms
    label: str
    plan: Plan
    key: StudyKey
    envelopes: Envelopes
    since: float


class Doorkeeper:
    """Lets instances of known studies through; safe among threads, each of which has a `Desk` of its own."""

    def __init__(self, settings: Settings, database: Database, third_party: ThirdParty) -> None:
        self._settings = settings
        self._database = database
        self._third_party = third_party
        self._vault = open_vault(settings, database, Role.WORKER)
        self._storing = GroupStore(ObjectStore(settings.objects))
        self._hub_keys = hub_keys(settings.keys)
        self._plans = Plans(settings)
        self._studies: OrderedDict[Owner, _Study] = OrderedDict()
        self._lock = Lock()

    def pass_through(self, handed: Handed, dataset: Buffer, desk: Desk) -> bytes | None:
        """The sealed outcome of an instance that passed, its object durable; None where it has to take the spool."""
        try:
            return self._pass_through(handed, dataset, desk)
        except (HubError, SQLAlchemyError, OSError) as fault:
            log.warning("door-closed", fault=type(fault).__name__, code=getattr(fault, "code", ""))
            return None

    def _pass_through(self, handed: Handed, dataset: Buffer, desk: Desk) -> bytes | None:
        owner = Owner(handed.hospital, handed.study_instance_uid)
        header = desk.read(owner, dataset, handed.transfer_syntax_uid)
        reading = ins.read(header, self._settings.environment)
        study = self._study(owner, handed, reading)
        if study is None or study.patient_id != handed.patient_id or study.reading != reading:
            return None
        study = self._knowing(owner, study, frozenset(desk.identifiers))
        outcome = desk.engine(study.label, study.plan).deidentify(
            SourceInstance(dataset, handed.transfer_syntax_uid), study.pseudonyms
        )
        if isinstance(outcome, Quarantined):
            return None
        change_list = desk.change_list(outcome.changes, self._kept)
        stored = self._storing.put(outcome.part10)
        return study.envelopes.seal(
            Outcome(
                admission=Admission(replace(outcome, part10=(), changes=()), stored.digest, stored.size, change_list),
                sid=study.sid,
                profile=study.label,
                searched=study.pseudonyms.identifiers,
                reading=reading,
                traits=traits.read(header),
            )
        )

    def _study(self, owner: Owner, handed: Handed, reading: Qualified | NotQualified) -> _Study | None:
        """What is known of a study; None where it is for people, or for its worker, to decide."""
        with self._lock:
            known = self._studies.get(owner)
        if known is not None and time.monotonic() - known.since < FRESH_SECONDS:
            return known
        label, plan = self._plans.of(handed.profile)
        key = self._vault.of(owner)
        with self._database.begin(Role.WORKER) as connection:
            if not retention.keeps_none(connection, handed.hospital):
                return None
            who = identity.register(
                connection,
                gateway_keys(self._settings.keys),  # as it is now: it may have been renewed
                self._third_party,
                hospital=handed.hospital,
                patient_id=handed.patient_id,
                reading=reading,
            )
            if isinstance(who, Contested) or opposition.stands(connection, who.sid):
                return None
            named = study_identifiers.unite(connection, key, frozenset())
        stand_ins = replace(pseudonyms.for_subject(self._hub_keys, who.sid, handed.hospital), identifiers=named)
        envelopes, now = Envelopes(self._hub_keys, key), time.monotonic()
        made = _Study(handed.patient_id, reading, who.sid, stand_ins, label, plan, key, envelopes, now)
        return self._remember(owner, made)

    def _knowing(self, owner: Owner, study: _Study, identifiers: frozenset[str]) -> _Study:
        """The study with what one more header names its patient by; kept before anything passes."""
        if identifiers <= study.pseudonyms.identifiers:
            return study
        with self._database.begin(Role.WORKER) as connection:
            named = study_identifiers.unite(connection, study.key, identifiers)
        return self._remember(owner, replace(study, pseudonyms=replace(study.pseudonyms, identifiers=named)))

    def _kept(self, changes: Sequence[Change]) -> str:
        with self._database.begin(Role.WORKER) as connection:
            return change_lists.keep(connection, [changes])[0]

    def _remember(self, owner: Owner, study: _Study) -> _Study:
        with self._lock:
            self._studies[owner] = study
            self._studies.move_to_end(owner)
            while len(self._studies) > REMEMBERED:
                self._studies.popitem(last=False)
        return study


class Desk:
    """What one thread keeps from instance to instance: slices of a series repeat most of what is read and decided."""

    def __init__(self) -> None:
        self._owner: Owner | None = None
        self._collector = Collector()
        self._label = ""
        self._engine: Engine | None = None
        self._changes: tuple[Sequence[Change], str] = ((), "")

    @property
    def identifiers(self) -> set[str]:
        """What the headers of the study read last name its patient by."""
        return self._collector.found

    def read(self, owner: Owner, dataset: Buffer, transfer_syntax_uid: str) -> Dataset:
        """The header of an instance, its identifiers collected."""
        if owner != self._owner:
            self._owner, self._collector = owner, Collector()
        start = self._collector.read_start(dataset, len(dataset), transfer_syntax_uid)
        return self._collector.read(dataset, transfer_syntax_uid) if start is None else start

    def change_list(self, changes: Sequence[Change], keep: Callable[[Sequence[Change]], str]) -> str:
        """The digest of a list of changes, kept by `keep` unless it is that of the instance before."""
        if changes != self._changes[0] or not self._changes[1]:
            self._changes = (changes, keep(changes))
        return self._changes[1]

    def engine(self, label: str, plan: Plan) -> Engine:
        """The engine of a plan."""
        if self._engine is None or label != self._label:
            self._engine, self._label = Engine(plan), label
        return self._engine


def run(settings: Settings, database: Database) -> None:
    """Let instances through until asked to stop."""
    keeper = Doorkeeper(settings, database, ThirdParty.connect(settings))
    listening = door.listen(settings.door)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: listening.shutdown(socket.SHUT_RDWR))
    serve(listening, keeper)


def serve(listening: socket.socket, keeper: Doorkeeper) -> None:
    """A thread a gateway's connection, until the socket is shut down."""
    with listening:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            Thread(target=_attend, args=(line, keeper), name="door", daemon=True).start()


def _attend(line: socket.socket, keeper: Doorkeeper) -> None:
    desk = Desk()
    with line:
        while True:
            try:
                handed, dataset = door.receive(line)
                door.answer(line, keeper.pass_through(handed, dataset, desk))
            except OSError:
                return
