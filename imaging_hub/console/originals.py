"""Originals as a reviewer may see them: found by the de-identified instance they became."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from imaging_hub.dicom import attribute_path, part10, walk
from imaging_hub.errors import MalformedDataset, NotFound
from imaging_hub.intake.spool import Spool


@dataclass(frozen=True)
class SpooledOriginal:
    """An instance in the spool."""

    id: int
    hospital: str
    digest: str
    purged: bool


def of_instance(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SpooledOriginal:
    """The original behind a de-identified instance; raises `NotFound`, also when it was purged."""
    row = connection.execute(
        text(
            "SELECT id, hospital, digest, purged_at IS NOT NULL AS purged FROM identifying.instance"
            " WHERE deidentified_series_instance_uid = :series AND deidentified_sop_instance_uid = :sop"
            " ORDER BY id DESC LIMIT 1"
        ),
        {"series": series_instance_uid, "sop": sop_instance_uid},
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such original.")
    original = SpooledOriginal(*row)
    if original.purged:
        raise NotFound("The original is no longer kept.", code="original-gone")
    return original


def readable(spool: Spool, digest: str) -> dict[str, str]:
    """Every attribute of an original by its path, as a person reads it. All of it may identify.

    Empty for a file that cannot be parsed, which is why it may be in quarantine.
    """
    try:
        meta, encoded = part10.split(spool.read(digest))
        return dict(attribute_path.readable(walk.read(encoded, meta.transfer_syntax_uid)))
    except MalformedDataset:
        return {}
