"""Removal of unreferenced objects, and protection of objects that are about to be indexed.

Two instances may share an object: when UIDs are retained, or a hospital has passed a study on to another. While one
instance is refused and its object removed, the other may be about to enter the index.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from imaging_hub.archive.objects import ObjectStore

_LOCK = "hashtextextended('imaging-hub objects', 0)"


def protect_objects(connection: Connection, objects: ObjectStore, digests: Collection[str]) -> set[str]:
    """Prevent removal of objects until the transaction ends; returns the `digests` that are already removed."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})"))
    return objects.missing(digests)


def remove_unreferenced(connection: Connection, objects: ObjectStore, digests: Collection[str]) -> None:
    """Remove the objects of `digests` that the index does not reference; waits for `protect_objects`."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    referenced = connection.execute(
        text("SELECT digest FROM hub.object WHERE digest = ANY(:digests)"), {"digests": list(digests)}
    ).scalars()
    for digest in set(digests) - set(referenced):
        objects.remove(digest)
