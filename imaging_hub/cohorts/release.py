"""Releases: asked for under a permit, prepared by a worker under the project's own pseudonyms, then frozen.

The manifest and the instances hold the project's pseudonyms only: no `sid`, no UID of the archive.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from imaging_hub.archive import index
from imaging_hub.archive.objects import ObjectStore, StoredObject
from imaging_hub.audit import trail
from imaging_hub.cohorts.rewriting import project_pseudonym, rewrite
from imaging_hub.database import DatabaseLogin, wake_workers
from imaging_hub.dicom import uid
from imaging_hub.errors import HubError, NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action, Denied, RequestActor, RequestedResource, decide

_BATCH = 32  # instances between two transactions: what a killed worker does again


@dataclass(frozen=True)
class RequestedRelease:
    """A release that a worker will prepare, or has."""

    id: str
    new: bool
    """False when the same was asked for before."""


@dataclass(frozen=True)
class _Instance:
    """An instance to release: where it is now, and what its row in the manifest says."""

    source: str
    pseudonym: str
    path: str
    row: dict[str, object]


def facts(connection: Connection, cohort: str) -> RequestedResource:
    """What the policy needs to know of a frozen cohort, as it is now. Raises `NotFound`."""
    from imaging_hub.cohorts import frozen  # an analytic engine: a worker that prepares a release needs none

    wanted = frozen.asked(connection, cohort)
    row = connection.execute(
        text(
            "SELECT count(*) FILTER (WHERE s.review_state = 'PENDING') AS waiting,"
            " count(*) FILTER (WHERE s.review_state = 'REJECTED') AS rejected,"
            " count(*) FILTER (WHERE s.content_digest <> m.content_digest) AS changed,"
            " count(*) FILTER (WHERE m.sid IN (SELECT sid FROM hub.opposed)) AS opposed,"
            " array_agg(DISTINCT s.modality) FILTER (WHERE s.modality IS NOT NULL) AS modalities"
            " FROM hub.cohort_member m JOIN hub.series s USING (series_instance_uid) WHERE m.cohort = :cohort"
        ),
        {"cohort": cohort},
    ).one()
    return RequestedResource(
        project=wanted.project,
        modalities=wanted.plan.modalities | frozenset(row.modalities or ()),
        domains=wanted.plan.domains,
        waiting=row.waiting,
        rejected=row.rejected,
        changed=row.changed,
        opposed=row.opposed,
    )


def request(
    connection: Connection, *, actor: RequestActor, cohort: str, permit_id: str | None, today: date
) -> RequestedRelease | Denied:
    """Ask for a release of a frozen cohort; asking twice is one release.

    One series that waits for review denies the whole request, and the denial says how many wait. A denial
    is on the trail, so the caller commits either way.
    """
    permit = projects.find_permit(connection, permit_id)
    decision = decide(actor, Action.RELEASE_REQUEST, facts(connection, cohort), permit=permit, today=today)
    if isinstance(decision, Denied):
        trail.append(connection, actor.name, trail.AuditAction.ACCESS_DENIED, cohort, {"reason": decision.reason.value})
        return decision
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:cohort, 1))"), {"cohort": cohort})
    same = {"cohort": cohort, "permit": permit_id, "by": actor.name}
    known = connection.execute(
        text(
            "SELECT id FROM hub.release WHERE cohort = :cohort AND permit = :permit AND requested_by = :by"
            " AND state <> 'FAILED'"
        ),
        same,
    ).scalar_one_or_none()
    if known is not None:
        return RequestedRelease(known, new=False)
    release = f"release-{secrets.token_hex(8)}"
    connection.execute(
        text(
            "INSERT INTO hub.release (id, cohort, permit, state, requested_by)"
            " VALUES (:id, :cohort, :permit, 'PREPARING', :by)"
        ),
        {"id": release, **same},
    )
    detail = {"cohort": cohort, "permit": permit_id}
    trail.append(connection, actor.name, trail.AuditAction.RELEASE_REQUESTED, release, detail)
    wake_workers(connection)
    return RequestedRelease(release, new=True)


def awaiting(connection: Connection) -> Sequence[str]:
    """Releases that a worker is to prepare, the oldest first."""
    found = connection.execute(text("SELECT id FROM hub.release WHERE state = 'PREPARING' ORDER BY created_at, id"))
    return list(found.scalars())


def project_of(connection: Connection, release: str) -> str:
    """The project whose keys a release is made with."""
    project = connection.execute(
        text("SELECT c.project FROM hub.release r JOIN hub.cohort c ON c.id = r.cohort WHERE r.id = :id"),
        {"id": release},
    ).scalar_one_or_none()
    if project is None:
        raise NotFound("there is no such release")
    return str(project)


def fail(connection: Connection, release: str) -> None:
    """Say that a release could not be prepared; one that is ready stays so."""
    connection.execute(
        text("UPDATE hub.release SET state = 'FAILED' WHERE id = :id AND state = 'PREPARING'"), {"id": release}
    )


def prepare(login: DatabaseLogin, objects: ObjectStore, release: str, pid_key: bytes, uid_key: bytes) -> None:
    """Write the release's own copies and its manifest; goes on where a killed worker stopped.

    Raises `HubError('not-releasable')` when a review or the content changed since it was asked for.
    """
    with login.begin() as connection:
        row = connection.execute(
            text("SELECT cohort, state FROM hub.release WHERE id = :id"), {"id": release}
        ).one_or_none()
        if row is None or row.state != "PREPARING":
            return
        _refuse_unreleasable(facts(connection, row.cohort))
        told = _told(connection, row.cohort)
        instances = list(_instances(connection, row.cohort, pid_key, uid_key))
        done = _items(connection, release)
    todo = [instance for instance in instances if instance.path not in done]
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        stored = {one.path: objects.put(_copy(objects, one, uid_key)) for one in batch}
        with login.begin() as connection:
            _insert_items(connection, release, stored)
        done |= stored
    manifest = _manifest(instances, done, told)
    stored_manifest = objects.put([manifest])
    with login.begin() as connection:
        _refuse_unreleasable(facts(connection, row.cohort))
        index.name_objects(connection, [stored_manifest])
        _conclude(connection, release, stored_manifest.digest, [done[one.path] for one in instances])


def _refuse_unreleasable(resource: RequestedResource) -> None:
    if resource.waiting or resource.rejected or resource.changed or resource.opposed:
        raise HubError("a series is no longer what was approved", code="not-releasable", hint="freeze the cohort again")


def _instances(connection: Connection, cohort: str, pid_key: bytes, uid_key: bytes) -> Iterator[_Instance]:
    """Every instance of the cohort in a fixed order, under the project's pseudonyms."""
    rows = connection.execute(
        text(
            "SELECT m.sid, m.index_date, m.age_band, m.sex, m.death_offset_days, m.link_method, m.link_score,"
            " sub.pseudonym, st.study_date, i.digest,"
            " s.study_instance_uid, s.series_instance_uid, i.sop_instance_uid, s.modality, s.body_part, s.manufacturer,"
            " s.kernel, s.slice_thickness_mm, s.contrast,"
            " row_number() OVER (PARTITION BY series_instance_uid ORDER BY i.instance_number, i.sop_instance_uid) AS n"
            " FROM hub.cohort_member m JOIN hub.subject sub ON sub.sid = m.sid"
            " JOIN hub.series s USING (series_instance_uid) JOIN hub.study st USING (study_instance_uid)"
            " JOIN hub.instance i USING (series_instance_uid) WHERE m.cohort = :cohort"
            " ORDER BY m.sid, s.study_instance_uid, s.series_instance_uid, n"
        ),
        {"cohort": cohort},
    )
    for row in rows:
        pid = project_pseudonym(pid_key, row.sid)
        study, series, instance = (
            uid.remap(old, uid_key) for old in (row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        )
        about = {
            "pid": pid,
            "study_instance_uid": study,
            "series_instance_uid": series,
            "sop_instance_uid": instance,
            "modality": row.modality,
            "body_part": row.body_part,
            "manufacturer": row.manufacturer,
            "kernel": row.kernel,
            "slice_thickness_mm": row.slice_thickness_mm,
            "contrast": row.contrast,
            "index_offset_days": (row.study_date - row.index_date).days,
            "age_band": row.age_band,
            "sex": row.sex,
            "death_offset_days": row.death_offset_days,
            "link_method": row.link_method,
            "link_score": row.link_score,
        }
        yield _Instance(row.digest, row.pseudonym, f"{pid}/{study}/{series}/{row.n:04d}.dcm", about)


def _copy(objects: ObjectStore, instance: _Instance, uid_key: bytes) -> list[bytes | memoryview]:
    archived = objects.get(instance.source)
    return rewrite(archived, instance.pseudonym, str(instance.row["pid"]), uid_key)


def _items(connection: Connection, release: str) -> dict[str, StoredObject]:
    """What an earlier attempt has written."""
    rows = connection.execute(
        text("SELECT path, digest, size FROM hub.release_item WHERE release = :id"), {"id": release}
    )
    return {row.path: StoredObject(row.digest, row.size) for row in rows}


def _insert_items(connection: Connection, release: str, stored: dict[str, StoredObject]) -> None:
    index.name_objects(connection, stored.values())
    connection.execute(
        text(
            "INSERT INTO hub.release_item (release, path, digest, size) VALUES (:release, :path, :digest, :size)"
            " ON CONFLICT DO NOTHING"
        ),
        [{"release": release, "path": path, "digest": one.digest, "size": one.size} for path, one in stored.items()],
    )


_MANIFEST = {
    **dict.fromkeys(("path", "digest"), "string"),
    "size": "int64",
    **{f"{level}_instance_uid": "string" for level in ("series", "study", "sop")},
    **dict.fromkeys(("pid", "modality", "body_part", "manufacturer", "kernel"), "string"),
    "slice_thickness_mm": "double",
    "contrast": "bool",
}
"""Columns of every manifest, with their Arrow types."""
_ABOUT_SUBJECTS = {
    "index_offset_days": {"index_offset_days": "int32"},  # of the study, negative before the index date
    "age_band": {"age_band": "string"},
    "sex": {"sex": "string"},
    "death_offset_days": {"death_offset_days": "int32"},
    "link": {"link_method": "string", "link_score": "double"},
}
"""Further ones, by the name under which a definition asks for them (`output.columns`)."""


def _told(connection: Connection, cohort: str) -> dict[str, str]:
    """The columns of the cohort's manifest."""
    from imaging_hub.cohorts import frozen

    asked = frozen.asked(connection, cohort).plan.columns
    return _MANIFEST | {
        name: kind for one in _ABOUT_SUBJECTS if one in asked for name, kind in _ABOUT_SUBJECTS[one].items()
    }


def _manifest(instances: Sequence[_Instance], stored: dict[str, StoredObject], columns: dict[str, str]) -> bytes:
    """The manifest, sorted by path: in the order of the archive it would say which subjects are near."""
    import pyarrow as pa  # a worker that prepares no release does without
    import pyarrow.parquet as pq

    rows = [
        {"path": one.path, "digest": stored[one.path].digest, "size": stored[one.path].size, **one.row}
        for one in sorted(instances, key=lambda instance: instance.path)
    ]
    out = io.BytesIO()
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    return out.getvalue()


def _conclude(connection: Connection, release: str, manifest: str, items: Sequence[StoredObject]) -> None:
    size = sum(one.size for one in items)
    ready = connection.execute(
        text(
            "UPDATE hub.release SET state = 'READY', manifest_digest = :manifest, instances = :instances,"
            " bytes = :bytes, ready_at = now() WHERE id = :id AND state = 'PREPARING' RETURNING requested_by"
        ),
        {"id": release, "manifest": manifest, "instances": len(items), "bytes": size},
    ).one_or_none()
    if ready is not None:
        detail = {"instances": len(items), "bytes": size, "manifest_digest": manifest}
        trail.append(connection, "worker", trail.AuditAction.RELEASE_READY, release, detail)
