"""The way of a new sender on one page: what to set at the PACS, what was refused, what came, what the profile does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.console.site import why_held, why_refused
from imaging_hub.console.visit import STAFF, ConsoleVisit, For
from imaging_hub.deidentification.engine import plan
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.instance import AttributeChange, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.deidentification.profile import profile
from imaging_hub.dicom import part10, walk
from imaging_hub.errors import HubError, NotFound
from imaging_hub.gateway import rejections, senders
from imaging_hub.gateway.rejections import RefusalSummary
from imaging_hub.intake import receipts
from imaging_hub.intake.spool import Spool
from imaging_hub.settings import Settings

router = APIRouter(include_in_schema=False)

Staff = Annotated[ConsoleVisit, For(STAFF)]
AeTitleParameter = Annotated[str, Path(max_length=16)]
_LOOKED_AT = 200
"""Refusals among which the sender's last one is looked for."""
REFRESH_SECONDS = 5
"""How often the page looks again while nothing has come."""
_REHEARSED = Pseudonyms("PSEUDONYME", bytes(32), -100)


@dataclass(frozen=True)
class ProfileTrial:
    """What the profile makes of one instance; a rehearsal in which nothing is written and no value is shown."""

    profile: str
    changes: Sequence[AttributeChange] = ()
    held: Quarantined | None = None


@router.get("/senders/{title}")
def sender(visit: Staff, title: AeTitleParameter) -> Response:
    """The four steps for one AE title."""
    with visit.begin() as connection:
        known = [one for one in senders.list_senders(connection) if one.calling_ae_title == title]
        if not known:
            raise NotFound("Il n'y a pas de tel expéditeur.")
        refusal = _last_refusal(connection, title)
        receipt = receipts.find_newest_receipt(connection, known[0].hospital)
        digest = receipts.first_original_digest(connection, receipt.id) if receipt else None
    settings = visit.app.settings
    values: dict[str, Any] = {
        "sender": known[0],
        "settings": settings,
        "refusal": refusal if refusal and (receipt is None or refusal.at > receipt.last_received_at) else None,
        "receipt": receipt,
        "difference": _difference(settings, visit.app.spool, known[0].profile, digest) if digest else None,
        "refresh": REFRESH_SECONDS if receipt is None or receipt.waiting else None,
        "why": why_held,
    }
    values["cure"] = why_refused(refusal, settings.ae_title) if refusal else None
    return visit.page("first_study.html", **values)


def _last_refusal(connection: Connection, title: str) -> RefusalSummary | None:
    lately = rejections.recent(connection, limit=_LOOKED_AT)
    found = [one for one in lately if one.calling_ae_title == title]
    return found[0] if found else None


def _difference(settings: Settings, spool: Spool, name: str, digest: str) -> ProfileTrial | None:
    """Try the sender's profile on an original; None where original or profile cannot be read."""
    try:
        chosen = profile.load(name, settings.profile_folders)
        meta, encoded = part10.split(spool.read(digest))
        known = frozenset(collector.collect(walk.read(encoded, meta.transfer_syntax_uid)))
    except HubError:
        return None
    stand_ins = Pseudonyms(_REHEARSED.patient, _REHEARSED.uid_key, _REHEARSED.date_shift_days, known)
    outcome = Deidentifier(plan.compile(chosen)).deidentify(
        SourceInstance(encoded, meta.transfer_syntax_uid), stand_ins
    )
    if isinstance(outcome, Quarantined):
        return ProfileTrial(chosen.name, held=outcome)
    return ProfileTrial(chosen.name, outcome.changes)
