"""The third party's HTTP API, for the hub as its only client.

The client authenticates with the access key that both hold. Requests are validated as tokens, subjects and delivery
identifiers, so none can carry an INS, a name or a health datum, and nothing of a request is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header
from pydantic import BaseModel, Field, StringConstraints

from imaging_hub.http import health
from imaging_hub.http.problem_details import ProblemDetails
from imaging_hub.http.protection import protect
from imaging_hub.keys.keyring import access_key
from imaging_hub.keys.pseudonym_chain import TokenKind
from imaging_hub.log import log
from imaging_hub.trust import epochs
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import Vault

MAX_ITEMS = 5000
"""Most identifiers in one request."""
_EXPIRY_INTERVAL_SECONDS = 600.0
"""Interval between two searches for expired deliveries."""

Level1Token = Annotated[str, StringConstraints(pattern="^h1e[0-9]{2,6}-[0-9A-HJKMNP-TV-Z]{32}$")]
Hex128 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Hex256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
DeliveryId = Annotated[str, StringConstraints(pattern="^delivery-[0-9a-f]{16}$")]


class KnownPerson(BaseModel):
    """Request: the level-1 token of a person, and what it was derived from."""

    token: Level1Token
    kind: TokenKind


class TokenAlias(BaseModel):
    """Request: the token of an IPP, and the subject it is to resolve to."""

    token: Level1Token
    sid: Hex128


class DeliverySubjects(BaseModel):
    """Request: subjects of a delivery, and the lifetime of their identifiers."""

    sids: list[Hex128] = Field(max_length=MAX_ITEMS)
    ttl_seconds: int = Field(gt=0, le=366 * 86400)


class AnsweredDelivery(BaseModel):
    """Request: identifiers that the SNDS operator returned."""

    id_acc: list[Hex128] = Field(max_length=MAX_ITEMS)


class BlindedInputs(BaseModel):
    """Request: blinded OPRF inputs in hexadecimal (RFC 9497)."""

    inputs: list[Hex256] = Field(max_length=MAX_ITEMS)


class ResubmittedIdentity(BaseModel):
    """Request: an identity's token under the former key and under the new one."""

    former: Level1Token
    new: Level1Token
    kind: TokenKind


def create_app(vault: Vault) -> FastAPI:
    """Create the app; while it runs, expired deliveries are destroyed."""

    def authenticate(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {access_key(vault.keys)}".encode()):
            hint = "give the hub the access.json that the third party made"
            raise ProblemDetails(401, "third-party-access", "the access key is missing or another", hint=hint)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        expiry = asyncio.create_task(_destroy_expired(vault))
        yield
        expiry.cancel()

    app = FastAPI(title="Third party", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    app.include_router(health.liveness_route())
    for router in (health.readiness_route(vault.check), _subjects(vault), _deliveries(vault), _epochs(vault)):
        app.include_router(router, dependencies=[Depends(authenticate)])
    protect(app)
    return app


def _subjects(vault: Vault) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/subjects")
    def subject(known: KnownPerson) -> dict[str, str]:
        """Return the subject of a token."""
        return {"sid": vault.subject(known.token, known.kind)}

    @router.post("/v1/aliases", status_code=204)
    def alias(known: TokenAlias) -> None:
        """Make the token of an IPP resolve to the subject of an INS."""
        vault.alias(known.token, known.sid)

    return router


def _deliveries(vault: Vault) -> APIRouter:
    router = APIRouter(prefix="/v1/deliveries/{delivery}")

    @router.post("/id_acc")
    def issue(delivery: DeliveryId, subjects: DeliverySubjects) -> dict[str, str]:
        """Issue the identifiers of one delivery, by subject."""
        return vault.issue_id_acc(subjects.sids, delivery, timedelta(seconds=subjects.ttl_seconds))

    @router.post("/subjects")
    def resolve(delivery: DeliveryId, answered: AnsweredDelivery) -> dict[str, str]:
        """Return subjects by identifier, without those expired or destroyed."""
        return vault.resolve(delivery, answered.id_acc)

    @router.delete("")
    def destroy(delivery: DeliveryId) -> dict[str, int]:
        """Destroy a delivery's identifiers, and return how many."""
        return {"destroyed": vault.destroy(delivery)}

    return router


def _epochs(vault: Vault) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/epoch")
    def epoch() -> dict[str, int | str | None]:
        """Return the epoch of the third party's key and its state."""
        number = trust_keys(vault.keys).epoch
        return {"epoch": number, "state": epochs.epoch_state(vault, number)}

    @router.get("/epochs/{number}")
    def blinded(number: int) -> dict[str, bool | None]:
        """Return whether that epoch is blinded; null before it began."""
        return {"blinded": epochs.is_blinded(vault, number)}

    @router.post("/epochs/{number}/evaluations")
    def evaluate(number: int, blinded: BlindedInputs) -> dict[str, str | list[str]]:
        """Evaluate blinded inputs, and return outputs with their proofs and the public key."""
        outputs, key = epochs.evaluate(vault, number, [bytes.fromhex(digits) for digits in blinded.inputs])
        return {"outputs": [output.hex() for output in outputs], "public_key": key.hex()}

    @router.post("/epochs/{number}/submissions", status_code=204)
    def submit(number: int, submissions: Annotated[list[ResubmittedIdentity], Field(max_length=MAX_ITEMS)]) -> None:
        """Give each new token the subject of its former one."""
        epochs.accept_submissions(
            vault, number, [epochs.TokenSubmission(each.former, each.new, each.kind) for each in submissions]
        )

    @router.post("/epochs/{number}/end")
    def end(number: int) -> dict[str, int]:
        """Put the epoch in force once every identity was submitted."""
        return asdict(epochs.end(vault, number))

    return router


async def _destroy_expired(vault: Vault) -> None:
    """Destroy expired deliveries at intervals until cancelled; a failure is logged and tried again."""
    while True:
        try:
            await asyncio.to_thread(vault.destroy_expired)
        except Exception as fault:
            log.warning("expiry-failed", exc_info=fault)
        await asyncio.sleep(_EXPIRY_INTERVAL_SECONDS)
