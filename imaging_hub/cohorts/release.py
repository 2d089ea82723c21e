"""Releases of frozen cohorts: requested under a permit, prepared by a worker under the project's pseudonyms.

The manifest and the instances hold the project's pseudonyms only: no `sid`, no UID of the archive.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from sqlalchemy import Connection, text

from imaging_hub.archive import index
from imaging_hub.archive.objects import ObjectStore, StoredObject
from imaging_hub.audit import trail
from imaging_hub.cohorts.release_rewriting import project_pseudonym, rewrite
from imaging_hub.database import DatabaseLogin, wake_workers
from imaging_hub.dicom import uid
from imaging_hub.errors import HubError, NotFound
from imaging_hub.permits import projects
from imaging_hub.permits.policy import Action, Denied, RequestActor, RequestedResource, decide

_BATCH_INSTANCES = 32  # instances per transaction, which a killed worker repeats


class ReleaseState(StrEnum):
    """State of a release."""

    PREPARING = "PREPARING"  # requested; a worker writes its instances
    READY = "READY"  # can be downloaded
    FAILED = "FAILED"  # could not be prepared; may be requested again


@dataclass(frozen=True)
class RequestedRelease:
    """A requested release, which a worker prepares."""

    id: str
    new: bool
    """False when the same release was requested before."""


@dataclass(frozen=True)
class _Instance:
    """An instance to release: the digest of its object, and its row in the manifest."""

    source: str
    pseudonym: str
    path: str
    row: dict[str, object]


def cohort_resource(connection: Connection, cohort: str) -> RequestedResource:
    """Return the current facts about a frozen cohort that the policy decides on; raises `NotFound`."""
    from imaging_hub.cohorts import frozen  # imports the analytic engine, which a worker loads only when needed

    request = frozen.load_request(connection, cohort)
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
        project=request.project,
        modalities=request.plan.modalities | frozenset(row.modalities or ()),
        domains=request.plan.domains,
        waiting=row.waiting,
        rejected=row.rejected,
        changed=row.changed,
        opposed=row.opposed,
    )


def request(
    connection: Connection, *, actor: RequestActor, cohort: str, permit_id: str | None, today: date
) -> RequestedRelease | Denied:
    """Request a release of a frozen cohort; repeating the request returns the same release.

    A series that waits for review denies the request, and the denial has the number of such series. A denial is on the
    trail, so the caller commits in any case. Raises `NotFound` when there is no such cohort.
    """
    permit = projects.find_permit(connection, permit_id)
    decision = decide(actor, Action.RELEASE_REQUEST, cohort_resource(connection, cohort), permit=permit, today=today)
    if isinstance(decision, Denied):
        trail.append(connection, actor.name, trail.AuditAction.ACCESS_DENIED, cohort, {"reason": decision.reason.value})
        return decision
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:cohort, 1))"), {"cohort": cohort})
    key = {"cohort": cohort, "permit": permit_id, "by": actor.name}
    existing = connection.execute(
        text(
            "SELECT id FROM hub.release WHERE cohort = :cohort AND permit = :permit AND requested_by = :by"
            " AND state <> 'FAILED'"
        ),
        key,
    ).scalar_one_or_none()
    if existing is not None:
        return RequestedRelease(existing, new=False)
    release = f"release-{secrets.token_hex(8)}"
    connection.execute(
        text(
            "INSERT INTO hub.release (id, cohort, permit, state, requested_by)"
            " VALUES (:id, :cohort, :permit, 'PREPARING', :by)"
        ),
        {"id": release, **key},
    )
    detail = {"cohort": cohort, "permit": permit_id}
    trail.append(connection, actor.name, trail.AuditAction.RELEASE_REQUESTED, release, detail)
    wake_workers(connection)
    return RequestedRelease(release, new=True)


def list_preparing(connection: Connection) -> Sequence[str]:
    """Return the ids of releases to be prepared, oldest first."""
    rows = connection.execute(text("SELECT id FROM hub.release WHERE state = 'PREPARING' ORDER BY created_at, id"))
    return list(rows.scalars())


def find_project(connection: Connection, release: str) -> str:
    """Return the project whose keys a release is made with; raises `NotFound`."""
    project = connection.execute(
        text("SELECT c.project FROM hub.release r JOIN hub.cohort c ON c.id = r.cohort WHERE r.id = :id"),
        {"id": release},
    ).scalar_one_or_none()
    if project is None:
        raise NotFound("there is no such release")
    return str(project)


def mark_failed(connection: Connection, release: str) -> None:
    """Mark a release as failed, unless it is ready."""
    connection.execute(
        text("UPDATE hub.release SET state = 'FAILED' WHERE id = :id AND state = 'PREPARING'"), {"id": release}
    )


def prepare(login: DatabaseLogin, objects: ObjectStore, release: str, pid_key: bytes, uid_key: bytes) -> None:
    """Write a release's instances and manifest; continues where a killed worker stopped.

    Raises `HubError` `not-releasable` when a review or the content changed since the request, and
    `residual-pseudonym` as `rewriting.rewrite`.
    """
    with login.begin() as connection:
        row = connection.execute(
            text("SELECT cohort, state FROM hub.release WHERE id = :id"), {"id": release}
        ).one_or_none()
        if row is None or row.state != ReleaseState.PREPARING:
            return
        _refuse_changed(cohort_resource(connection, row.cohort))
        columns = _manifest_columns(connection, row.cohort)
        instances = list(_instances(connection, row.cohort, pid_key, uid_key))
        stored_items = _stored_items(connection, release)
    remaining = [instance for instance in instances if instance.path not in stored_items]
    for start in range(0, len(remaining), _BATCH_INSTANCES):
        batch = remaining[start : start + _BATCH_INSTANCES]
        stored = {instance.path: objects.put(_rewrite_instance(objects, instance, uid_key)) for instance in batch}
        with login.begin() as connection:
            _insert_items(connection, release, stored)
        stored_items |= stored
    manifest = _encode_manifest(instances, stored_items, columns)
    stored_manifest = objects.put([manifest])
    with login.begin() as connection:
        _refuse_changed(cohort_resource(connection, row.cohort))
        index.register_objects(connection, [stored_manifest])
        _mark_ready(
            connection, release, stored_manifest.digest, [stored_items[instance.path] for instance in instances]
        )


def _refuse_changed(resource: RequestedResource) -> None:
    if resource.waiting or resource.rejected or resource.changed or resource.opposed:
        raise HubError("a series is no longer what was approved", code="not-releasable", hint="freeze the cohort again")


def _instances(connection: Connection, cohort: str, pid_key: bytes, uid_key: bytes) -> Iterator[_Instance]:
    """Yield every instance of the cohort in a fixed order, under the project's pseudonyms."""
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
        manifest_row = {
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
        yield _Instance(row.digest, row.pseudonym, f"{pid}/{study}/{series}/{row.n:04d}.dcm", manifest_row)


def _rewrite_instance(objects: ObjectStore, instance: _Instance, uid_key: bytes) -> list[bytes | memoryview]:
    archived = objects.get(instance.source)
    return rewrite(archived, instance.pseudonym, str(instance.row["pid"]), uid_key)


def _stored_items(connection: Connection, release: str) -> dict[str, StoredObject]:
    """Return the items that an earlier attempt has stored, by path."""
    rows = connection.execute(
        text("SELECT path, digest, size FROM hub.release_item WHERE release = :id"), {"id": release}
    )
    return {row.path: StoredObject(row.digest, row.size) for row in rows}


def _insert_items(connection: Connection, release: str, stored: dict[str, StoredObject]) -> None:
    index.register_objects(connection, stored.values())
    connection.execute(
        text(
            "INSERT INTO hub.release_item (release, path, digest, size) VALUES (:release, :path, :digest, :size)"
            " ON CONFLICT DO NOTHING"
        ),
        [{"release": release, "path": path, "digest": item.digest, "size": item.size} for path, item in stored.items()],
    )


_COLUMNS = {
    **dict.fromkeys(("path", "digest"), "string"),
    "size": "int64",
    **{f"{level}_instance_uid": "string" for level in ("series", "study", "sop")},
    **dict.fromkeys(("pid", "modality", "body_part", "manufacturer", "kernel"), "string"),
    "slice_thickness_mm": "double",
    "contrast": "bool",
}
"""Columns of every manifest with their Arrow types."""
_SUBJECT_COLUMNS = {
    "index_offset_days": {"index_offset_days": "int32"},  # of the study, negative before the index date
    "age_band": {"age_band": "string"},
    "sex": {"sex": "string"},
    "death_offset_days": {"death_offset_days": "int32"},
    "link": {"link_method": "string", "link_score": "double"},
}
"""Columns about subjects, by their name in a definition (`output.columns`)."""


def _manifest_columns(connection: Connection, cohort: str) -> dict[str, str]:
    """Return the columns of the cohort's manifest with their Arrow types."""
    from imaging_hub.cohorts import frozen

    wanted = frozen.load_request(connection, cohort).plan.columns
    return _COLUMNS | {
        name: kind for group in _SUBJECT_COLUMNS if group in wanted for name, kind in _SUBJECT_COLUMNS[group].items()
    }


def _encode_manifest(instances: Sequence[_Instance], stored: dict[str, StoredObject], columns: dict[str, str]) -> bytes:
    """Encode the manifest, sorted by path, since the order of the archive could relate subjects to each other."""
    import pyarrow as pa  # loaded only by a worker that prepares a release
    import pyarrow.parquet as pq

    rows = [
        {
            "path": instance.path,
            "digest": stored[instance.path].digest,
            "size": stored[instance.path].size,
            **instance.row,
        }
        for instance in sorted(instances, key=lambda instance: instance.path)
    ]
    out = io.BytesIO()
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    return out.getvalue()


def _mark_ready(connection: Connection, release: str, manifest: str, items: Sequence[StoredObject]) -> None:
    size = sum(item.size for item in items)
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
