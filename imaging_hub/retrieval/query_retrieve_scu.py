"""Query/retrieve SCU (PS3.4 Annex C, Study Root) towards a hospital's PACS: C-FIND, C-MOVE and C-GET.

A PACS may ignore a matching key and answer with everything it has (PS3.4 §C.2.2.1 for optional keys), so answers
without the requested value are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import cast

from pydicom import Dataset
from pynetdicom import AE, Association, StoragePresentationContexts, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from imaging_hub.dicom import transfer_syntax, uid
from imaging_hub.dicom.sop_class import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from imaging_hub.dicom.status import STORE_STATUS
from imaging_hub.errors import RetrievalRefused
from imaging_hub.gateway.incoming_dataset import IncomingDataset
from imaging_hub.gateway.reception import AnnouncedInstance, Reception, head
from imaging_hub.gateway.senders import QueryRetrieveAddress, Sender

RESPONSE_SECONDS = 120.0
"""How long the PACS may take for its next response: it may have to fetch a study from tape."""
CONNECT_SECONDS = 15.0
_PENDING = (0xFF00, 0xFF01)
GET_SOP_CLASSES = [str(context.abstract_syntax) for context in StoragePresentationContexts]
"""Storage SOP Classes proposed for C-GET; with those of the query they stay below 128 contexts."""
_SYNTAXES = (
    transfer_syntax.EXPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax.IMPLICIT_VR_LITTLE_ENDIAN,
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)),
    "1.2.840.10008.1.2.5",
)


class RetrieveLevel(StrEnum):
    """The attribute by which a study is requested."""

    ACCESSION = "accession"
    STUDY = "study"
    PATIENT = "patient"


_KEYWORD = {
    RetrieveLevel.ACCESSION: "AccessionNumber",
    RetrieveLevel.STUDY: "StudyInstanceUID",
    RetrieveLevel.PATIENT: "PatientID",
}


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study in a C-FIND response."""

    study_instance_uid: str
    instances: int | None
    """Number of Study Related Instances (0020,1208), which a PACS need not return."""


class QueryRetrieveScu:
    """Client of one hospital's query/retrieve SCP, under our AE title."""

    def __init__(self, sender: Sender, query: QueryRetrieveAddress, our_title: str) -> None:
        self._sender = sender
        self._query = query
        self._our_title = our_title

    def find(self, level: RetrieveLevel, value: str) -> list[FoundStudy]:
        """Find the studies with that accession number, UID or Patient ID. Raises `RetrievalRefused`."""
        identifier_sent = Dataset()
        identifier_sent.QueryRetrieveLevel = "STUDY"
        identifier_sent.StudyInstanceUID = identifier_sent.AccessionNumber = identifier_sent.PatientID = ""
        identifier_sent.NumberOfStudyRelatedInstances = None
        setattr(identifier_sent, _KEYWORD[level], value)
        found: dict[str, FoundStudy] = {}
        with self._association(STUDY_ROOT_FIND) as association:
            for status, identifier in association.send_c_find(identifier_sent, STUDY_ROOT_FIND):
                code = _status_code(status, "query-failed")
                if code not in _PENDING:
                    _require_success(code, "query-failed")
                elif identifier is not None and str(identifier.get(_KEYWORD[level], "")).strip() == value:
                    study = _parse_study(identifier)
                    found[study.study_instance_uid] = study
        return list(found.values())

    def move(self, study_instance_uid: str) -> None:
        """Have a study sent to our C-STORE port, and return after the final response. Raises `RetrievalRefused`."""
        model = STUDY_ROOT_MOVE
        with self._association(model) as association:
            for status, _ in association.send_c_move(_study_identifier(study_instance_uid), self._our_title, model):
                code = _status_code(status, "move-failed")
                if code not in _PENDING:
                    _require_success(code, "move-failed")

    def get(self, study_instance_uid: str, reception: Reception) -> None:
        """Retrieve a study on our own association. Raises `RetrievalRefused`."""
        model = STUDY_ROOT_GET

        def store(event: Event) -> int:
            body = IncomingDataset(reception.spool)
            context = event.context.transfer_syntax
            request = cast("C_STORE", event.request)
            sent = AnnouncedInstance(
                self._sender, str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), context
            )
            body.begin(head(sent), sent.transfer_syntax_uid)
            try:
                body.write((request.DataSet or BytesIO()).getbuffer())
                return int(STORE_STATUS[reception.store(sent, body).situation])
            finally:
                body.discard()

        with self._association(model, *GET_SOP_CLASSES, store=store) as association:
            for status, _ in association.send_c_get(_study_identifier(study_instance_uid), model):
                code = _status_code(status, "get-failed")
                if code not in _PENDING:
                    _require_success(code, "get-failed")

    @contextmanager
    def _association(
        self, model: str, *storage: str, store: Callable[[Event], int] | None = None
    ) -> Iterator[Association]:
        entity = AE(ae_title=self._our_title)
        entity.connection_timeout = CONNECT_SECONDS
        entity.acse_timeout = CONNECT_SECONDS
        entity.dimse_timeout = entity.network_timeout = RESPONSE_SECONDS
        entity.add_requested_context(model)
        for abstract in storage:
            entity.add_requested_context(abstract, list(_SYNTAXES))
        association = entity.associate(
            self._query.host,
            self._query.port,
            ae_title=self._sender.calling_ae_title,
            ext_neg=[build_role(abstract, scp_role=True) for abstract in storage],
            evt_handlers=[(evt.EVT_C_STORE, store)] if store else [],
        )
        if association.is_rejected:
            raise RetrievalRefused("the PACS refused the association", code="association-refused", hint=self._remedy())
        if not association.is_established:
            raise RetrievalRefused("the PACS does not answer", code="unreachable", hint=self._remedy())
        try:
            if not any(context.abstract_syntax == model for context in association.accepted_contexts):
                raise RetrievalRefused(
                    "the PACS does not offer this service", code="service-refused", hint=self._remedy()
                )
            yield association
        finally:
            if association.is_established:
                association.release()

    def _remedy(self) -> str:
        return f"it must know the AE title {self._our_title}; check `imaging-hub sender test`"


def _study_identifier(study_instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return identifier


def _parse_study(identifier: Dataset) -> FoundStudy:
    study = str(identifier.get("StudyInstanceUID", ""))
    if not uid.is_valid(study):
        raise RetrievalRefused("the PACS answered without a study's UID", code="query-failed")
    try:
        instances: int | None = int(identifier.get("NumberOfStudyRelatedInstances") or 0) or None
    except ValueError:
        instances = None
    return FoundStudy(study, instances)


def _status_code(status: Dataset, otherwise: str) -> int:
    """Return the status of a response. Raises `RetrievalRefused` when none came in time."""
    code = status.get("Status")
    if code is None:
        raise RetrievalRefused("the PACS gave no answer", code=otherwise)
    return int(code)


def _require_success(code: int, otherwise: str) -> None:
    """Raise `RetrievalRefused` unless all or some sub-operations succeeded: the journal has what arrived."""
    if code == 0xA801:
        raise RetrievalRefused(
            "the PACS does not know where to send",
            code="move-destination",
            hint="add our AE title, host and port to it",
        )
    if code not in (0x0000, 0xB000):
        raise RetrievalRefused("the PACS could not do it", code=otherwise, hint="see the log of the PACS")
