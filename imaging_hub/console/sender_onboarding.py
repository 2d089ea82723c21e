"""Page that guides a new sender to its first study: PACS settings, refusals, receipt, and a trial of the profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.responses import Response

from imaging_hub.console.page_texts import explain_quarantine, explain_refusal
from imaging_hub.console.route_parameters import StaffRequest
from imaging_hub.deidentification.engine import plan
from imaging_hub.deidentification.engine.deidentifier import Deidentifier
from imaging_hub.deidentification.identifiers import collector
from imaging_hub.deidentification.profile import profile
from imaging_hub.deidentification.source_and_outcome import AttributeChange, Pseudonyms, Quarantined, SourceInstance
from imaging_hub.dicom import part10, walk
from imaging_hub.errors import HubError, NotFound
from imaging_hub.gateway import rejection_log, senders
from imaging_hub.gateway.rejection_log import RefusalSummary
from imaging_hub.intake import receipts
from imaging_hub.intake.spool import Spool
from imaging_hub.settings import Settings

router = APIRouter(include_in_schema=False)

AeTitleParameter = Annotated[str, Path(max_length=16)]
_REFUSALS_SEARCHED = 200
"""Latest refusals, among which the sender's last one is searched."""
REFRESH_SECONDS = 5
"""How often the page reloads while nothing was received."""
_TRIAL_PSEUDONYMS = Pseudonyms("PSEUDONYME", bytes(32), -100)


@dataclass(frozen=True)
class ProfileTrial:
    """Result of a profile on one instance, without values; nothing is written."""

    profile: str
    changes: Sequence[AttributeChange] = ()
    quarantined: Quarantined | None = None


@router.get("/senders/{title}")
def sender(request: StaffRequest, title: AeTitleParameter) -> Response:
    """The four steps of the sender with this AE title."""
    with request.begin() as connection:
        matching = [known for known in senders.list_senders(connection) if known.calling_ae_title == title]
        if not matching:
            raise NotFound("Il n'y a pas de tel expéditeur.")
        refusal = _last_refusal(connection, title)
        receipt = receipts.find_newest_receipt(connection, matching[0].hospital)
        digest = receipts.first_original_digest(connection, receipt.id) if receipt else None
    settings = request.app.settings
    values: dict[str, Any] = {
        "sender": matching[0],
        "settings": settings,
        "refusal": refusal if refusal and (receipt is None or refusal.at > receipt.last_received_at) else None,
        "receipt": receipt,
        "trial": _try_profile(settings, request.app.spool, matching[0].profile, digest) if digest else None,
        "refresh": REFRESH_SECONDS if receipt is None or receipt.waiting else None,
        "why": explain_quarantine,
    }
    values["explanation"] = explain_refusal(refusal, settings.ae_title) if refusal else None
    return request.page("sender_onboarding.html", **values)


def _last_refusal(connection: Connection, title: str) -> RefusalSummary | None:
    recent = rejection_log.list_recent(connection, limit=_REFUSALS_SEARCHED)
    refusals = [refusal for refusal in recent if refusal.calling_ae_title == title]
    return refusals[0] if refusals else None


def _try_profile(settings: Settings, spool: Spool, name: str, digest: str) -> ProfileTrial | None:
    """Try a profile on an original; None when one of them cannot be read."""
    try:
        chosen = profile.load(name, settings.profile_folders)
        meta, encoded = part10.split(spool.read(digest))
        identifiers = frozenset(collector.collect(walk.read(encoded, meta.transfer_syntax_uid)))
    except HubError:
        return None
    pseudonyms = Pseudonyms(
        _TRIAL_PSEUDONYMS.patient, _TRIAL_PSEUDONYMS.uid_key, _TRIAL_PSEUDONYMS.date_shift_days, identifiers
    )
    outcome = Deidentifier(plan.compile(chosen)).deidentify(
        SourceInstance(encoded, meta.transfer_syntax_uid), pseudonyms
    )
    if isinstance(outcome, Quarantined):
        return ProfileTrial(chosen.name, quarantined=outcome)
    return ProfileTrial(chosen.name, outcome.changes)
