"""HTTP client of the trusted third party (`imaging_hub.trust`), a process of its own that may run elsewhere.

Requests and responses hold tokens, subjects and identifiers of deliveries only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self

import httpx
from voprf.ristretto import Client, PublicKey, VerifiableOutput

from imaging_hub.errors import ThirdPartyUnavailable
from imaging_hub.keys.keyring import Keyring, access_key
from imaging_hub.keys.pseudonym_chain import TokenKind, level1
from imaging_hub.settings import Settings

_BATCH_SIZE = 1000
_TIMEOUT_SECONDS = 10.0


class ThirdParty:
    """Client of the third party; safe among threads.

    Every method raises `ThirdPartyUnavailable` when the third party does not answer, refuses, or is changing keys; the
    error's code says which. The call may be repeated.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._blinded: dict[int, bool] = {}

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return a client for these settings; raises `KeyringError` when the access key is missing."""
        return cls(
            httpx.Client(
                base_url=settings.third_party_url,
                headers={"Authorization": f"Bearer {access_key(settings.keys)}"},
                timeout=_TIMEOUT_SECONDS,
                trust_env=False,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def check(self) -> None:
        """Raise `ThirdPartyUnavailable` unless subjects can be requested."""
        self._request("GET", "/readyz")

    def token(self, message: str, keyring: Keyring) -> str:
        """Make the level-1 token of a message of the chain, in the epoch of the gateway's `keyring`."""
        (token_input,) = self.token_inputs([message], keyring, keyring.epoch)
        return level1(keyring.key("level1"), token_input, keyring.epoch)

    def subject(self, token1: str, kind: TokenKind) -> str:
        """Return the subject (sid, 128 random bits) of a level-1 token, drawn when the token is new."""
        return str(self._request("POST", "/v1/subjects", {"token": token1, "kind": kind})["sid"])

    def alias(self, token1: str, sid: str) -> None:
        """Make the token of an IPP resolve to `sid`, the subject of the patient's INS."""
        self._request("POST", "/v1/aliases", {"token": token1, "sid": sid})

    def issue_id_acc(self, sids: Iterable[str], delivery: str, ttl: timedelta) -> dict[str, str]:
        """Request a random identifier (id_acc) for each subject of one delivery, valid for `ttl`; by sid."""
        issued: dict[str, str] = {}
        for batch in _batches(sids):
            body = {"sids": batch, "ttl_seconds": int(ttl.total_seconds())}
            issued |= self._request("POST", f"/v1/deliveries/{delivery}/id_acc", body)
        return issued

    def resolve(self, delivery: str, id_accs: Iterable[str]) -> dict[str, str]:
        """Return subjects by id_acc, without those unknown, of another delivery, expired or destroyed."""
        resolved: dict[str, str] = {}
        for batch in _batches(id_accs):
            resolved |= self._request("POST", f"/v1/deliveries/{delivery}/subjects", {"id_acc": batch})
        return resolved

    def destroy(self, delivery: str) -> int:
        """Destroy the subjects of a delivery's id_acc; returns how many."""
        return int(self._request("DELETE", f"/v1/deliveries/{delivery}")["destroyed"])

    def epoch(self) -> tuple[int, str]:
        """Return the epoch of its key and the state, `FILLING` until every identity was submitted."""
        content = self._request("GET", "/v1/epoch")
        return int(content["epoch"]), str(content["state"])

    def token_inputs(self, messages: Sequence[str], keyring: Keyring, epoch: int) -> list[str]:
        """Return the inputs of level-1 tokens of `epoch`: the messages, or in a blinded epoch their OPRF outputs.

        Messages leave blinded only, and the third party's responses are unblinded here (RFC 9497). `keyring` is the
        gateway's, which pins the third party's public key. Also raises `ThirdPartyUnavailable` when a proof fails or
        the key is not the pinned one.
        """
        if not messages or not self._is_blinded(epoch):
            return list(messages)
        blinded = [Client.blind(message.encode("utf-8")) for message in messages]
        body = {"inputs": [blinded_input.serialize().hex() for _, blinded_input in blinded]}
        content = self._request("POST", f"/v1/epochs/{epoch}/evaluations", body)
        try:
            encoded_key = bytes.fromhex(content["public_key"])
            key = PublicKey.deserialize(encoded_key)
            outputs = [VerifiableOutput.deserialize(bytes.fromhex(digits)) for digits in content["outputs"]]
            results = [client.finalize(output, key) for (client, _), output in zip(blinded, outputs, strict=True)]
        except ValueError as fault:
            message = "what the third party made of a blinded input does not prove right"
            raise ThirdPartyUnavailable(message, code="evaluation-unproven", hint="ask who runs it") from fault
        if not keyring.pin_evaluator(epoch, encoded_key):
            message = "the third party evaluates with another key than before in this epoch"
            raise ThirdPartyUnavailable(message, code="evaluator-other", hint="ask who runs it")
        return [f"OPRF|1|{result.hex()}" for result in results]

    def _is_blinded(self, epoch: int) -> bool:
        """Return whether an epoch is blinded; cached once the epoch has begun."""
        if epoch not in self._blinded:
            blinded = self._request("GET", f"/v1/epochs/{epoch}")["blinded"]
            if blinded is None:
                return False
            self._blinded[epoch] = bool(blinded)
        return self._blinded[epoch]

    def submit(self, epoch: int, submissions: Sequence[tuple[str, str, TokenKind]]) -> None:
        """Submit triples of former token, new token and kind; each new token gets the subject of the former."""
        body = [{"former": former, "new": new, "kind": kind} for former, new, kind in submissions]
        self._request("POST", f"/v1/epochs/{epoch}/submissions", body)

    def end(self, epoch: int) -> dict[str, int]:
        """End the filling of an epoch; returns `epoch`, `tokens` and `left_behind` as in `trust.epochs`."""
        report: dict[str, int] = self._request("POST", f"/v1/epochs/{epoch}/end")
        return report

    def _request(self, method: str, path: str, body: object = None) -> Any:
        try:
            response = self._client.request(method, path, json=body)
            content = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as fault:
            raise ThirdPartyUnavailable(
                "the third party does not answer", hint="start it: imaging-hub trust serve"
            ) from fault
        if not response.is_success:
            code = str(content.get("code", ThirdPartyUnavailable.code))
            raise ThirdPartyUnavailable(
                str(content.get("detail", "it refused")), code=code, hint=str(content.get("hint", ""))
            )
        return content


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while batch := list(islice(remaining, _BATCH_SIZE)):
        yield batch
