"""Clean Descriptors: what stays of free text, what goes, and in what form identifiers are recognised."""

from __future__ import annotations

import pytest

from imaging_hub.deidentification.identifiers.collector import IdentifierParts
from imaging_hub.deidentification.identifiers.text_cleaning import TextCleaner
from imaging_hub.deidentification.identifiers.vocabulary import fold, is_term
from imaging_hub.dicom.dates import shift

IDENTITY = IdentifierParts.of(
    [
        "GAËLDOURT DE LA FOSSE^Loïc", "FERRANDIERES^Paul", "19560312", "184127510102345", "01 23 45 67 89", "80123456",
        "12 rue Martin Dupont-Leroy, 75010 Sainte-Adèle", "CHU Sainte-Aurélie", "SN1234567", "ACC-2023/0017",
        "loic.gaeldourt@exemple-12.fr",
    ]
)  # fmt: skip
CLEANED = {
    "TDM: MALADIE DE CROHN - M. GAËLDOURT DE LA FOSSE Loïc né le 12/03/1956": "TDM: MALADIE DE CROHN",
    "IRM CEREBRALE - Loïc Gaëldourt de la Fosse, tél 01 23 45 67 89": "IRM CEREBRALE",
    "SD DE GUILLAIN-BARRE - INS 1 84 12 75 101 023 45": "SD DE GUILLAIN-BARRE",
    "IRM: BILAN PARKINSON - né(e) Gaeldourt le 12 mars 1956": "IRM: BILAN PARKINSON",
    "TEP: LYMPHOME DE HODGKIN - IPP 80123456 - Dr Petit": "TEP: LYMPHOME DE HODGKIN",
    "AXIAL 1.25 MM PARENCHYME - pat. GAËLDOURT": "AXIAL 1.25 MM PARENCHYME",
    "Nodule de 8 mm du lobe supérieur droit - 12 rue Martin Dupont-Leroy": "Nodule de 8 mm du lobe supérieur droit",
    "PROTOCOLE MR - Mme Legrand Marie": "PROTOCOLE MR",
    "A jeun, courrier au Pr FERRANDIERES": "A jeun",
    "Allergie iode; jean.dupont@ch-valmorency.fr": "Allergie iode",
    "CT THORAX, demande ACC-2023/0017": "CT THORAX, demande",
    "examen du 2024-05-17 puis 17.05.24": "examen puis",
    "SCANNER Valmorency": "SCANNER",
}
STAYS = [
    "SCANNER ABDOMINO-PELVIEN", "t1_mprage_sag_p2_iso_1.0", "ep2d_bold 3 B30f Recon", "ATCD: HTA, maladie de Crohn",
    "CONTROLE POST-OP", "ThoraxRoutine", "FLAIR 5mm L5-S1 x3", "ALZHEIMER: BILAN", "SAG T2 FLAIR", "ANGLE DE COBB",
    "Douleurs thoraciques, pas d'embolie pulmonaire", "AX DWI b1000 TRACEW",
]  # fmt: skip


@pytest.mark.parametrize("text", CLEANED)
def test_identifiers_and_unknown_words_leave_free_text(text: str) -> None:
    assert TextCleaner(IDENTITY).clean(text) == CLEANED[text]


@pytest.mark.parametrize("text", STAYS)
def test_clinical_and_technical_text_stays_as_it_is(text: str) -> None:
    assert TextCleaner(IDENTITY).clean(text) == text


@pytest.mark.parametrize(
    "eponym", ["crohn", "parkinson", "hodgkin", "basedow", "alzheimer", "guillain", "barre", "cobb"]
)
def test_an_eponym_is_a_word_of_the_field(eponym: str) -> None:
    assert is_term(eponym)


def test_a_patient_called_as_a_disease_is_cleaned_of_it() -> None:
    cleaner = TextCleaner(IdentifierParts.of(["CROHN^JEAN"]))
    assert cleaner.clean("TDM: MALADIE DE CROHN") == "TDM: MALADIE"


def test_a_scan_takes_the_patient_out_and_leaves_unknown_words() -> None:
    cleaner = TextCleaner(IDENTITY)
    assert cleaner.scan("Vendorix Scanmatic 3000") == "Vendorix Scanmatic 3000"
    assert cleaner.scan("Vendorix for Gaeldourt") == "Vendorix for"
    assert cleaner.scan("440252007") == "440252007"
    assert cleaner.scan("call 0123456789") == "call"


def test_a_defined_term_stays_for_a_patient_who_is_called_so() -> None:
    cleaner = TextCleaner(IdentifierParts.of(["HEAD^JOHN"]))
    assert cleaner.scan("HEAD", vocabulary_stays=True) == "HEAD"
    assert cleaner.scan("HEAD") == ""


@pytest.mark.parametrize(
    "text", ["Gaeldourt", "GAËLDOURT", "gaëldourt", "Gae\u0308ldourt", "xGaeldourtx", "DE LA FOSSE", "Loïc"]
)
def test_a_name_is_recognised_in_every_case_and_accent(text: str) -> None:
    assert TextCleaner(IDENTITY).scan(text) in ("", "DE LA")


def test_folding_takes_accents_case_and_ligatures_away() -> None:
    assert fold("ŒUVRAY-Straße ÉÀÇ’") == "oeuvray-strasse eac'"


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("20230114", "20221006"), ("2023.01.14", "2022.10.06"),
        ("20230114101502.250000+0100", "20221006101502.250000+0100"),
        ("202301", "202210"), ("2023", "2023"), ("20231345", None), ("janvier", None), ("2023-01-14", None),
    ],
)  # fmt: skip
def test_a_date_moves_by_whole_days_in_the_precision_it_has(value: str, moved: str | None) -> None:
    assert shift(value, -100) == moved


def test_a_uid_in_text_goes_and_a_version_stays() -> None:
    cleaner = TextCleaner(IdentifierParts.of(["MARTIN^ANNE"]))
    for clean in (cleaner.scan, cleaner.clean):
        assert clean("thorax 1.2.250.1.99999.987626796.0") == "thorax"
        assert clean("version 1.2.3.4") == "version 1.2.3.4"
