"""Encapsulated documents (PS3.3 §A.45): a PDF or CDA document is treated as the profile says.

quarantine   held back; the reason says whether the patient was found in its text
drop         held back without a look: the project wants no documents
transcribe   of a PDF, the cleaned text leaves as a new document; of others nothing does
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from imaging_hub.deidentification import standard_tables
from imaging_hub.deidentification.documents import document_reader, transcript
from imaging_hub.deidentification.identifiers import residual_check
from imaging_hub.deidentification.identifiers.patient import PatientContext
from imaging_hub.deidentification.source_and_outcome import Quarantined
from imaging_hub.dicom import tags, values
from imaging_hub.dicom.elements import Dataset, Element

DocumentPolicy: TypeAlias = Literal["quarantine", "drop", "transcribe"]


def decide(
    dataset: Dataset, sop_class_uid: str, policy: DocumentPolicy, patient: PatientContext
) -> list[Element] | Quarantined:
    """Decide what is written in place of the document, or why the instance is quarantined."""
    kind = standard_tables.iod(sop_class_uid)
    element = values.find(dataset, tags.EncapsulatedDocument)
    if policy == "drop":
        return _held("document-dropped")
    if kind not in (document_reader.PDF, document_reader.CDA) or element is None or isinstance(element.value, list):
        return _held("encapsulated-document")
    source = document_reader.read(bytes(element.value), kind)
    if source is None:
        return _held("document-unreadable")
    if policy == "quarantine" or kind != document_reader.PDF:
        names_patient = residual_check.names_patient(source.text, patient.searched)
        return _held("document-with-identifier" if names_patient else "encapsulated-document")
    if not any(page.strip() for page in source.pages):
        # A scan: what it shows nobody has read.
        return _held("document-without-text")
    return _transcribed(source, patient)


def _transcribed(source: document_reader.ReadDocument, patient: PatientContext) -> list[Element] | Quarantined:
    made = transcript.pdf(patient.free_text(page) for page in source.pages)
    # What a reader makes of the new document is searched, not what was meant to be written.
    again = document_reader.read(made, document_reader.PDF)
    if again is None or residual_check.names_patient(again.text, patient.searched):
        return Quarantined("residual-identifier", "EncapsulatedDocument", "documents: transcribe")
    return [
        Element(tags.EncapsulatedDocument, "OB", made),
        Element(tags.EncapsulatedDocumentLength, "UL", len(made).to_bytes(4, "little")),
    ]


def _held(reason: str) -> Quarantined:
    return Quarantined(reason, "EncapsulatedDocument", "documents")
