"""What de-identification did to instances, without any value: slices share it, so each list is kept once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from imaging_hub.deidentification.instance import AttributeChange


def keep(connection: Connection, lists: Iterable[Sequence[AttributeChange] | str]) -> list[str]:
    """The digest of each list, by which an instance names it; those that are new are kept.

    In place of a list that is kept already stands its digest.
    """
    digests: list[str] = []
    encoded: dict[str, str] = {}
    before: Sequence[AttributeChange] | None = None
    for changes in lists:
        if isinstance(changes, str):
            digest, before = changes, None
        elif changes != before:
            written = json.dumps([[change.path, change.action, change.rule] for change in changes])
            digest = hashlib.sha256(written.encode()).hexdigest()
            encoded[digest] = written
            before = changes
        digests.append(digest)
    connection.execute(
        text(
            "INSERT INTO hub.change_list (digest, changes)"
            " SELECT digest, CAST(changes AS jsonb) FROM unnest(CAST(:digests AS text[]), CAST(:lists AS text[]))"
            " AS new (digest, changes) ORDER BY digest ON CONFLICT (digest) DO NOTHING"
        ),
        {"digests": list(encoded), "lists": list(encoded.values())},
    )
    return digests
