"""One association as its acceptor (PS3.8 §9.2), from the request to the release, in one thread that blocks.

PDUs of the negotiation are pynetdicom's; the transfer of data is ours: its reactors poll twice a
millisecond per association and copy every fragment several times, while here a dataset goes from
the socket into one buffer (docs/decisions/0006).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from imaging_hub.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from imaging_hub.dicom.status import CONSECUTIVE_FAILURES_BEFORE_ABORT, AssociationRejection, StoreStatus
from imaging_hub.gateway.connection import ConnectionEnded, EndReason, PeerConnection
from imaging_hub.gateway.dimse import CommandField, CommandSet, MalformedCommandSet, parse, response
from imaging_hub.gateway.incoming_dataset import IncomingDataset

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
MAXIMUM_LENGTH = 1 << 17
"""Length of the P-DATA-TF PDUs we ask for; common senders use no more."""
_COMMAND_MAX_BYTES = 1 << 14

_RQ, _P_DATA, _RELEASE_RQ, _ABORT = 0x01, 0x04, 0x05, 0x07
_RELEASE_RP = bytes.fromhex("06000000000400000000")
_PDV = struct.Struct(">LBB")
_IS_COMMAND, _IS_LAST = 1, 2


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context as proposed."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context as accepted."""

    id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """A presentation context as refused."""

    id: int
    abstract_syntax: str
    result: int
    """3 abstract syntax not supported, 4 transfer syntaxes not supported (PS3.8 §9.3.3.2)."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What the peer asks for."""

    address: str
    calling_ae_title: str
    called_ae_title: str
    application_context: str
    contexts: tuple[ProposedContext, ...]
    certificate: str | None = None
    """SHA-256 of the certificate that the peer showed over TLS."""


class AssociationService(Protocol):
    """What an association does with the peer's requests."""

    def negotiate(
        self, request: AssociationRequest
    ) -> AssociationRejection | Sequence[AcceptedContext | RefusedContext]:
        """Reject the peer, or say what becomes of each presentation context."""

    def head(self, request: CommandSet, transfer_syntax: str) -> bytes:
        """What stands before the dataset in its file."""

    def store(self, request: CommandSet, transfer_syntax: str, body: IncomingDataset) -> StoreStatus:
        """Take an instance; when this returns success, it is durable."""


class Association:
    """An association on a guarded connection."""

    def __init__(
        self, connection: PeerConnection, service: AssociationService, body: IncomingDataset, dataset_max_bytes: int
    ) -> None:
        self._connection = connection
        self._service = service
        self._body = body
        self._dataset_max_bytes = dataset_max_bytes
        self._accepted: dict[int, AcceptedContext] = {}
        self._command = bytearray()
        self._storing: CommandSet | None = None
        self._failures = 0

    def run(self) -> None:
        """Serve the peer until it releases, or raise `ConnectionEnded`, after an A-ABORT where one can be sent."""
        try:
            if self._negotiate():
                self._converse()
        except ConnectionEnded as over:
            if over.reason not in (EndReason.PEER_CLOSED, EndReason.PEER_ABORTED, EndReason.EVICTED):
                self._abort()
            raise
        finally:
            self._body.discard()

    def _negotiate(self) -> bool:
        kind, length = self._connection.next_pdu()
        if kind != _RQ:
            raise ConnectionEnded(EndReason.PEER_ABORTED if kind == _ABORT else EndReason.PROTOCOL)
        primitive = _decode(kind, length, bytes(self._connection.read(length)))
        request = _request(primitive, self._connection)
        answer = self._service.negotiate(request)
        if isinstance(answer, AssociationRejection):
            self._connection.send(struct.pack(">BxLxBBB", 3, 4, *answer.value))
            return False
        self._accepted = {context.id: context for context in answer if isinstance(context, AcceptedContext)}
        self._connection.named = True
        self._connection.send(_acceptance(primitive, answer))
        return True

    def _converse(self) -> None:
        while True:
            kind, length = self._connection.next_pdu(between=self._storing is None)
            if kind == _P_DATA:
                self._take(length)
            elif kind == _RELEASE_RQ:
                self._connection.read(length)
                self._connection.send(_RELEASE_RP)
                return
            else:
                raise ConnectionEnded(EndReason.PEER_ABORTED if kind == _ABORT else EndReason.PROTOCOL)

    def _take(self, length: int) -> None:
        """The presentation data values of one P-DATA-TF PDU (PS3.8 §9.3.5, §E.2)."""
        while length:
            if length < _PDV.size:
                raise ConnectionEnded(EndReason.PROTOCOL)
            size, context_id, control = _PDV.unpack(self._connection.read(_PDV.size))
            size -= 2
            length -= _PDV.size + size
            if size < 0 or length < 0:
                raise ConnectionEnded(EndReason.PROTOCOL)
            if control & _IS_COMMAND:
                self._take_command(size, context_id, bool(control & _IS_LAST))
            else:
                self._take_dataset(size, context_id, bool(control & _IS_LAST))

    def _take_command(self, size: int, context_id: int, last: bool) -> None:
        if self._storing is not None or len(self._command) + size > _COMMAND_MAX_BYTES:
            raise ConnectionEnded(EndReason.PROTOCOL)
        self._command += self._connection.read(size)
        if not last:
            return
        try:
            request = parse(bytes(self._command), context_id)
        except MalformedCommandSet:
            raise ConnectionEnded(EndReason.PROTOCOL) from None
        self._command = bytearray()
        if context_id not in self._accepted:
            raise ConnectionEnded(EndReason.PROTOCOL)
        self._begin(request)

    def _begin(self, request: CommandSet) -> None:
        if request.command == CommandField.C_ECHO and not request.has_dataset:
            self._answer(request, 0)
        elif request.command == CommandField.C_STORE and request.has_dataset:
            syntax = self._accepted[request.context_id].transfer_syntax
            self._body.begin(self._service.head(request, syntax), syntax)
            self._storing = request
        elif request.command != CommandField.C_CANCEL:
            raise ConnectionEnded(EndReason.PROTOCOL)

    def _take_dataset(self, size: int, context_id: int, last: bool) -> None:
        request = self._storing
        if request is None or context_id != request.context_id:
            raise ConnectionEnded(EndReason.PROTOCOL)
        if self._body.size + size > self._dataset_max_bytes:
            raise ConnectionEnded(EndReason.DATASET_TOO_LONG)
        self._body.receive(self._connection, size)
        if not last:
            return
        self._storing = None
        status = self._service.store(request, self._accepted[context_id].transfer_syntax, self._body)
        self._body.discard()
        self._answer(request, status)
        self._failures = self._failures + 1 if status is StoreStatus.OUT_OF_RESOURCES else 0
        if self._failures >= CONSECUTIVE_FAILURES_BEFORE_ABORT:
            raise ConnectionEnded(EndReason.STORAGE)

    def _answer(self, request: CommandSet, status: int) -> None:
        self._connection.send(response(request, status))

    def _abort(self) -> None:
        """A-ABORT from the service provider, reason not specified (PS3.8 §9.3.8)."""
        try:
            self._connection.send(bytes.fromhex("07000000000400000200"))
        except ConnectionEnded:
            return


def _decode(kind: int, length: int, body: bytes) -> A_ASSOCIATE:
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(struct.pack(">BxL", kind, length) + body)
        return pdu.to_primitive()
    except Exception:
        # The decoder raises whatever Python raises on bytes that are no PDU.
        raise ConnectionEnded(EndReason.PROTOCOL) from None


def _request(primitive: A_ASSOCIATE, connection: PeerConnection) -> AssociationRequest:
    return AssociationRequest(
        connection.address,
        _title(primitive.calling_ae_title),
        _title(primitive.called_ae_title),
        str(primitive.application_context_name or ""),
        tuple(
            ProposedContext(context.context_id, str(context.abstract_syntax), tuple(map(str, context.transfer_syntax)))
            for context in primitive.presentation_context_definition_list
            if context.context_id is not None
        ),
        connection.certificate,
    )


def _title(title: str | None) -> str:
    return "".join(letter for letter in title or "" if letter.isprintable()).strip()[:16]


def _acceptance(request: A_ASSOCIATE, contexts: Sequence[AcceptedContext | RefusedContext]) -> bytes:
    """The A-ASSOCIATE-AC PDU (PS3.8 §9.3.3)."""
    answer = A_ASSOCIATE()
    answer.application_context_name = APPLICATION_CONTEXT
    answer.calling_ae_title = request.calling_ae_title
    answer.called_ae_title = request.called_ae_title
    answer.result, answer.result_source = 0, 1
    results = []
    for context in contexts:
        result = PresentationContext()
        result.context_id = context.id
        result.abstract_syntax = context.abstract_syntax
        if isinstance(context, AcceptedContext):
            result.transfer_syntax = [context.transfer_syntax]
            result.result = 0
        else:
            # Not significant, but the item must be there (PS3.8 §9.3.3.2).
            result.transfer_syntax = ["1.2.840.10008.1.2"]
            result.result = context.result
        results.append(result)
    answer.presentation_context_definition_results_list = results
    length = MaximumLengthNotification()
    length.maximum_length_received = MAXIMUM_LENGTH
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer.user_information = [length, implementation, version]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    encoded: bytes = pdu.encode()
    return encoded
