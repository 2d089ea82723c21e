"""The conformance statement says what is negotiated: every SOP Class of the dictionary in every transfer syntax."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from pydicom.uid import UID_dictionary
from raw_scu import CALLED, RawScu, Refused, let_in, receiving
from typer.testing import CliRunner

from imaging_hub.cli import app
from imaging_hub.cli.conformance_statement import statement
from imaging_hub.database import Database
from imaging_hub.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
PRIVATE = ("1.3.46.670589.5.0.1.1", "1.2.840.113619.4.30", "2.25.1")
VERIFICATION = "1.2.840.10008.1.1"
NOT_OF_THE_STANDARD = ("1.2.840.10008.9.9.9", "1.2.840.10008.5.1.4.1.1.9999")
ABSTRACT = [uid for uid, entry in UID_dictionary.items() if entry[1] in ("SOP Class", "Meta SOP Class")]
TRANSFER = [uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"]
TRANSFER += ["1.2.3.4", "1.2.840.113619.5.2"]
ACCEPTED, NO_SUCH_SOP_CLASS, NO_SUCH_SYNTAX = 0, 3, 4


class Said:
    """What a statement says of a presentation context."""

    def __init__(self, page: str) -> None:
        storage, _, classes = page.partition("## 6. Storage SOP Classes")
        self.classes = set(re.findall(r"^\| [^|]+ \| ([\d.]+) \|$", classes, re.MULTILINE))
        self.syntaxes = set(re.findall(r"^\| [^|]+ \| (1\.2\.840\.10008\.1\.2[\d.]*) \|$", storage, re.MULTILINE))

    def result(self, sop_class: str, syntax: str) -> int:
        """The result of proposing a SOP Class in one transfer syntax."""
        if sop_class == VERIFICATION:
            return ACCEPTED if syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1") else NO_SUCH_SYNTAX
        if sop_class.startswith("1.2.840.10008.") and sop_class not in self.classes:
            return NO_SUCH_SOP_CLASS
        return ACCEPTED if syntax in self.syntaxes else NO_SUCH_SYNTAX


def test_what_is_negotiated_is_what_the_statement_says(settings: Settings, database: Database) -> None:
    let_in(database)
    said = Said(statement(settings))
    assert "\nVerification: Implicit and Explicit VR Little Endian.\n" in statement(settings)
    assert len(said.classes) > 150
    assert len(said.syntaxes) > 30
    proposals = list(product(sorted({*ABSTRACT, *said.classes, *PRIVATE, *NOT_OF_THE_STANDARD}), TRANSFER))
    wrong = []
    with receiving(settings, database) as server:
        for first in range(0, len(proposals), 128):
            contexts = proposals[first : first + 128]
            association = RawScu(server.port, contexts=[(sop_class, (syntax,)) for sop_class, syntax in contexts])
            for place, (sop_class, syntax) in enumerate(contexts):
                if association.results[2 * place + 1] != said.result(sop_class, syntax):
                    wrong.append((sop_class, syntax, association.results[2 * place + 1]))
            association.release()
    assert len(proposals) > 15_000
    assert wrong == []


def test_the_statement_is_of_the_configuration(settings: Settings, database: Database) -> None:
    configured = settings.model_copy(update={"ae_title": "CHU_HUB", "pdu_max_bytes": 96 << 10, "associations_max": 7})
    page = statement(configured)
    assert "title `CHU_HUB`" in page
    assert "| longest PDU borne | 96 KiB, 96 KiB for the first one;" in page
    assert "| associations at once | 7 in all" in page
    let_in(database)
    with receiving(configured, database) as server:
        RawScu(server.port, called="CHU_HUB").release()
        with pytest.raises(Refused):
            RawScu(server.port, called=CALLED)


@pytest.mark.parametrize(
    ("certificates", "said"),
    [
        ({}, "without TLS"),
        ({"dicom_tls_certificate": "a", "dicom_tls_key": "b"}, "over TLS; senders need no certificate"),
        (
            {"dicom_tls_certificate": "a", "dicom_tls_key": "b", "dicom_tls_client_ca": "c"},
            "over TLS, with a certificate of each sender",
        ),
    ],
)
def test_the_statement_says_how_dicom_is_secured(certificates: dict[str, str], said: str) -> None:
    assert f"DICOM here runs {said}." in statement(Settings(**certificates))  # type: ignore[arg-type]


def test_the_page_is_the_statement_of_the_defaults() -> None:
    printed = CliRunner().invoke(app, ["conformance"], env={}).output
    assert printed == PAGE.read_text("utf-8"), "write it anew: imaging-hub conformance > docs/conformance.md"
