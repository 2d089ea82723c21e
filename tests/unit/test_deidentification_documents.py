"""Encapsulated documents: held back, or their cleaned text alone leaves as a new document."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from an_instance import PSEUDONYMS, an_instance, delivered, engine, text, value_at, written
from pypdfium2 import PdfDocument
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas

from imaging_hub.deidentification.documents import document_reader
from imaging_hub.deidentification.source_and_outcome import DeidentifiedInstance, Quarantined, SourceInstance
from imaging_hub.dicom import values
from imaging_hub.dicom.elements import Element

PDF, CDA, STL = (f"1.2.840.10008.5.1.4.1.1.104.{number}" for number in (1, 2, 3))
REPORT = """Scanner thoracique du 14/01/2023
Patient : Loïc GAËLDOURT, né le 12/03/1956, 01 23 45 67 89
12 rue Evrarquercy, 75010 Valmorency
Dossier 8012
3456
Nodule du lobe supérieur droit, 12 mm, sans adénopathie.
Dr Ferrandieres"""
CLEAN = "Nodule du lobe supérieur droit, 12 mm, sans adénopathie."


def a_pdf(*pages: str, encrypt: pdfencrypt.StandardEncryption | None = None, author: str = "") -> bytes:
    """A PDF document with this text."""
    made = io.BytesIO()
    canvas = Canvas(made, encrypt=encrypt)
    canvas.setAuthor(author)
    for page in pages:
        sheet = canvas.beginText(40, 800)
        sheet.textLines(page)
        canvas.drawText(sheet)
        canvas.rect(40, 40, 100, 100)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def holding(document: bytes, sop_class: str = PDF) -> SourceInstance:
    """An instance with a document."""
    padded = document + b"\0" * (len(document) % 2)
    return an_instance(
        text(0x00080005, "CS", "ISO_IR 192"),
        text(0x00420010, "ST", "Compte rendu"),
        Element(0x00420011, "OB", padded),
        text(0x00420012, "LO", "application/pdf"),
        Element(0x00420015, "UL", len(document).to_bytes(4, "little")),
        sop_class=sop_class,
        modality="DOC",
    )


def held(profile: str | Path, document: bytes, sop_class: str = PDF) -> str:
    """The reason for which a document is held back."""
    outcome = engine(profile).deidentify(holding(document, sop_class), PSEUDONYMS)
    assert isinstance(outcome, Quarantined)
    assert outcome.attribute == "EncapsulatedDocument"
    return outcome.reason


@pytest.fixture
def transcribing(tmp_path: Path) -> Path:
    """A profile by which the text of documents leaves."""
    return written(tmp_path, "documents: transcribe", extends="research-longitudinal")


def transcript(outcome: DeidentifiedInstance | Quarantined) -> tuple[bytes, str]:
    """The document that leaves, and its text."""
    element = values.find(delivered(outcome), 0x00420011)
    assert element is not None
    document = bytes(element.value)  # type: ignore[arg-type]
    return document, "\n".join(page.get_textpage().get_text_bounded() for page in PdfDocument(document))


CDA_REPORT = '<ClinicalDocument xmlns="urn:hl7-org:v3"><id extension="{}"/><text>{}</text></ClinicalDocument>'
BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><a>&j;</a>"
)
HELD = {
    "a report of the patient": (a_pdf(REPORT), PDF, "document-with-identifier"),
    "a report that names nobody": (a_pdf(CLEAN), PDF, "encapsulated-document"),
    "a patient named only as its author": (a_pdf(CLEAN, author="Gaeldourt"), PDF, "document-with-identifier"),
    "a number over two lines": (a_pdf("8012\n3456"), PDF, "document-with-identifier"),
    "CDA with the number in an attribute": (
        CDA_REPORT.format("80123456", "x").encode(),
        CDA,
        "document-with-identifier",
    ),
    "CDA in UTF-16": (CDA_REPORT.format("1", "Gaeldourt").encode("utf-16"), CDA, "document-with-identifier"),
    "CDA that names nobody": (CDA_REPORT.format("1", "x").encode(), CDA, "encapsulated-document"),
    "CDA that grows without end": (BOMB.encode(), CDA, "document-unreadable"),
    "no CDA": (b"<a>", CDA, "document-unreadable"),
    "no PDF": (b"%PDF-1.7 and nothing more", PDF, "document-unreadable"),
    "half a PDF": (a_pdf(REPORT)[:300], PDF, "document-unreadable"),
    "a PDF under a password": (
        a_pdf(REPORT, encrypt=pdfencrypt.StandardEncryption("secret")),
        PDF,
        "document-unreadable",
    ),
    "a PDF of too many pages": (a_pdf(*["x"] * 301), PDF, "document-unreadable"),
    "nothing": (b"", PDF, "document-unreadable"),
    "a model of a body": (b"solid", STL, "encapsulated-document"),
}


@pytest.mark.parametrize("what", HELD)
def test_a_document_is_held_back_with_the_reason(what: str) -> None:
    document, sop_class, reason = HELD[what]
    assert held("research-longitudinal", document, sop_class) == reason


def test_a_project_without_documents_drops_them_unread(tmp_path: Path) -> None:
    assert held(written(tmp_path, "documents: drop"), b"%PDF") == "document-dropped"


@pytest.mark.parametrize(
    ("document", "sop_class", "reason"),
    [
        (a_pdf("", " "), PDF, "document-without-text"),
        (a_pdf(REPORT)[:300], PDF, "document-unreadable"),
        (CDA_REPORT.format("1", "x").encode(), CDA, "encapsulated-document"),
        (b"solid", STL, "encapsulated-document"),
    ],
)
def test_what_cannot_be_transcribed_is_held_back(
    transcribing: Path, document: bytes, sop_class: str, reason: str
) -> None:
    assert held(transcribing, document, sop_class) == reason


def test_a_transcript_has_the_cleaned_text_and_nothing_else_of_the_original(transcribing: Path) -> None:
    source = holding(a_pdf(REPORT, "Foie normal.", author="Gaeldourt"))
    outcome = engine(transcribing).deidentify(source, PSEUDONYMS)
    document, said = transcript(outcome)
    assert CLEAN.rstrip(".") in said
    assert "Foie normal." in said
    for word in ("gaeldourt", "gaëldourt", "loïc", "1956", "2023", "01 23", "evrarquercy", "8012", "3456", "ferrand"):
        assert word not in said.lower()
    assert b"gaeldourt" not in b"".join(outcome.part10).lower()  # type: ignore[union-attr]
    dataset = delivered(outcome)
    length = values.number(dataset, 0x00420015)
    assert length is not None
    assert document[: int(length)].rstrip().endswith(b"%%EOF")
    assert value_at(dataset, 0x00420010) == "Compte rendu"


def test_a_transcript_is_the_same_again_and_waits_for_a_radiologist(transcribing: Path) -> None:
    first, second = (engine(transcribing).deidentify(holding(a_pdf(REPORT)), PSEUDONYMS) for _ in range(2))
    assert isinstance(first, DeidentifiedInstance)
    assert isinstance(second, DeidentifiedInstance)
    assert b"".join(first.part10) == b"".join(second.part10)
    assert first.needs_review
    again = pydicom.dcmread(io.BytesIO(b"".join(first.part10)))
    assert again.EncapsulatedDocument.startswith(b"%PDF")
    assert [element.tag for element in again] == sorted(element.tag for element in again)


def test_one_engine_keeps_no_document_for_the_next(transcribing: Path) -> None:
    one = engine(transcribing)
    said = [
        transcript(one.deidentify(holding(a_pdf(page)), PSEUDONYMS))[1] for page in ("Foie normal.", "Rein normal.")
    ]
    assert "Foie" in said[0]
    assert "Rein" in said[1]
    assert "Foie" not in said[1]


def test_a_transcript_that_would_name_the_patient_is_held_back(
    transcribing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "imaging_hub.deidentification.identifiers.patient.PatientContext.free_text", lambda _, text: text
    )
    outcome = engine(transcribing).deidentify(holding(a_pdf(REPORT)), PSEUDONYMS)
    assert outcome == Quarantined("residual-identifier", "EncapsulatedDocument", "documents: transcribe")


def test_a_document_is_read_outside_of_the_engine_s_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_reader, "_SECONDS", 0.001)
    assert document_reader.read(a_pdf(CLEAN), document_reader.PDF) is None
