"""Query/retrieve SCP (PS3.4 Annex C, Study Root) for senders with the right, if `query_port` is set.

pynetdicom handles the protocol. TLS handshake, slots and eviction are those of `association_guard`, and the sockets are
read under the same limits of PDU length and time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, Association, build_context, evt
from pynetdicom.events import Event
from pynetdicom.transport import AddressInformation, AssociationSocket
from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.audit import trail
from imaging_hub.audit.trail import AuditAction
from imaging_hub.database import Database, DatabaseLogin, DatabaseRole
from imaging_hub.dicom import transfer_syntax
from imaging_hub.dicom.sop_class import (
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from imaging_hub.dicom.transfer_syntax import IMPLICIT_VR_LITTLE_ENDIAN
from imaging_hub.gateway import senders, storage_commitment
from imaging_hub.gateway.association_guard import GuardedServer
from imaging_hub.gateway.connection import IDLE_SECONDS, PeerConnection, PeerLimits
from imaging_hub.gateway.rejection_log import RefusalCause, RefusalReason, RejectionLog
from imaging_hub.gateway.senders import Sender
from imaging_hub.gateway.tls import server_context
from imaging_hub.intake import query_matches
from imaging_hub.intake.query_matches import InvalidQuery, KeptOriginal, TooManyMatches
from imaging_hub.intake.spool import Spool, open_spool
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings

_CONTEXTS = 128
_PENDING = 0xFF00
_OUT_OF_RESOURCES, _NO_QUERY, _CANCELLED, _REFUSED = 0xA700, 0xA900, 0xFE00, 0x0124


class QueryRetrieveScp:
    """Serves queries of each hospital over the instances that it sent itself."""

    def __init__(self, settings: Settings, database: Database, metrics: GatewayMetrics) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.GATEWAY)
        self._spool = open_spool(settings, self._login)
        self._rejections = RejectionLog(self._login, metrics)
        self._server: GuardedServer | None = None

    @property
    def port(self) -> int:
        """TCP port that the server listens on."""
        return self._server.port if self._server else self._settings.query_port

    def start(self) -> None:
        """Start to accept connections. Raises `SettingsError` for unusable TLS files."""
        self._server = GuardedServer(
            (self._settings.bind_address, self._settings.query_port),
            PeerLimits.from_settings(self._settings),
            server_context(self._settings),
            self._serve,
            self._rejections.record_end,
        )
        self._server.start()

    def stop(self) -> None:
        """Stop accepting, and end the associations under way."""
        if self._server:
            self._server.stop(1.0)

    def _serve(self, connection: PeerConnection) -> None:
        """Serve one association, from its request to its end."""
        session = _QuerySession(self._settings, self._login, self._spool, self._rejections, connection)
        association = session.association()
        association.start()
        association.join()
        # The reactor of a closed connection ends by itself; the server closes the socket.
        with suppress(RuntimeError):
            association.dul.join(1.0)


class _QuerySession:
    """The handlers of one peer's association, with an AE of its own, since `require_calling_aet` is per AE."""

    def __init__(
        self,
        settings: Settings,
        login: DatabaseLogin,
        spool: Spool,
        rejections: RejectionLog,
        connection: PeerConnection,
    ) -> None:
        self._settings = settings
        self._login = login
        self._spool = spool
        self._rejections = rejections
        self._connection = connection
        self._sender: Sender | None = None

    def association(self) -> Association:
        """Create the association, ready to be started."""
        entity = AE(ae_title=self._settings.ae_title)
        entity.require_called_aet = True
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = IDLE_SECONDS
        for model in (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE):
            entity.add_supported_context(model)
        for context in AllStoragePresentationContexts:
            syntaxes = list(transfer_syntax.NEGOTIATED)
            entity.add_supported_context(str(context.abstract_syntax), syntaxes, scu_role=True, scp_role=True)
        entity.add_supported_context(STORAGE_COMMITMENT)
        association = Association(entity, "acceptor")
        association.set_socket(_Socket(association, self._connection, self._settings))
        association.acceptor.maximum_length = entity.maximum_pdu_size
        association.acceptor.ae_title = entity.ae_title
        association.acceptor.address_info = AddressInformation("127.0.0.1", self._settings.query_port)
        association.acceptor.implementation_class_uid = entity.implementation_class_uid
        association.acceptor.implementation_version_name = entity.implementation_version_name
        association.acceptor.supported_contexts = entity.supported_contexts
        association.requestor.address_info = AddressInformation(self._connection.address, 0)
        association.bind(evt.EVT_REQUESTED, self._identify_peer)
        association.bind(evt.EVT_C_FIND, self._handle_find)
        association.bind(evt.EVT_C_GET, self._handle_get)
        association.bind(evt.EVT_C_MOVE, self._handle_move)
        association.bind(evt.EVT_N_ACTION, self._handle_commitment)
        return association

    def _identify_peer(self, event: Event) -> None:
        """Identify the peer; pynetdicom rejects a calling AE title that is not required here."""
        primitive = event.assoc.requestor.primitive
        calling, called = (primitive.calling_ae_title, primitive.called_ae_title) if primitive else (None, None)
        calling, called = (calling or "").strip(), (called or "").strip()
        result = self._find_sender_with_right(calling)
        if called != self._settings.ae_title:
            result = RefusalReason.WRONG_CALLED_AE_TITLE
        if isinstance(result, Sender):
            self._sender = result
            self._connection.identified = True
            event.assoc.ae.require_calling_aet = [calling]
            return
        event.assoc.ae.require_calling_aet = ["*NOBODY*"]
        self._rejections.record(RefusalCause(self._connection.address, calling[:16], called[:16], result))

    def _find_sender_with_right(self, calling: str) -> Sender | RefusalReason:
        try:
            with self._login.begin() as connection:
                result = senders.admit(connection, calling, self._connection.address, self._connection.certificate)
        except SQLAlchemyError:
            return RefusalReason.DATABASE_AWAY
        return RefusalReason.MAY_NOT_RETRIEVE if isinstance(result, Sender) and not result.retrieves else result

    def _handle_find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self._sender is None:
            return
        hospital, title = self._sender.hospital, self._settings.ae_title
        try:
            with self._login.begin() as connection:
                matches = list(query_matches.find_matches(connection, self._spool, hospital, event.identifier, title))
        except InvalidQuery:
            yield _NO_QUERY, None
            return
        except (TooManyMatches, SQLAlchemyError):
            yield _OUT_OF_RESOURCES, None
            return
        self._audit("find", len(matches))
        for match in matches:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, match

    def _handle_get(self, event: Event) -> Iterator[Any]:
        kept = self._list_originals(event)
        yield len(kept)
        yield from self._send_originals(event, kept)

    def _handle_move(self, event: Event) -> Iterator[Any]:
        """Send to the receiver of the same hospital with the destination's AE title, and to no other."""
        destination = str(event.move_destination or "").strip()
        with self._login.begin() as connection:
            receivers = [
                receiver
                for receiver in senders.list_senders(connection)
                if self._sender
                and receiver.hospital == self._sender.hospital
                and receiver.calling_ae_title == destination
            ]
        query = next((receiver.query for receiver in receivers if receiver.query), None)
        if query is None:
            yield None, None
            return
        kept = self._list_originals(event)
        pairs = sorted({(receiver.sop_class_uid, receiver.transfer_syntax_uid) for receiver in kept})[:_CONTEXTS]
        contexts = [build_context(*pair) for pair in pairs or [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]]
        yield query.host, query.port, {"ae_title": destination, "contexts": contexts}
        yield len(kept)
        yield from self._send_originals(event, kept)

    def _handle_commitment(self, event: Event) -> tuple[int, None]:
        """Handle a Storage Commitment request of a sender whose originals are kept always."""
        if self._sender is None or not storage_commitment.is_eligible(self._sender):
            return _REFUSED, None
        wanted, title = event.action_information, self._settings.ae_title
        return storage_commitment.handle_request(self._login, self._sender, title, event.action_type, wanted), None

    def _list_originals(self, event: Event) -> list[KeptOriginal]:
        if self._sender is None:
            return []
        with suppress(InvalidQuery), self._login.begin() as connection:
            return query_matches.list_originals(connection, self._sender.hospital, event.identifier)
        return []

    def _send_originals(self, event: Event, kept: list[KeptOriginal]) -> Iterator[tuple[int, Dataset | None]]:
        self._audit("retrieve", len(kept))
        for original in kept:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, dcmread(BytesIO(self._spool.read(original.digest)))

    def _audit(self, what: str, count: int) -> None:
        if self._sender is None:
            return
        with self._login.begin() as connection:
            trail.append(
                connection,
                f"sender:{self._sender.calling_ae_title}",
                AuditAction.ORIGINALS_ASKED,
                f"finess:{self._sender.finess}",
                {"what": what, "count": count},
            )


class _Socket(AssociationSocket):
    """pynetdicom's socket, with limits of size and time for one read."""

    def __init__(self, association: Association, connection: PeerConnection, settings: Settings) -> None:
        super().__init__(association, client_socket=connection.socket)
        self._max_bytes = settings.pdu_max_bytes
        self._deadline_seconds = settings.pdu_deadline_seconds

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes`, or fewer when a limit is exceeded, which makes pynetdicom abort."""
        if nr_bytes > self._max_bytes or self.socket is None:
            return bytearray()
        received = bytearray()
        until = time.monotonic() + self._deadline_seconds
        while len(received) < nr_bytes and time.monotonic() < until:
            try:
                chunk = self.socket.recv(nr_bytes - len(received))
            except TimeoutError:
                continue
            if not chunk:
                break
            received += chunk
        return received
