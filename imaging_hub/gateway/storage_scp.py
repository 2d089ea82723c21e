"""The receiver: C-ECHO and C-STORE for known senders (PS3.4 annexes A and B)."""

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
from imaging_hub.gateway.reception import AnnouncedInstance, Reception, head
from imaging_hub.gateway.rejections import RefusalCause, RefusalReason, Rejections
from imaging_hub.gateway.senders import Sender
from imaging_hub.gateway.tls import server_context
from imaging_hub.intake import recovery
from imaging_hub.log import log
from imaging_hub.settings import Settings

DRAIN_SECONDS = 10.0
_KEPT = frozenset(transfer_syntax.NEGOTIATED)
_PLAIN = frozenset((transfer_syntax.IMPLICIT_VR_LITTLE_ENDIAN, transfer_syntax.EXPLICIT_VR_LITTLE_ENDIAN))


class StorageServer:
    """One receiver on one port."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._login = database.login(DatabaseRole.GATEWAY)
        self.reception = Reception(settings, database)
        self.metrics = self.reception.metrics
        self._rejections = Rejections(self._login, self.metrics)
        self._server: GuardedServer | None = None
        self.stopping = False

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._server.port if self._server else self._settings.dicom_port

    def start(self) -> None:
        """Put right what a sudden end left behind, then accept senders."""
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
            PeerLimits.of(self._settings),
            context,
            self._serve,
            self._rejections.ended,
        )
        self._server.start()
        log.info("gateway-started", port=self.port)

    def stop(self) -> None:
        """Accept no more, answer what is under way, end."""
        self.stopping = True
        if self._server:
            self._server.stop(DRAIN_SECONDS)
        self.reception.stop()
        log.info("gateway-stopped")

    def _serve(self, connection: PeerConnection) -> None:
        session = _Session(self, connection.address)
        with self.metrics.associations.track_inprogress():
            Association(
                connection, session, IncomingDataset(self.reception.spool), self._settings.dataset_max_bytes
            ).run()
        session.summarise("released")

    def identify(self, request: AssociationRequest) -> Sender | RefusalReason:
        """The sender behind an association request, or why there is none."""
        if request.application_context != APPLICATION_CONTEXT:
            return RefusalReason.NOT_DICOM_CONTEXT
        if request.called_ae_title != self._settings.ae_title:
            return RefusalReason.WRONG_CALLED_AE_TITLE
        if self.stopping or self.reception.failed.is_set():
            return RefusalReason.SHUTTING_DOWN
        try:
            with self._login.begin() as connection:
                found = senders.admit(connection, request.calling_ae_title, request.address, request.certificate)
            return (
                found if isinstance(found, RefusalReason) or self.reception.is_accepting() else RefusalReason.SPOOL_FULL
            )
        except SQLAlchemyError:
            return RefusalReason.DATABASE_AWAY

    def refuse(self, *causes: RefusalCause) -> None:
        """Write down what was refused."""
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


class _Session:
    """What one association does: the `Service` of its sender."""

    def __init__(self, server: StorageServer, address: str) -> None:
        self._server = server
        self._address = address
        self._sender: Sender | None = None
        self._outcomes: dict[StoreSituation, int] = {}

    def negotiate(
        self, request: AssociationRequest
    ) -> AssociationRejection | Sequence[AcceptedContext | RefusedContext]:
        """Only known senders; all their storage SOP Classes, in every transfer syntax that can be kept."""
        found = self._server.identify(request)
        if isinstance(found, RefusalReason):
            self._server.refuse(RefusalCause(self._address, request.calling_ae_title, request.called_ae_title, found))
            return _REJECTION[found]
        self._sender = found
        contexts = [_negotiate(proposal) for proposal in request.contexts]
        refused = [
            RefusalCause(self._address, request.calling_ae_title, request.called_ae_title, *_why(context, proposal))
            for context, proposal in zip(contexts, request.contexts, strict=True)
            if isinstance(context, RefusedContext)
        ]
        if refused:
            self._server.refuse(*refused)
        return contexts

    def head(self, request: CommandSet, transfer_syntax: str) -> bytes:
        """What stands before the dataset in its file."""
        return head(self._sent(request, transfer_syntax))

    def store(self, request: CommandSet, transfer_syntax: str, body: IncomingDataset) -> StoreStatus:
        """Take an instance and say what the Standard has the sender told."""
        try:
            situation = self._server.reception.store(self._sent(request, transfer_syntax), body).situation
        except StorageUnavailable:
            situation = StoreSituation.NO_SPACE
        self._outcomes[situation] = self._outcomes.get(situation, 0) + 1
        return STORE_STATUS[situation]

    def summarise(self, outcome: str) -> None:
        """One event for the whole association."""
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

    def _sent(self, request: CommandSet, transfer_syntax: str) -> AnnouncedInstance:
        if self._sender is None:
            raise ConnectionEnded(EndReason.PROTOCOL)
        return AnnouncedInstance(self._sender, request.sop_class_uid, request.sop_instance_uid, transfer_syntax)


def _negotiate(proposal: ProposedContext) -> AcceptedContext | RefusedContext:
    """Accept a context whose SOP Class is kept, or Verification; of its transfer syntaxes the first that we keep."""
    abstract = proposal.abstract_syntax
    if not (abstract == sop_class.VERIFICATION or sop_class.is_kept(abstract)):
        return RefusedContext(proposal.id, abstract, 3)
    known = _PLAIN if abstract == sop_class.VERIFICATION else _KEPT
    usable = [syntax for syntax in proposal.transfer_syntaxes if syntax in known]
    if not usable:
        return RefusedContext(proposal.id, abstract, 4)
    # Big endian is retired; a sender that offers something else beside it can send that.
    usable.sort(key=lambda syntax: syntax == transfer_syntax.EXPLICIT_VR_BIG_ENDIAN)
    return AcceptedContext(proposal.id, abstract, usable[0])


def _why(refused: RefusedContext, proposal: ProposedContext) -> tuple[RefusalReason, str]:
    if refused.result == 3:
        return RefusalReason.SOP_CLASS, refused.abstract_syntax[:64]
    return RefusalReason.TRANSFER_SYNTAX, (proposal.transfer_syntaxes or ("",))[0][:64]
