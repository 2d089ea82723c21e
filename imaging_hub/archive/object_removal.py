"""Objects that are to be named by the index and those that nobody will name, kept apart.

Two instances may be one object: where UIDs are retained, or a hospital has passed a study on to another. While one of
them is refused and its object removed, the other may be on its way into the index.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

from imaging_hub.archive.objects import ObjectStore

_TURN = "hashtextextended('imaging-hub objects', 0)"


def hold(connection: Connection, objects: ObjectStore, digests: Collection[str]) -> set[str]:
    """Have no object removed until the transaction ends; those of `digests` that are not there any more."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({_TURN})"))
    return objects.missing(digests)


def forget(connection: Connection, objects: ObjectStore, digests: Collection[str]) -> None:
    """Remove those of `digests` that the index does not name, when nobody is about to name objects."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_TURN})"))
    named = connection.execute(
        text("SELECT digest FROM hub.object WHERE digest = ANY(:digests)"), {"digests": list(digests)}
    ).scalars()
    for digest in set(digests) - set(named):
        objects.remove(digest)
