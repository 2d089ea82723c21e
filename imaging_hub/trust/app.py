"""The third party as its one caller sees it: a few requests of tokens and random numbers, over HTTP.

The caller shows the access key both sides hold. No request has room for an INS, a name or a health datum: what is
no token, subject or identifier of ours is refused before it is read further, and nothing that was sent is logged.
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

from imaging_hub.http import problems
from imaging_hub.http.problems import ProblemDetails
from imaging_hub.http.protection import RequestProtection, content_security_policy
from imaging_hub.keys.keyring import access_key
from imaging_hub.keys.pseudonym_chain import TokenKind
from imaging_hub.log import log
from imaging_hub.trust import epochs
from imaging_hub.trust.keyrings import trust_keys
from imaging_hub.trust.vault import Vault

AT_ONCE = 5000
"""Identifiers in one request."""
_EXPIRY_SECONDS = 600.0
"""Between two looks for deliveries whose time is over."""

HexToken = Annotated[str, StringConstraints(pattern="^h1e[0-9]{2,6}-[0-9A-HJKMNP-TV-Z]{32}$")]
Random128 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
Random64 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
DeliveryId = Annotated[str, StringConstraints(pattern="^delivery-[0-9a-f]{16}$")]


class KnownPerson(BaseModel):
    """A person as the gateway knows them."""

    token: HexToken
    kind: TokenKind


class TokenAlias(BaseModel):
    """A token of an IPP and the subject it stands for from now on."""

    token: HexToken
    sid: Random128


class DeliverySubjects(BaseModel):
    """Subjects of a delivery, and how long their identifiers live."""

    sids: list[Random128] = Field(max_length=AT_ONCE)
    ttl_seconds: int = Field(gt=0, le=366 * 86400)


class AnsweredDelivery(BaseModel):
    """Identifiers that came back."""

    id_acc: list[Random128] = Field(max_length=AT_ONCE)


class BlindedInputs(BaseModel):
    """Inputs that only their gateway can unblind, in hexadecimal."""

    inputs: list[Random64] = Field(max_length=AT_ONCE)


class ResubmittedIdentity(BaseModel):
    """An identity under its former token and its new one."""

    former: HexToken
    new: HexToken
    kind: TokenKind


def create_app(vault: Vault) -> FastAPI:
    """The app; deliveries whose time is over are destroyed while it runs."""

    def caller(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {access_key(vault.keys)}".encode()):
            hint = "give the hub the access.json that the third party made"
            raise ProblemDetails(401, "third-party-access", "the access key is missing or another", hint=hint)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        expiring = asyncio.create_task(_expire(vault))
        yield
        expiring.cancel()

    app = FastAPI(title="Third party", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    for part in (_subjects, _deliveries, _epochs):
        app.include_router(part(vault), dependencies=[Depends(caller)])
    problems.install(app)
    app.add_middleware(RequestProtection, policy=content_security_policy(), respond=problems.respond)
    return app


def _subjects(vault: Vault) -> APIRouter:
    router = APIRouter()

    @router.get("/readyz")
    def ready() -> dict[str, str]:
        """Subjects can be given; otherwise the problem says why not."""
        vault.check()
        return {"status": "ready"}

    @router.post("/v1/subjects")
    def subject(known: KnownPerson) -> dict[str, str]:
        """The subject of a token."""
        return {"sid": vault.subject(known.token, known.kind)}

    @router.post("/v1/aliases", status_code=204)
    def alias(known: TokenAlias) -> None:
        """Let an IPP stand for the subject of an INS."""
        vault.alias(known.token, known.sid)

    return router


def _deliveries(vault: Vault) -> APIRouter:
    router = APIRouter(prefix="/v1/deliveries/{delivery}")

    @router.post("/id_acc")
    def issue(delivery: DeliveryId, subjects: DeliverySubjects) -> dict[str, str]:
        """Identifiers of one delivery, by subject."""
        return vault.issue_id_acc(subjects.sids, delivery, timedelta(seconds=subjects.ttl_seconds))

    @router.post("/subjects")
    def resolve(delivery: DeliveryId, answered: AnsweredDelivery) -> dict[str, str]:
        """Subjects by identifier, of those that are alive."""
        return vault.resolve(delivery, answered.id_acc)

    @router.delete("")
    def destroy(delivery: DeliveryId) -> dict[str, int]:
        """Forget a delivery; how many identifiers."""
        return {"destroyed": vault.destroy(delivery)}

    return router


def _epochs(vault: Vault) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/epoch")
    def epoch() -> dict[str, int | str | None]:
        """The epoch of the third party's key and its state."""
        number = trust_keys(vault.keys).epoch
        return {"epoch": number, "state": epochs.state_of(vault, number)}

    @router.get("/epochs/{number}")
    def blinded(number: int) -> dict[str, bool | None]:
        """Whether tokens of that epoch are made of evaluations; null before it began."""
        return {"blinded": epochs.is_blinded(vault, number)}

    @router.post("/epochs/{number}/evaluations")
    def evaluate(number: int, blinded: BlindedInputs) -> dict[str, str | list[str]]:
        """Evaluations of blinded inputs, with their proofs and the public key."""
        outputs, key = epochs.evaluate(vault, number, [bytes.fromhex(one) for one in blinded.inputs])
        return {"outputs": [one.hex() for one in outputs], "public_key": key.hex()}

    @router.post("/epochs/{number}/submissions", status_code=204)
    def submit(number: int, submissions: Annotated[list[ResubmittedIdentity], Field(max_length=AT_ONCE)]) -> None:
        """Give new tokens the subjects of their former."""
        epochs.take(vault, number, [epochs.TokenSubmission(one.former, one.new, one.kind) for one in submissions])

    @router.post("/epochs/{number}/end")
    def end(number: int) -> dict[str, int]:
        """Everybody was submitted."""
        return asdict(epochs.end(vault, number))

    return router


async def _expire(vault: Vault) -> None:
    """Destroy what is expired, for ever; a database that is away is waited for."""
    while True:
        try:
            await asyncio.to_thread(vault.destroy_expired)
        except Exception as fault:
            log.warning("expiry-failed", fault=type(fault).__name__)
        await asyncio.sleep(_EXPIRY_SECONDS)
