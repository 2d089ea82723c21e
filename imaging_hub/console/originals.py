"""Originals as a reviewer may see them: found by the de-identified instance they became."""

from __future__ import annotations

from sqlalchemy import Connection

from imaging_hub.dicom import attribute_path, part10, walk
from imaging_hub.errors import MalformedDataset, NotFound
from imaging_hub.intake import journal
from imaging_hub.intake.journal import SpooledOriginal
from imaging_hub.intake.spool import Spool


def of_instance(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SpooledOriginal:
    """The original behind a de-identified instance; raises `NotFound`, also when it was purged."""
    original = journal.find_original(connection, series_instance_uid, sop_instance_uid)
    if original is None:
        raise NotFound("There is no such original.")
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
