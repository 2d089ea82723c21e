"""Originals as people may see them."""

from __future__ import annotations

from sqlalchemy import Connection

from imaging_hub.dicom import attribute_path, part10, walk
from imaging_hub.errors import MalformedDataset, NotFound
from imaging_hub.intake import journal
from imaging_hub.intake.journal import SpooledOriginal
from imaging_hub.intake.spool import Spool


def find_original(connection: Connection, series_instance_uid: str, sop_instance_uid: str) -> SpooledOriginal:
    """Return the original of a de-identified instance. Raises `NotFound`, also when it was purged."""
    original = journal.find_original(connection, series_instance_uid, sop_instance_uid)
    if original is None:
        raise NotFound("There is no such original.")
    if original.purged:
        raise NotFound("The original is no longer kept.", code="original-gone")
    return original


def read_attributes(spool: Spool, digest: str) -> dict[str, str]:
    """Return every attribute of an original as text, by its path; all of it may identify the patient.

    The result is empty for a file that cannot be parsed, which may be why it is in quarantine.
    """
    try:
        meta, encoded = part10.split(spool.read(digest))
        return dict(attribute_path.readable(walk.read(encoded, meta.transfer_syntax_uid)))
    except MalformedDataset:
        return {}
