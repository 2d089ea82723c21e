"""Query/retrieve for hospitals (PS3.4 Annex C, Study Root): off unless `query_port` is set, for senders with the right.

pynetdicom speaks; our guard stands in front of it, as of the receiver: the handshake of TLS, slots, eviction. Its
sockets are read under our limits: no PDU longer than the receiver bears, each whole within the deadline.
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
from imaging_hub.gateway.rejections import RefusalCause, RefusalReason, Rejections
from imaging_hub.gateway.senders import Sender
from imaging_hub.gateway.tls import server_context
from imaging_hub.intake import study_root
from imaging_hub.intake.spool import Spool, open_spool
from imaging_hub.intake.study_root import InvalidQuery, KeptOriginal, TooManyMatches
from imaging_hub.metrics import GatewayMetrics
from imaging_hub.settings import Settings

_CONTEXTS = 128
_PENDING = 0xFF00
_OUT_OF_RESOURCES, _NO_QUERY, _CANCELLED, _REFUSED = 0xA700, 0xA900, 0xFE00, 0x0124


class QueryRetrieveScp:
    """Answers the hospitals that may ask, each about what it sent itself."""

    def __init__(self, settings: Settings, database: Database, metrics: GatewayMetrics) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.GATEWAY)
        self._spool = open_spool(settings, self._login)
        self._rejections = Rejections(self._login, metrics)
        self._server: GuardedServer | None = None

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._server.port if self._server else self._settings.query_port

    def start(self) -> None:
        """Accept whoever asks."""
        self._server = GuardedServer(
            (self._settings.bind_address, self._settings.query_port),
            PeerLimits.of(self._settings),
            server_context(self._settings),
            self._serve,
            self._rejections.ended,
        )
        self._server.start()

    def stop(self) -> None:
        """Accept no more, and end what is under way."""
        if self._server:
            self._server.stop(1.0)

    def _serve(self, connection: PeerConnection) -> None:
        """One association, from its request to its end."""
        session = _Session(self._settings, self._login, self._spool, self._rejections, connection)
        association = session.association()
        association.start()
        association.join()
        # The reactor of a peer that is gone ends by itself; the socket is closed by the guard.
        with suppress(RuntimeError):
            association.dul.join(1.0)


class _Session:
    """What one peer asks; a pynetdicom association of its own, so that its answer to who may call is of this peer."""

    def __init__(
        self,
        settings: Settings,
        login: DatabaseLogin,
        spool: Spool,
        rejections: Rejections,
        connection: PeerConnection,
    ) -> None:
        self._settings = settings
        self._login = login
        self._spool = spool
        self._rejections = rejections
        self._connection = connection
        self._sender: Sender | None = None

    def association(self) -> Association:
        """The association, ready to be started."""
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
        association.bind(evt.EVT_REQUESTED, self._requested)
        association.bind(evt.EVT_C_FIND, self._find)
        association.bind(evt.EVT_C_GET, self._get)
        association.bind(evt.EVT_C_MOVE, self._move)
        association.bind(evt.EVT_N_ACTION, self._commit)
        return association

    def _requested(self, event: Event) -> None:
        """Say who this is; pynetdicom then rejects an AE title that is not on the list."""
        primitive = event.assoc.requestor.primitive
        calling, called = (primitive.calling_ae_title, primitive.called_ae_title) if primitive else (None, None)
        calling, called = (calling or "").strip(), (called or "").strip()
        found = self._may_ask(calling)
        if called != self._settings.ae_title:
            found = RefusalReason.WRONG_CALLED_AE_TITLE
        if isinstance(found, Sender):
            self._sender = found
            self._connection.named = True
            event.assoc.ae.require_calling_aet = [calling]
            return
        event.assoc.ae.require_calling_aet = ["*NOBODY*"]
        self._rejections.record(RefusalCause(self._connection.address, calling[:16], called[:16], found))

    def _may_ask(self, calling: str) -> Sender | RefusalReason:
        try:
            with self._login.begin() as connection:
                found = senders.admit(connection, calling, self._connection.address, self._connection.certificate)
        except SQLAlchemyError:
            return RefusalReason.DATABASE_AWAY
        return RefusalReason.MAY_NOT_RETRIEVE if isinstance(found, Sender) and not found.retrieves else found

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self._sender is None:
            return
        hospital, title = self._sender.hospital, self._settings.ae_title
        try:
            with self._login.begin() as connection:
                matches = list(study_root.find_matches(connection, self._spool, hospital, event.identifier, title))
        except InvalidQuery:
            yield _NO_QUERY, None
            return
        except (TooManyMatches, SQLAlchemyError):
            yield _OUT_OF_RESOURCES, None
            return
        self._remember("find", len(matches))
        for match in matches:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, match

    def _get(self, event: Event) -> Iterator[Any]:
        kept = self._originals(event)
        yield len(kept)
        yield from self._given(event, kept)

    def _move(self, event: Event) -> Iterator[Any]:
        """Only to a receiver of the same hospital: the one that is named for the destination's AE title."""
        destination = str(event.move_destination or "").strip()
        with self._login.begin() as connection:
            known = [
                one
                for one in senders.list_senders(connection)
                if self._sender and one.hospital == self._sender.hospital and one.calling_ae_title == destination
            ]
        query = next((one.query for one in known if one.query), None)
        if query is None:
            yield None, None
            return
        kept = self._originals(event)
        pairs = sorted({(one.sop_class_uid, one.transfer_syntax_uid) for one in kept})[:_CONTEXTS]
        contexts = [build_context(*pair) for pair in pairs or [(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]]
        yield query.host, query.port, {"ae_title": destination, "contexts": contexts}
        yield len(kept)
        yield from self._given(event, kept)

    def _commit(self, event: Event) -> tuple[int, None]:
        """Promise to keep instances, to a sender whose originals are kept always."""
        if self._sender is None or not storage_commitment.may_be_committed(self._sender):
            return _REFUSED, None
        wanted, title = event.action_information, self._settings.ae_title
        return storage_commitment.request(self._login, self._sender, title, event.action_type, wanted), None

    def _originals(self, event: Event) -> list[KeptOriginal]:
        if self._sender is None:
            return []
        with suppress(InvalidQuery), self._login.begin() as connection:
            return study_root.list_originals(connection, self._sender.hospital, event.identifier)
        return []

    def _given(self, event: Event, kept: list[KeptOriginal]) -> Iterator[tuple[int, Dataset | None]]:
        self._remember("retrieve", len(kept))
        for original in kept:
            if event.is_cancelled:
                yield _CANCELLED, None
                return
            yield _PENDING, dcmread(BytesIO(self._spool.read(original.digest)))

    def _remember(self, what: str, count: int) -> None:
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
    """pynetdicom's socket, with a bound on how much it reads at once and how long that may take."""

    def __init__(self, association: Association, connection: PeerConnection, settings: Settings) -> None:
        super().__init__(association, client_socket=connection.socket)
        self._most = settings.pdu_max_bytes
        self._seconds = settings.pdu_deadline_seconds

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes`, or fewer from a peer that announces too much or is too slow: pynetdicom then gives it up."""
        if nr_bytes > self._most or self.socket is None:
            return bytearray()
        got = bytearray()
        until = time.monotonic() + self._seconds
        while len(got) < nr_bytes and time.monotonic() < until:
            try:
                more = self.socket.recv(nr_bytes - len(got))
            except TimeoutError:
                continue
            if not more:
                break
            got += more
        return got
