"""The hub's way to the trusted third party, which is a process of its own (`imaging_hub.trust`), perhaps elsewhere.

Only tokens, subjects and identifiers of deliveries go there and come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Literal, Self

import httpx
from voprf.ristretto import Client, PublicKey, VerifiableOutput

from imaging_hub.errors import ThirdPartyAway
from imaging_hub.keys.keyring import Keyring, access_key
from imaging_hub.keys.pseudonym_chain import level1
from imaging_hub.settings import Settings

Kind = Literal["INS", "IPP"]
_AT_ONCE = 1000
_PATIENCE_SECONDS = 10.0


class ThirdParty:
    """The third party as `client` reaches it; safe among threads.

    Every method raises `ThirdPartyAway` when it does not answer, refuses, or is being given new keys; its code says
    which. What was asked may then be asked again.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._blinded: dict[int, bool] = {}

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """The third party of these settings; raises `KeyringError` when the key it lets us in with is missing."""
        return cls(
            httpx.Client(
                base_url=settings.third_party_url,
                headers={"Authorization": f"Bearer {access_key(settings.keys)}"},
                timeout=_PATIENCE_SECONDS,
                trust_env=False,
            )
        )

    def close(self) -> None:
        """End the connection, for who asks once."""
        self._client.close()

    def check(self) -> None:
        """Raise `ThirdPartyAway` unless subjects can be asked for."""
        self._ask("GET", "/readyz")

    def token(self, message: str, keyring: Keyring) -> str:
        """Make the level-1 token of a message of the chain, in the epoch of the gateway's `keyring`."""
        (concealed,) = self.concealed([message], keyring, keyring.epoch)
        return level1(keyring.key("level1"), concealed, keyring.epoch)

    def subject(self, token1: str, kind: Kind) -> str:
        """The subject (sid, 128 random bits) of a level-1 token, drawn when the token is new."""
        return str(self._ask("POST", "/v1/subjects", {"token": token1, "kind": kind})["sid"])

    def alias(self, token1: str, sid: str) -> None:
        """Let a token known by an IPP stand for the subject its INS has: the subject of the INS wins."""
        self._ask("POST", "/v1/aliases", {"token": token1, "sid": sid})

    def issue_id_acc(self, sids: Iterable[str], delivery: str, ttl: timedelta) -> dict[str, str]:
        """A random identifier (id_acc) for each subject of one delivery, which resolves until `ttl` is over."""
        issued: dict[str, str] = {}
        for some in _batches(sids):
            asked = {"sids": some, "ttl_seconds": int(ttl.total_seconds())}
            issued |= self._ask("POST", f"/v1/deliveries/{delivery}/id_acc", asked)
        return issued

    def resolve(self, delivery: str, id_accs: Iterable[str]) -> dict[str, str]:
        """The subjects that id_acc stood for, without those unknown, of another delivery, expired or destroyed."""
        resolved: dict[str, str] = {}
        for some in _batches(id_accs):
            resolved |= self._ask("POST", f"/v1/deliveries/{delivery}/subjects", {"id_acc": some})
        return resolved

    def destroy(self, delivery: str) -> int:
        """Have it forget what the id_acc of a delivery stood for; returns how many."""
        return int(self._ask("DELETE", f"/v1/deliveries/{delivery}")["destroyed"])

    def epoch(self) -> tuple[int, str]:
        """The epoch of its key, and `FILLING` while that waits for every identity to be submitted again."""
        told = self._ask("GET", "/v1/epoch")
        return int(told["epoch"]), str(told["state"])

    def concealed(self, messages: Sequence[str], keyring: Keyring, epoch: int) -> list[str]:
        """What tokens of `epoch` are made of: the messages, or, in a blinded epoch, what it makes of each unseen.

        The messages do not leave: blinded they say nothing, and only here can the answer be unblinded (RFC 9497).
        `keyring` is the gateway's, which knows the public key of the epoch once it has seen it.
        """
        if not messages or not self._is_blinded(epoch):
            return list(messages)
        blinded = [Client.blind(message.encode("utf-8")) for message in messages]
        asked = {"inputs": [one.serialize().hex() for _, one in blinded]}
        told = self._ask("POST", f"/v1/epochs/{epoch}/evaluations", asked)
        try:
            named = bytes.fromhex(told["public_key"])
            key = PublicKey.deserialize(named)
            outputs = [VerifiableOutput.deserialize(bytes.fromhex(one)) for one in told["outputs"]]
            evaluated = [mine.finalize(one, key) for (mine, _), one in zip(blinded, outputs, strict=True)]
        except ValueError as fault:
            what = "what the third party made of a blinded input does not prove right"
            raise ThirdPartyAway(what, code="evaluation-unproven", hint="ask who runs it") from fault
        if not keyring.is_evaluator(epoch, named):
            what = "the third party evaluates with another key than before in this epoch"
            raise ThirdPartyAway(what, code="evaluator-other", hint="ask who runs it")
        return [f"OPRF|1|{one.hex()}" for one in evaluated]

    def _is_blinded(self, epoch: int) -> bool:
        """What an epoch is it stays; one that has not begun yet is asked after again."""
        if epoch not in self._blinded:
            told = self._ask("GET", f"/v1/epochs/{epoch}")["blinded"]
            if told is None:
                return False
            self._blinded[epoch] = bool(told)
        return self._blinded[epoch]

    def submit(self, epoch: int, submissions: Sequence[tuple[str, str, Kind]]) -> None:
        """Tokens under the former key and the new: the new are given the subjects of the former."""
        asked = [{"former": former, "new": new, "kind": kind} for former, new, kind in submissions]
        self._ask("POST", f"/v1/epochs/{epoch}/submissions", asked)

    def end(self, epoch: int) -> dict[str, int]:
        """Everybody was submitted: `epoch` in force, its `tokens`, and former ones `left_behind` and destroyed."""
        ended: dict[str, int] = self._ask("POST", f"/v1/epochs/{epoch}/end")
        return ended

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        try:
            answer = self._client.request(method, path, json=body)
            told = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as fault:
            raise ThirdPartyAway("the third party does not answer", hint="start it: imaging-hub trust serve") from fault
        if not answer.is_success:
            code = str(told.get("code", ThirdPartyAway.code))
            raise ThirdPartyAway(str(told.get("detail", "it refused")), code=code, hint=str(told.get("hint", "")))
        return told


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while some := list(islice(remaining, _AT_ONCE)):
        yield some
