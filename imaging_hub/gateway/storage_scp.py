"""Storage SCP: C-ECHO and C-STORE for known senders (PS3.4 Annexes A and B)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.dicom import sop_class, transfer_syntax
from imaging_hub.dicom.status import STORE_STATUS, AssociationRejection, StoreSituation, StoreStatus
from imaging_hub.errors import StorageUnavailable
from imaging_hub.gateway import senders
from imaging_hub.gateway.association import (
    APPLICATION_CONTEXT,
    AcceptedContext,
    Association,
    AssociationRequest,
    ProposedContext,
    RefusedContext,
)
from imaging_hub.gateway.association_guard import GuardedServer
from imaging_hub.gateway.connection import ConnectionEnded, EndReason, PeerConnection, PeerLimits
from imaging_hub.gateway.dimse import CommandSet
from imaging_hub.gateway.incoming_dataset import IncomingDataset
from imaging_hub.gateway.reception import AnnouncedInstance, Reception, encode_file_meta
from imaging_hub.gateway.rejection_log import RefusalCause, RefusalReason, RejectionLog
from imaging_hub.gateway.senders import Sender
from imaging_hub.gateway.tls import server_context
from imaging_hub.intake import recovery
from imaging_hub.log import log
from imaging_hub.settings import Settings

DRAIN_SECONDS = 10.0
_TRANSFER_SYNTAXES = frozenset(transfer_syntax.NEGOTIATED)
_VERIFICATION_SYNTAXES = frozenset(
    (transfer_syntax.IMPLICIT_VR_LITTLE_ENDIAN, transfer_syntax.EXPLICIT_VR_LITTLE_ENDIAN)
)


class StorageServer:
    """DICOM receiver on one port."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.GATEWAY)
        self.reception = Reception(settings, database)
        self.metrics = self.reception.metrics
        self._rejections = RejectionLog(self._login, self.metrics)
        self._server: GuardedServer | None = None
        self.stopping = False

    @property
    def port(self) -> int:
        """TCP port that the server listens on."""
        return self._server.port if self._server else self._settings.dicom_port

    def start(self) -> None:
        """Recover from a crash, then accept senders.

        Raises `StorageUnavailable` when the journal does not answer, `SettingsError` for unusable TLS files.
        """
        self._settings.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        context = server_context(self._settings)
        try:
            with self._login.begin() as connection:
                recovered = recovery.recover(connection, self.reception.spool)
        except SQLAlchemyError as fault:
            raise StorageUnavailable(
                "the journal cannot be reached, or was never made",
                code="journal-unavailable",
                hint="is PostgreSQL running? `imaging-hub serve` makes the journal when it starts",
            ) from fault
        self.metrics.alarms.set(len(recovered.missing))
        self.reception.start()
        self._server = GuardedServer(
            (self._settings.bind_address, self._settings.dicom_port),
            PeerLimits.from_settings(self._settings),
            context,
            self._serve,
            self._rejections.record_end,
        )
        self._server.start()
        log.info("gateway-started", port=self.port)

    def stop(self) -> None:
        """Stop accepting, finish the instances under way, and stop."""
        self.stopping = True
        if self._server:
            self._server.stop(DRAIN_SECONDS)
        self.reception.stop()
        log.info("gateway-stopped")

    def _serve(self, connection: PeerConnection) -> None:
        session = _StorageSession(self, connection.address)
        with self.metrics.associations.track_inprogress():
            Association(
                connection, session, IncomingDataset(self.reception.spool), self._settings.dataset_max_bytes
            ).run()
        session.log_summary("released")

    def admit(self, request: AssociationRequest) -> Sender | RefusalReason:
        """Return the sender of an association request, or the reason to refuse it."""
        if request.application_context != APPLICATION_CONTEXT:
            return RefusalReason.NOT_DICOM_CONTEXT
        if request.called_ae_title != self._settings.ae_title:
            return RefusalReason.WRONG_CALLED_AE_TITLE
        if self.stopping or self.reception.failed.is_set():
            return RefusalReason.SHUTTING_DOWN
        try:
            with self._login.begin() as connection:
                result = senders.admit(connection, request.calling_ae_title, request.address, request.certificate)
            return (
                result
                if isinstance(result, RefusalReason) or self.reception.is_accepting()
                else RefusalReason.SPOOL_FULL
            )
        except SQLAlchemyError:
            return RefusalReason.DATABASE_AWAY

    def record_refusals(self, *causes: RefusalCause) -> None:
        """Record refused associations or presentation contexts."""
        self._rejections.record(*causes)


_REJECTION = {
    RefusalReason.NOT_DICOM_CONTEXT: AssociationRejection.UNKNOWN_CALLING_AE_TITLE,
    RefusalReason.WRONG_CALLED_AE_TITLE: AssociationRejection.UNKNOWN_CALLED_AE_TITLE,
    RefusalReason.UNKNOWN_SENDER: AssociationRejection.UNKNOWN_CALLING_AE_TITLE,
    RefusalReason.WRONG_ADDRESS: AssociationRejection.UNKNOWN_CALLING_AE_TITLE,
    RefusalReason.WRONG_CERTIFICATE: AssociationRejection.UNKNOWN_CALLING_AE_TITLE,
    RefusalReason.SPOOL_FULL: AssociationRejection.CONGESTED,
    RefusalReason.SHUTTING_DOWN: AssociationRejection.LOCAL_LIMIT,
    RefusalReason.DATABASE_AWAY: AssociationRejection.LOCAL_LIMIT,
}


class _StorageSession:
    """The `AssociationService` of one association."""

    def __init__(self, server: StorageServer, address: str) -> None:
        self._server = server
        self._address = address
        self._sender: Sender | None = None
        self._outcomes: dict[StoreSituation, int] = {}

    def negotiate(
        self, request: AssociationRequest
    ) -> AssociationRejection | Sequence[AcceptedContext | RefusedContext]:
        """Reject an unknown sender; accept every storage SOP Class in a supported transfer syntax."""
        result = self._server.admit(request)
        if isinstance(result, RefusalReason):
            self._server.record_refusals(
                RefusalCause(self._address, request.calling_ae_title, request.called_ae_title, result)
            )
            return _REJECTION[result]
        self._sender = result
        contexts = [_negotiate(proposal) for proposal in request.contexts]
        refused = [
            RefusalCause(
                self._address, request.calling_ae_title, request.called_ae_title, *_refusal_cause(context, proposal)
            )
            for context, proposal in zip(contexts, request.contexts, strict=True)
            if isinstance(context, RefusedContext)
        ]
        if refused:
            self._server.record_refusals(*refused)
        return contexts

    def encode_file_meta(self, request: CommandSet, transfer_syntax: str) -> bytes:
        """Return preamble and file meta information of an instance."""
        return encode_file_meta(self._announce(request, transfer_syntax))

    def store(self, request: CommandSet, transfer_syntax: str, body: IncomingDataset) -> StoreStatus:
        """Store an instance and return its C-STORE status (PS3.4 §B.2.3)."""
        try:
            situation = self._server.reception.store(self._announce(request, transfer_syntax), body).situation
        except StorageUnavailable:
            situation = StoreSituation.NO_SPACE
        self._outcomes[situation] = self._outcomes.get(situation, 0) + 1
        return STORE_STATUS[situation]

    def log_summary(self, outcome: str) -> None:
        """Log one event with the counts of the association."""
        if self._sender is None:
            return
        failed = (StoreSituation.NO_SPACE, StoreSituation.MALFORMED, StoreSituation.UID_MISMATCH)
        log.info(
            "association",
            outcome=outcome,
            address=self._address,
            finess=self._sender.finess,
            stored=self._outcomes.get(StoreSituation.STORED, 0),
            duplicates=self._outcomes.get(StoreSituation.DUPLICATE, 0),
            quarantined=self._outcomes.get(StoreSituation.QUARANTINED, 0),
            failed=sum(self._outcomes.get(situation, 0) for situation in failed),
        )

    def _announce(self, request: CommandSet, transfer_syntax: str) -> AnnouncedInstance:
        if self._sender is None:
            raise ConnectionEnded(EndReason.PROTOCOL)
        return AnnouncedInstance(self._sender, request.sop_class_uid, request.sop_instance_uid, transfer_syntax)


def _negotiate(proposal: ProposedContext) -> AcceptedContext | RefusedContext:
    """Accept Verification or a storage SOP Class, with the first proposed transfer syntax that we support."""
    abstract = proposal.abstract_syntax
    if not (abstract == sop_class.VERIFICATION or sop_class.is_kept(abstract)):
        return RefusedContext(proposal.id, abstract, 3)
    negotiable = _VERIFICATION_SYNTAXES if abstract == sop_class.VERIFICATION else _TRANSFER_SYNTAXES
    supported = [syntax for syntax in proposal.transfer_syntaxes if syntax in negotiable]
    if not supported:
        return RefusedContext(proposal.id, abstract, 4)
    # Big Endian is retired, and taken only when nothing else is proposed.
    supported.sort(key=lambda syntax: syntax == transfer_syntax.EXPLICIT_VR_BIG_ENDIAN)
    return AcceptedContext(proposal.id, abstract, supported[0])


def _refusal_cause(refused: RefusedContext, proposal: ProposedContext) -> tuple[RefusalReason, str]:
    if refused.result == 3:
        return RefusalReason.SOP_CLASS, refused.abstract_syntax[:64]
    return RefusalReason.TRANSFER_SYNTAX, (proposal.transfer_syntaxes or ("",))[0][:64]
