"""Pipeline of a study from complete to archived: `StudyPipeline.process_study`.

Every step may be repeated: objects are named by their digest, and a study settles in one transaction, so that its
instances are indexed and journalled together or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from imaging_hub.archive import index, object_removal, opposed_subjects, search
from imaging_hub.archive.index import StoredInstance
from imaging_hub.archive.objects import ObjectStore
from imaging_hub.archive.orthanc_sink import OrthancSink
from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.cohorts import release as releases
from imaging_hub.database import Database, DatabaseRole, wake_workers
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.engine.plan import PlanCache
from imaging_hub.deidentification.source_and_outcome import Pseudonyms, Quarantined
from imaging_hub.errors import KeyringError, StorageUnavailable, ThirdPartyUnavailable
from imaging_hub.intake import completeness, journal, patient_identifiers, retention, study_keys
from imaging_hub.intake.completeness import StudyRevision
from imaging_hub.intake.journal import DeidentifiedEntry, JournalEntry
from imaging_hub.intake.spool import open_spool
from imaging_hub.intake.study_keys import OriginalOwner, StudyKey, open_study_keys
from imaging_hub.keys.keyring import gateway_keys, hub_keys, project_keys
from imaging_hub.log import log
from imaging_hub.pseudonymisation import identity
from imaging_hub.pseudonymisation.identity import ContestedIdentity, PatientIdentity
from imaging_hub.pseudonymisation.pseudonyms import subject_pseudonyms
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.pseudonymisation.traits import PatientTraits
from imaging_hub.review import verdicts
from imaging_hub.settings import Settings
from imaging_hub.work.inline_outcome import OutcomeSealer
from imaging_hub.work.study_archiver import StudyOriginals, archive_instances
from imaging_hub.work.study_patient import PatientOfStudy, read_patient

ACTOR = "worker"
UNLIMITED = 1 << 30


@dataclass(frozen=True)
class DueWork:
    """Row numbers and names of what is due."""

    studies: Sequence[int]
    releases: Sequence[str]
    sinks: Sequence[str]
    next_completion_seconds: float | None
    """Seconds until the next open study can be closed."""


@dataclass(frozen=True)
class _Subject:
    """Subject, pseudonyms and profile of a study."""

    sid: str
    pseudonyms: Pseudonyms
    profile: str
    traits: frozenset[PatientTraits]


class StudyPipeline:
    """The steps of a worker, with the one database role that sees both zones."""

    def __init__(self, settings: Settings, database: Database, third_party: ThirdParty) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.WORKER)
        self._spool = open_spool(settings, self._login)
        self._study_keys = open_study_keys(settings, self._login)
        self._objects = ObjectStore(settings.objects)
        self._hub_keys = hub_keys(settings.keys)
        self._third_party = third_party
        self._plans = PlanCache(settings.profile_folders)
        self._engines: dict[str, Deidentifier] = {}

    def due(self) -> DueWork:
        """Close quiet studies, and list the rows that are due."""
        with self._login.begin() as connection:
            completeness.close_quiet_studies(connection, self._settings.study_quiet_seconds)
            due = DueWork(
                completeness.list_complete_studies(connection),
                releases.list_preparing(connection),
                search.list_awaiting_sink(connection) if self._settings.orthanc_sink_url else (),
                completeness.seconds_until_quiet(connection, self._settings.study_quiet_seconds),
            )
        return due if not due.studies or self._third_party_answers() else replace(due, studies=())

    def _third_party_answers(self) -> bool:
        """Whether the third party answers; until it does, studies wait."""
        try:
            self._third_party.check()
        except ThirdPartyUnavailable as away:
            log.warning("third-party-away", code=away.code)
            return False
        return True

    def process_study(self, study: int) -> None:
        """De-identify, archive, index and journal the unsettled instances of a complete study.

        Raises `ThirdPartyAway`, `StorageUnavailable` or `KeyringError`, after which it may be called again.
        """
        with self._login.begin() as connection:
            revision = completeness.get_revision(connection, study)
            entries = journal.list_unsettled(connection, study)
            conflict = completeness.has_patient_conflict(connection, study)
        if not revision.complete:
            return  # another job did it
        if conflict:
            self._conclude(revision, [], [(entry, Quarantined("patient-conflict")) for entry in entries])
        else:
            self._deidentify(revision, entries)
            self._purge_unkept(study)

    def _deidentify(self, revision: StudyRevision, entries: Sequence[JournalEntry]) -> None:
        """De-identify the originals of a study, and settle it with the instances de-identified inline."""
        originals = StudyOriginals(self._spool)
        key = self._study_keys.get_key(OriginalOwner(revision.hospital, revision.study_instance_uid))
        sealer = OutcomeSealer(self._hub_keys, key)
        inline = {entry.id: sealer.open(entry.outcome) for entry in entries if entry.outcome}
        kept = [entry for entry in entries if entry.id not in inline]
        patient = read_patient(originals, (entry.digest for entry in kept), self._settings.environment, inline.values())
        identified, identifiers = self._identified(revision, entries[0].patient_id or "", patient, key)
        if isinstance(identified, ContestedIdentity):
            self._conclude(revision, [], [(entry, Quarantined(identified.reason)) for entry in entries])
            return
        if self._refused_for_opposition(revision, entries, identified.sid):
            return
        pseudonyms = replace(
            subject_pseudonyms(self._hub_keys, identified.sid, revision.hospital), identifiers=identifiers
        )
        engine, label = self._engine(revision.profile)
        admissions, refusals = archive_instances(self._objects, engine, kept, pseudonyms, originals)
        _log_faults(revision, refusals)
        for entry in entries:
            if (outcome := inline.get(entry.id)) is None:
                continue
            refusal = outcome.refusal(identified.sid, label, identifiers)
            if refusal is None:
                admissions.append((entry, outcome.admission))
            else:
                refusals.append((entry, refusal))
        self._conclude(revision, admissions, refusals, _Subject(identified.sid, pseudonyms, label, patient.traits))

    def _identified(
        self, revision: StudyRevision, patient_id: str, patient: PatientOfStudy, key: StudyKey
    ) -> tuple[PatientIdentity | ContestedIdentity, frozenset[str]]:
        """Ask the third party for the subject, and unite all that the study's patient is named by."""
        with self._login.begin() as connection:
            identified = identity.register(
                connection,
                gateway_keys(self._settings.keys),  # as it is now: it may have been renewed
                self._third_party,
                hospital=revision.hospital,
                patient_id=patient_id,
                reading=patient.reading,
            )
            return identified, patient_identifiers.merge_identifiers(connection, key, patient.identifiers)

    def _refused_for_opposition(self, revision: StudyRevision, entries: Sequence[JournalEntry], sid: str) -> bool:
        """Take nothing in of a subject who opposes: the reason stays, the originals do not."""
        with self._login.begin() as connection:
            if not opposed_subjects.is_opposed(connection, sid):
                return False
        self._conclude(revision, [], [(entry, Quarantined("patient-opposes")) for entry in entries])
        with self._login.begin() as connection:
            retention.purge(connection, self._spool, retention.list_opposed(connection, study=revision.id))
        return True

    def _engine(self, name: str) -> tuple[Deidentifier, str]:
        """The engine of a profile as its file is now: a study that is processed again meets the new rules."""
        label, plan = self._plans.of(name)
        if label not in self._engines:
            self._engines[label] = Deidentifier(plan)
        return self._engines[label], label

    def _conclude(
        self,
        revision: StudyRevision,
        admissions: Sequence[tuple[JournalEntry, StoredInstance]],
        refusals: Sequence[tuple[JournalEntry, Quarantined]],
        subject: _Subject | None = None,
    ) -> None:
        """Index, journal and audit the outcome of a study in one transaction."""
        with self._login.begin() as connection:
            if not completeness.lock_complete_study(connection, revision.id):
                return  # another worker, which was taken for dead, was faster
            admissions, lost = self._check_objects(connection, admissions)
            refusals = [*refusals, *lost]
            if subject is not None and admissions:
                for study_uid in sorted({one.instance.study_instance_uid for _, one in admissions}):
                    index.admit(
                        connection,
                        sid=subject.sid,
                        pseudonym=subject.pseudonyms.patient,
                        finess=admissions[0][0].finess,
                        date_shift_days=subject.pseudonyms.date_shift_days,
                        profile=subject.profile,
                        admissions=[one for _, one in admissions if one.instance.study_instance_uid == study_uid],
                    )
                traits = [(one.birth_month, int(one.sex)) for one in subject.traits]
                index.store_traits(connection, subject.sid, traits)
            passed = [
                DeidentifiedEntry(entry.id, one.instance.sop_instance_uid, one.instance.series_instance_uid, one.digest)
                for entry, one in admissions
            ]
            journal.settle_deidentified(connection, passed)
            journal.settle_archived(connection, [entry.id for entry, _ in admissions])
            held = [
                refusal.reason
                for entry, refusal in refusals
                if journal.settle_quarantined(connection, entry.id, refusal.reason, refusal.attribute, refusal.rule)
            ]
            completeness.mark_processed(connection, revision.id)
            _audit(connection, revision, len(admissions), Counter(held))
            if admissions and self._settings.orthanc_sink_url:
                wake_workers(connection)  # the study is due there
        self._remove_objects(revision, [entry.outcome for entry, _ in refusals if entry.outcome])
        counts = {"archived": len(admissions), "quarantined": len(held)}
        log.info("study-settled", study=revision.id, profile=subject.profile if subject else "", **counts)

    def _check_objects(
        self, connection: Connection, admissions: Sequence[tuple[JournalEntry, StoredInstance]]
    ) -> tuple[Sequence[tuple[JournalEntry, StoredInstance]], Sequence[tuple[JournalEntry, Quarantined]]]:
        """Split admissions into those whose objects exist, and those that have to be sent again.

        Raises `StorageUnavailable` for a lost object whose original is kept: the next attempt writes it again.
        """
        gone = object_removal.protect_objects(
            connection, self._objects, {instance.digest for _, instance in admissions}
        )
        if not gone:
            return admissions, ()
        lost = [entry for entry, instance in admissions if instance.digest in gone]
        if not all(entry.outcome for entry in lost):
            raise StorageUnavailable("an object was gone before it was indexed", code="object-gone")
        again = Quarantined(journal.SEND_AGAIN, rule="object")
        return [one for one in admissions if one[1].digest not in gone], [(entry, again) for entry in lost]

    def _remove_objects(self, revision: StudyRevision, refused: Sequence[bytes]) -> None:
        """Remove the objects of instances that were de-identified inline and are not indexed."""
        if not refused:
            return
        sealer = OutcomeSealer(
            self._hub_keys, self._study_keys.get_key(OriginalOwner(revision.hospital, revision.study_instance_uid))
        )
        digests = set()
        for sealed in refused:
            with suppress(KeyringError):
                digests.add(sealer.open(sealed).admission.digest)
        with self._login.begin() as connection:
            object_removal.remove_unreferenced(connection, self._objects, digests)

    def _purge_unkept(self, study: int) -> None:
        """Purge the originals of a study whose sender keeps none; quarantined ones stay."""
        with self._login.begin() as connection:
            expired = retention.list_expired(connection, self._settings.originals_days, study=study, limit=UNLIMITED)
            retention.purge(connection, self._spool, [original for original in expired if original.at_once])

    def give_up(self, study: int) -> None:
        """Quarantine the unsettled instances of a study that failed too often."""
        with self._login.begin() as connection:
            revision = completeness.get_revision(connection, study)
            entries = journal.list_unsettled(connection, study)
        self._conclude(revision, [], [(entry, Quarantined("processing-failed")) for entry in entries])

    def prepare_release(self, release: str) -> None:
        """Write the copies of a release under its project's pseudonyms."""
        with self._login.begin() as connection:
            project = releases.find_project(connection, release)
        keys = project_keys(self._settings.keys)
        releases.prepare(
            self._login, self._objects, release, keys.project_key("pid", project), keys.project_key("uid", project)
        )

    def fail_release(self, release: str) -> None:
        """Mark a release as failed."""
        with self._login.begin() as connection:
            releases.mark_failed(connection, release)

    def send_to_sink(self, study_uid: str) -> None:
        """Copy an archived study to the Orthanc sink, and verify it there."""
        sink = OrthancSink(self._settings.orthanc_sink_url or "", self._objects)
        sink.send_study(self._login, study_uid)

    def purge(self) -> None:
        """Purge originals whose retention is over, except those under review."""
        with self._login.begin() as connection:
            under_review = verdicts.pending(connection)
            expired = retention.list_expired(connection, self._settings.originals_days)
            # A worker that ended between a refusal and its purge left these.
            expired += retention.list_opposed(connection)
            retention.purge(
                connection,
                self._spool,
                [
                    original
                    for original in expired
                    if original.at_once or original.deidentified_series_instance_uid not in under_review
                ],
            )
            study_keys.shred_unused_keys(connection)
            index.fold_changes(connection)


def _log_faults(revision: StudyRevision, refusals: Iterable[tuple[JournalEntry, Quarantined]]) -> None:
    """Log where the engine failed: once a place, as the instances of a series fail alike."""
    for site, instances in Counter(refusal.fault for _, refusal in refusals if refusal.fault).items():
        log.error("engine-fault", study=revision.id, fault=site.kind, place=site.place, instances=instances)


def _audit(connection: Connection, revision: StudyRevision, archived: int, refused: Counter[str]) -> None:
    detail: dict[str, object] = {
        "hospital": revision.hospital,
        "revision": revision.revision,
        "archived": archived,
    }
    if refused:
        detail["quarantined"] = dict(sorted(refused.items()))
    trail.append(connection, ACTOR, AuditAction.STUDY_ARCHIVED, f"study:{revision.id}", detail)
