"""Each mandatory filter, on rows planted for it; then all of them, on a synthetic SNDS whose truth is known."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from synthetic_snds import synthetic_snds

from imaging_hub.errors import LinkageError
from imaging_hub.snds.loading import DataVersion, current_version, load
from imaging_hub.snds.tables import JOIN_KEY, OPTIONAL_TABLES, table_schemas
from imaging_hub.snds.tables import imaging_acts as acts_of_the_ccam

Rows = dict[str, list[dict[str, Any]]]

NOBODY = date(1600, 1, 1)
DAY = date(2019, 3, 4)
TODAY = {"EXE_SOI_DTD": DAY, "EXE_SOI_DTF": DAY}
KEY = dict(zip(JOIN_KEY, (1, date(2019, 4, 1), 0, 1, 1, DAY, "01C590001", 1, 1), strict=True))
STAY = {"ETA_NUM": "990000101", "RSA_NUM": "0000000001"}
EXTERNAL = {"ETA_NUM": "990000101", "SEQ_NUM": "00000001"}
RETURN_CODES = dict.fromkeys(("NIR_RET", "NAI_RET", "SEX_RET", "SEJ_RET", "FHO_RET", "PMS_RET", "DAT_RET"), "0")
EXTERNAL_CODES = dict.fromkeys(("NIR_RET", "NAI_RET", "SEX_RET", "IAS_RET", "ENT_DAT_RET"), "0")


def beneficiary(psa: str = "PSA", rank: int = 1, ano: str | None = "ANO", **other: object) -> dict[str, Any]:
    return {
        "BEN_NIR_PSA": psa, "BEN_RNG_GEM": rank, "BEN_NIR_ANO": ano, "BEN_IDT_ANO": ano or f"{psa}{rank}",
        "BEN_IDT_TOP": int(ano is not None), "BEN_CDI_NIR": "00", "BEN_NAI_ANN": "1950", "BEN_NAI_MOI": "07",
        "BEN_SEX_COD": 1, "BEN_DCD_DTE": NOBODY, "BEN_DCD_AME": "160001", **other,
    }  # fmt: skip


def town_act(**other: Any) -> Rows:
    """One CCAM act in DCIR with its place."""
    key = {**KEY, **{name: value for name, value in other.items() if name in JOIN_KEY}}
    line = {**key, "BEN_NIR_PSA": "PSA", "BEN_RNG_GEM": 1, **TODAY, "PRS_NAT_REF": 1351, "PRS_ACT_QTE": 1.0,
            "DPN_QLF": 0, "PRS_DPN_QLP": 0, "CPL_MAJ_TOP": 0}  # fmt: skip
    act = {**key, "CAM_PRS_IDE": "ZBQK001", "CAM_ACT_COD": "1", "CAM_TRT_PHA": 0}
    place = {**key, "ETB_EXE_FIN": "99000021", "ETE_IND_TAA": 0, "PRS_PPU_SEC": 2}
    for row in (line, act, place):
        row.update({name: value for name, value in other.items() if name in row})
    return {"ER_PRS_F": [line], "ER_CAM_F": [act], "ER_ETE_F": [place]}


def stay(**other: Any) -> Rows:
    """A stay for lung cancer with a chest CT on its second day."""
    rows: Rows = {
        "T_MCOaaB": [{**STAY, "DGN_PAL": "C341", "DGN_REL": None, "GRG_GHM": "04M092", "SEJ_TYP": "A", "SEJ_NBJ": 3}],
        "T_MCOaaC": [{**STAY, "NIR_ANO_17": "PSA", "EXE_SOI_DTD": "04MAR2019:00:00:00",
                      "EXE_SOI_DTF": "07MAR2019:00:00:00", "ENT_DAT": "04032019", **RETURN_CODES}],
        "T_MCOaaA": [{**STAY, "CDC_ACT": "ZBQH001", "ENT_DAT_DEL": 1, "PHA_ACT": "0", "ACV_ACT": "1"}],
        "T_MCOaaD": [{**STAY, "ASS_DGN": "F171"}],
        "T_MCOaaUM": [{**STAY, "DGN_PAL": "C341", "DGN_REL": "J449", "ETA_NUM_GEO": "990000101"}],
    }  # fmt: skip
    return planted(rows, other)


def external(**other: Any) -> Rows:
    """A chest X-ray of an outpatient of a public hospital."""
    rows: Rows = {
        "T_MCOaaCSTC": [{**EXTERNAL, "NIR_ANO_17": "PSA", **TODAY, **EXTERNAL_CODES}],
        "T_MCOaaFMSTC": [{**EXTERNAL, "CCAM_COD": "ZBQK002", "DEL_DAT_ENT": 0, "PHA_ACT": "0", "ACV_ACT": "1",
                          "ETA_NUM_GEO": "990000101"}],
    }  # fmt: skip
    return planted(rows, other)


def disease(**other: Any) -> Rows:
    rows: Rows = {
        "IR_IMB_R": [{"BEN_NIR_PSA": "PSA", "BEN_RNG_GEM": 1, "IMB_ALD_NUM": 30, "MED_MTF_COD": "C349",
                      "MED_NCL_IDT": "CIM10", "IMB_ALD_DTD": DAY, "IMB_ALD_DTF": NOBODY, "IMB_ETM_NAT": 41}]
    }  # fmt: skip
    return planted(rows, other)


def drug(**other: Any) -> Rows:
    rows = town_act(**{name: value for name, value in other.items() if not name.startswith("PHA_")})
    del rows["ER_CAM_F"]
    key = {name: rows["ER_PRS_F"][0][name] for name in JOIN_KEY}
    boxes = {**key, "PHA_PRS_C13": 3400999100007, "PHA_ACT_QSN": 2}
    boxes.update({name: value for name, value in other.items() if name.startswith("PHA_")})
    return {**rows, "ER_PHA_F": [boxes], "IR_PHA_R": [{"PHA_CIP_C13": 3400999100007, "PHA_ATC_CLA": "L01EB01"}]}


def affined(table: str, columns: dict[str, Any], **other: Any) -> Rows:
    """A line of DCIR with what it was for in one of its affined tables."""
    rows = town_act(**{name: value for name, value in other.items() if name not in columns})
    del rows["ER_CAM_F"]
    key = {name: rows["ER_PRS_F"][0][name] for name in JOIN_KEY}
    return {**rows, table: [{**key, **columns, **{name: other[name] for name in columns if name in other}}]}


def laboratory(**other: Any) -> Rows:
    return affined("ER_BIO_F", {"BIO_PRS_IDE": 552, "BIO_ACT_QSN": 1}, **other)


def unit(**other: Any) -> Rows:
    return affined("ER_UCD_F", {"UCD_UCD_COD": "9261110", "UCD_DLV_NBR": 2}, **other)


def device(**other: Any) -> Rows:
    return affined("ER_TIP_F", {"TIP_PRS_IDE": 1136581, "TIP_ACT_QSN": 4}, **other)


def invoice(**other: Any) -> Rows:
    """An act that a private hospital invoices, of a stay that does not tell it."""
    rows = stay() | {"T_MCOaaFM": [{**STAY, "CCAM_COD": "ACQN001", "DEL_DAT_ENT": 2, "ACV_ACT": "1"}]}
    return planted(rows, other)


def stay_drug(**other: Any) -> Rows:
    rows = stay() | {"T_MCOaaMED": [{**STAY, "UCD_UCD_COD": "0000009261110", "DELAI": 1, "ADM_NBR": 1.5}]}
    return planted(rows, other)


def external_drug(**other: Any) -> Rows:
    dose = {**EXTERNAL, "UCD_UCD_COD": "9261110", "DEL_DAT_ENT": 0, "QUA": 2, "ETA_NUM_GEO": "990000101"}
    rows = {"T_MCOaaCSTC": external()["T_MCOaaCSTC"], "T_MCOaaFHSTC": [dose]}
    return planted(rows, other)


def death(**other: Any) -> Rows:
    """A certificate with the cause that began it and another."""
    rows: Rows = {
        "KI_CCI_R": [{"DCD_IDT_ENC": "D1", "DCD_IDT_TOP": 1, "BEN_IDT_ANO": "ANO", "BEN_DCD_DTE": DAY,
                      "DCD_CIM_COD": "C349"}],
        "KI_ECD_R": [{"DCD_IDT_ENC": "D1", "ECD_CIM_COD": "J960"}],
    }  # fmt: skip
    return planted(rows, other)


def planted(rows: Rows, other: dict[str, Any]) -> Rows:
    unused = set(other)
    for table in rows.values():
        for row in table:
            unused -= set(row)
            row.update({name: value for name, value in other.items() if name in row})
    assert not unused, unused
    return rows


def together(*parts: Rows) -> Rows:
    rows: Rows = {}
    for part in parts:
        for table, some in part.items():
            rows.setdefault(table, []).extend(some)
    return rows


def written(folder: Path, rows: Rows, aa: str = "19") -> Path:
    """An extraction with every table, most of them empty."""
    folder.mkdir(parents=True, exist_ok=True)
    types = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "date": pa.date32()}
    for table, columns in table_schemas().items():
        shape = pa.schema([(c.name, pa.string() if c.format else types[c.type]) for c in columns])
        lines = [{c.name: row.get(c.name) for c in columns} for row in rows.get(table, [])]
        pq.write_table(pa.Table.from_pylist(lines, schema=shape), folder / f"{table.replace('aa', aa)}.parquet")
    return folder


def events(version: DataVersion) -> list[dict[str, Any]]:
    found = duckdb.sql(
        f"SELECT * FROM read_parquet('{version.folder}/event/*/*.parquet', hive_partitioning=true) ORDER BY ALL"
    )
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def dropped(version: DataVersion) -> dict[str, int]:
    total: Counter[str] = Counter()
    for table in version.tables:
        total.update(table.dropped)
        assert table.read == table.kept + sum(table.dropped.values())
    return dict(total)


def loaded(tmp_path: Path, *parts: Rows, people: list[dict[str, Any]] | None = None, aa: str = "19") -> DataVersion:
    rows = together({"IR_BEN_R": people or [beneficiary()]}, *parts)
    return load(written(tmp_path / "snds", rows, aa), tmp_path / "tables")


def test_what_is_right_becomes_events(tmp_path: Path) -> None:
    version = loaded(tmp_path, town_act(), stay(), external(), disease(), drug(DCT_ORD_NUM=2))
    found = {
        (e["domain"], e["source_table"], e["code"], e["position"], str(e["start"]), e["qty"]) for e in events(version)
    }
    assert found == {
        ("act", "ER_CAM_F", "ZBQK001", None, "2019-03-04", 1.0),
        ("act", "T_MCOaaA", "ZBQH001", None, "2019-03-05", 1.0),
        ("act", "T_MCOaaFMSTC", "ZBQK002", None, "2019-03-04", 1.0),
        ("stay", "T_MCOaaB", "04M092", None, "2019-03-04", 3.0),
        ("diagnosis", "T_MCOaaB", "C341", "DP", "2019-03-04", None),
        ("diagnosis", "T_MCOaaD", "F171", "DAS", "2019-03-04", None),
        ("diagnosis", "T_MCOaaUM", "C341", "UM", "2019-03-04", None),
        ("diagnosis", "T_MCOaaUM", "J449", "UM", "2019-03-04", None),
        ("diagnosis", "IR_IMB_R", "C349", "ALD", "2019-03-04", None),
        ("ald", "IR_IMB_R", "30", None, "2019-03-04", None),
        ("drug", "ER_PHA_F", "L01EB01", None, "2019-03-04", 2.0),
        ("package", "ER_PHA_F", "3400999100007", None, "2019-03-04", 2.0),
    }
    assert {e["person"] for e in events(version)} == {"ANO"}
    assert {e["end"] for e in events(version) if e["domain"] == "ald"} == {None}
    assert dropped(version) == {}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (town_act(DPN_QLF=71), "dpn-qlf-71"),
        (town_act(PRS_DPN_QLP=71), "dpn-qlf-71"),
        (town_act(ETE_IND_TAA=1), "public-external-in-dcir"),
        (town_act(EXE_SOI_DTD=NOBODY), "date-missing"),
        (town_act(CAM_ACT_COD="4"), "activity"),
        (town_act(CAM_PRS_IDE="YYYY600"), "supplement"),
        (town_act(PRS_ACT_QTE=-1.0), "regularised"),
        (town_act(BEN_NIR_PSA="STRANGER"), "unknown-beneficiary"),
        (drug(PHA_ACT_QSN=-2), "regularised"),
        ({"ER_CAM_F": town_act()["ER_CAM_F"]}, "line-missing"),
        ({"ER_PHA_F": drug()["ER_PHA_F"]}, "line-missing"),
        ({"T_MCOaaB": stay()["T_MCOaaB"]}, "chaining-missing"),
        ({"T_MCOaaFMSTC": external()["T_MCOaaFMSTC"]}, "chaining-missing"),
        ({name: rows for name, rows in stay().items() if name in ("T_MCOaaA", "T_MCOaaD")}, "stay-dropped"),
        *((stay(**{code: "1"}), "return-code") for code in RETURN_CODES),
        (stay(NIR_ANO_17="xxxxxxxxxxxxxxxxx"), "no-nir"),
        (stay(NIR_ANO_17="XXXXXXXXXXXXXXXXD"), "no-nir"),
        (stay(GRG_GHM="90Z00Z"), "ghm-90"),
        (stay(SEJ_TYP="B"), "sej-typ-b"),
        (stay(EXE_SOI_DTD=None, ENT_DAT="01011600"), "date-missing"),
        (stay(NIR_ANO_17="STRANGER"), "unknown-beneficiary"),
        *((external(**{code: "1"}), "return-code") for code in EXTERNAL_CODES),
        (external(ETA_NUM="130786049"), "external-finess"),
        (external(ETA_NUM="750712184"), "external-finess"),
        (external(NIR_ANO_17="XXXXXXXXXXXXXXXXD"), "no-nir"),
        (external(NIR_ANO_17="STRANGER"), "unknown-beneficiary"),
        (external(ACV_ACT="4"), "activity"),
        (external(CCAM_COD="YYYY467"), "supplement"),
        (external(EXE_SOI_DTD=NOBODY), "date-missing"),
        (disease(IMB_ETM_NAT=12), "not-ald"),
        (disease(IMB_ALD_DTD=NOBODY), "date-missing"),
        (disease(BEN_NIR_PSA="STRANGER"), "unknown-beneficiary"),
        (laboratory(DPN_QLF=71), "dpn-qlf-71"),
        (laboratory(BIO_ACT_QSN=-1), "regularised"),
        ({"ER_BIO_F": laboratory()["ER_BIO_F"]}, "line-missing"),
        (unit(ETE_IND_TAA=1), "public-external-in-dcir"),
        (unit(UCD_DLV_NBR=0), "regularised"),
        ({"ER_UCD_F": unit()["ER_UCD_F"]}, "line-missing"),
        ({"KI_CCI_R": death(DCD_IDT_TOP=0)["KI_CCI_R"]}, "death-unmatched"),
        ({"KI_CCI_R": death(BEN_IDT_ANO="STRANGER")["KI_CCI_R"]}, "unknown-beneficiary"),
        ({"KI_CCI_R": death(BEN_DCD_DTE=NOBODY)["KI_CCI_R"]}, "date-missing"),
        ({"KI_CCI_R": 2 * death()["KI_CCI_R"]}, "several-deaths"),
        ({"KI_ECD_R": death()["KI_ECD_R"]}, "death-dropped"),
    ],
)
def test_a_planted_row_is_dropped_for_its_reason(tmp_path: Path, rows: Rows, reason: str) -> None:
    version = loaded(tmp_path, rows)
    assert events(version) == []
    assert set(dropped(version)) - ({"stay-dropped"} - {reason}) == {reason}


def test_tests_units_and_causes_of_death_become_events(tmp_path: Path) -> None:
    """And a certificate tells a date of death that the beneficiary's row lacks."""
    version = loaded(tmp_path, laboratory(), unit(DCT_ORD_NUM=2), death())
    found = {(e["domain"], e["source_table"], e["code_system"], e["code"], e["position"], e["qty"])
             for e in events(version)}  # fmt: skip
    assert found == {
        ("biology", "ER_BIO_F", "NABM", "0552", None, 1.0),
        ("drug", "ER_UCD_F", "UCD", "9261110", None, 2.0),
        ("death", "KI_CCI_R", "SNDS", "DEATH", None, None),
        ("cause_of_death", "KI_CCI_R", "CIM10", "C349", "CI", None),
        ("cause_of_death", "KI_ECD_R", "CIM10", "J960", "CA", None),
    }
    assert {e["start"] for e in events(version)} == {DAY}
    (person,) = pq.read_table(version.folder / "person.parquet", columns=["death_date"]).to_pylist()
    assert person["death_date"] == DAY
    assert dropped(version) == {}


def test_devices_invoiced_acts_and_hospitals_drugs_become_events(tmp_path: Path) -> None:
    """A UCD is the same however many zeros stand before it, and several of one day are one event."""
    twice = stay_drug()
    twice["T_MCOaaMED"] *= 2
    version = loaded(
        tmp_path, device(), external_drug(), together(twice, {"T_MCOaaFM": invoice()["T_MCOaaFM"]}), aa="19"
    )
    found = {(e["domain"], e["source_table"], e["code_system"], e["code"], str(e["start"]), e["qty"], e["finess"])
             for e in events(version) if e["source_table"] not in stay()}  # fmt: skip
    assert found == {
        ("device", "ER_TIP_F", "LPP", "1136581", "2019-03-04", 4.0, "99000021"),
        ("act", "T_MCOaaFM", "CCAM", "ACQN001", "2019-03-06", 1.0, "99000010"),
        ("drug", "T_MCOaaMED", "UCD", "9261110", "2019-03-05", 3.0, "99000010"),
        ("drug", "T_MCOaaFHSTC", "UCD", "9261110", "2019-03-04", 2.0, "99000010"),
    }
    assert dropped(version) == {}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (device(TIP_ACT_QSN=-4), "regularised"),
        ({"ER_TIP_F": device()["ER_TIP_F"]}, "line-missing"),
        ({"T_MCOaaFM": invoice()["T_MCOaaFM"]}, "stay-dropped"),
        (invoice(CCAM_COD="ZBQH001", DEL_DAT_ENT=1), "told-elsewhere"),
        (together(invoice(CCAM_COD="ZBQK001", DEL_DAT_ENT=0), town_act()), "told-elsewhere"),
        (invoice(CCAM_COD="YYYY467"), "supplement"),
        (invoice(DEL_DAT_ENT=None), "date-missing"),
        ({"T_MCOaaMED": stay_drug()["T_MCOaaMED"]}, "stay-dropped"),
        (stay_drug(DELAI=None), "date-missing"),
        (stay_drug(ADM_NBR=0.0), "regularised"),
        ({"T_MCOaaFHSTC": external_drug()["T_MCOaaFHSTC"]}, "chaining-missing"),
        (external_drug(QUA=0), "regularised"),
        (external_drug(ETA_NUM="130786049"), "external-finess"),
        (external_drug(ENT_DAT_RET="1"), "return-code"),
    ],
)
def test_a_row_of_the_later_tables_is_dropped_for_its_reason(tmp_path: Path, rows: Rows, reason: str) -> None:
    version = loaded(tmp_path, rows)
    (table,) = set(rows) & {"ER_TIP_F", "T_MCOaaFM", "T_MCOaaMED", "T_MCOaaFHSTC"}
    assert [e for e in events(version) if e["source_table"] == table] == []
    assert dropped(version) == {reason: 1}


def test_a_known_date_of_death_stays_and_is_one_event(tmp_path: Path) -> None:
    before = DAY - timedelta(days=1)
    version = loaded(tmp_path, death(), people=[beneficiary(BEN_DCD_DTE=before)])
    assert [(e["source_table"], e["start"]) for e in events(version) if e["domain"] == "death"] == [
        ("IR_BEN_R", before)
    ]
    (person,) = pq.read_table(version.folder / "person.parquet", columns=["death_date"]).to_pylist()
    assert person["death_date"] == before


def test_an_extraction_may_lack_what_came_later(tmp_path: Path) -> None:
    folder = written(tmp_path / "snds", together({"IR_BEN_R": [beneficiary()]}, stay()))
    for table in OPTIONAL_TABLES:
        (folder / f"{table.replace('aa', '19')}.parquet").unlink()
    version = load(folder, tmp_path / "tables")
    assert version.events.keys() == {"act", "diagnosis", "stay"}
    assert {t.table: t.read for t in version.tables if t.table in OPTIONAL_TABLES} == dict.fromkeys(OPTIONAL_TABLES, 0)


@pytest.mark.parametrize(("aa", "kept"), [("17", False), ("18", True)])
def test_duplicate_finess_are_dropped_up_to_2017(tmp_path: Path, aa: str, kept: bool) -> None:
    version = loaded(tmp_path, stay(ETA_NUM="130014558"), external(ETA_NUM="130014558"), aa=aa)
    assert bool(events(version)) == kept
    assert (dropped(version).get("finess-duplicate") == 2) != kept


def test_sessions_for_another_hospital_stay(tmp_path: Path) -> None:
    assert loaded(tmp_path, stay(SEJ_TYP="B", GRG_GHM="28Z07Z")).events["stay"] == 1


def test_a_reversed_line_counts_for_nothing_and_a_corrected_one_once(tmp_path: Path) -> None:
    lines = [town_act(DCT_ORD_NUM=number, PRS_ACT_QTE=quantity) for number, quantity in enumerate((1.0, -1.0), 1)]
    assert events(loaded(tmp_path / "reversed", *lines)) == []
    corrected = loaded(tmp_path / "corrected", *lines, town_act(DCT_ORD_NUM=3))
    assert [event["qty"] for event in events(corrected)] == [1.0]


def test_anaesthesia_beside_an_act_is_not_an_exam(tmp_path: Path) -> None:
    version = loaded(tmp_path, stay(), {"T_MCOaaA": [{**STAY, "CDC_ACT": "ZBQH001", "ENT_DAT_DEL": 1, "ACV_ACT": "4"}]})
    assert version.events["act"] == 1


TWINS = [beneficiary(rank=1, ano="ONE"), beneficiary(rank=2, ano="TWO")]


def test_twins_under_one_psa_are_told_apart_by_rank_and_nowhere_else(tmp_path: Path) -> None:
    version = loaded(tmp_path, town_act(BEN_RNG_GEM=2), stay(), external(), disease(), people=TWINS)
    assert {(e["person"], e["source_table"]) for e in events(version)} == {("TWO", "ER_CAM_F"), ("ONE", "IR_IMB_R")}
    assert dropped(version) == {"shared-psa": 2, "stay-dropped": 2}
    people = pq.read_table(version.folder / "person.parquet", columns=["shares_psa"]).to_pylist()
    assert people == [{"shares_psa": True}] * 2, "no exam of theirs is a proof of who they are"


def test_a_twin_whose_own_nir_is_not_known_is_nobody(tmp_path: Path) -> None:
    people = [TWINS[0], beneficiary(rank=2, ano=None)]
    version = loaded(tmp_path, town_act(BEN_RNG_GEM=2), people=people)
    assert (events(version), version.persons) == ([], 1)


def test_an_act_without_its_day_is_not_dated_by_guess(tmp_path: Path) -> None:
    version = loaded(tmp_path, stay(ENT_DAT_DEL=None))
    assert (version.events.get("act"), dropped(version)) == (None, {"date-missing": 1})


def test_two_people_of_one_psa_and_rank_are_nobody(tmp_path: Path) -> None:
    people = [beneficiary(ano="ONE"), beneficiary(ano="TWO")]
    version = loaded(tmp_path, town_act(), disease(), stay(), people=people)
    assert (events(version), version.persons) == ([], 0)


def test_a_beneficiary_without_identifier_is_nobody(tmp_path: Path) -> None:
    version = loaded(tmp_path, town_act(), people=[beneficiary(ano=None, BEN_IDT_ANO=None)])
    assert (events(version), version.persons) == ([], 0)
    assert version.tables[0].dropped == {"no-identifier": 1}


def test_a_supplement_during_a_stay_is_not_an_exam(tmp_path: Path) -> None:
    version = loaded(tmp_path, stay(CDC_ACT="YYYY600"))
    assert (version.events.get("act"), dropped(version)) == (None, {"supplement": 1})


def test_several_psa_are_one_person(tmp_path: Path) -> None:
    people = [beneficiary("OLD"), beneficiary("PSA"), beneficiary("PSA", rank=2, BEN_DCD_DTE=DAY)]
    version = loaded(tmp_path, town_act(BEN_NIR_PSA="OLD"), stay(), people=people)
    assert {event["person"] for event in events(version)} == {"ANO"}
    assert pq.read_table(version.folder / "person.parquet").to_pylist() == [
        {
            "person": "ANO",
            "birth_year": 1950,
            "birth_month": 7,
            "sex": 1,
            "death_date": DAY,
            "psa": 2,
            "shares_psa": False,
        }
    ]


@pytest.mark.parametrize(("code", "kept"), [("00", True), ("03", True), ("04", True), ("06", False), ("11", False)])
def test_a_fictive_nir_is_nobody(tmp_path: Path, code: str, kept: bool) -> None:
    version = loaded(tmp_path, town_act(), stay(), people=[beneficiary(ano=None, BEN_CDI_NIR=code)])
    assert version.persons == int(kept)
    assert bool(events(version)) == kept


def test_csv_is_read_like_parquet(tmp_path: Path) -> None:
    rows = together({"IR_BEN_R": [beneficiary()]}, town_act(), stay(), external(), disease(), drug(DCT_ORD_NUM=2))
    parquet = load(written(tmp_path / "parquet", rows), tmp_path / "tables")
    text = tmp_path / "csv"
    text.mkdir()
    for path in (tmp_path / "parquet").iterdir():
        pyarrow.csv.write_csv(pq.read_table(path), text / f"{path.stem}.csv")
    again = load(text, tmp_path / "tables")
    assert again.version != parquet.version
    assert events(again) == events(parquet)
    assert current_version(tmp_path / "tables") == again


def test_the_same_extraction_is_the_same_version(tmp_path: Path) -> None:
    first = loaded(tmp_path, town_act())
    assert load(tmp_path / "snds", tmp_path / "tables") == first == current_version(tmp_path / "tables")
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {first.version, "current"}


def test_a_fault_names_table_column_and_cure_and_leaves_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "snds", {"IR_BEN_R": [beneficiary()]})
    before = load(folder, tmp_path / "tables")
    (folder / "ER_CAM_F.parquet").rename(tmp_path / "away")
    assert fault(folder, tmp_path) == ("table-missing", "table ER_CAM_F is not there")
    pq.write_table(pq.read_table(tmp_path / "away").drop_columns(["CAM_ACT_COD"]), folder / "ER_CAM_F.parquet")
    assert fault(folder, tmp_path) == ("column-missing", "table ER_CAM_F lacks column CAM_ACT_COD")
    pq.write_table(pq.read_table(tmp_path / "away"), folder / "ER_CAM_F.parquet")
    (folder / "T_MCO19C.parquet").unlink()
    written(tmp_path / "other", stay(EXE_SOI_DTD="2019-13-45"))
    (tmp_path / "other" / "T_MCO19C.parquet").rename(folder / "T_MCO19C.parquet")
    what = "table T_MCOaaC, column EXE_SOI_DTD: 1 values are not of type date"
    assert fault(folder, tmp_path) == ("column-type", what)
    assert current_version(tmp_path / "tables") == before
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {before.version, "current"}


def fault(folder: Path, tmp_path: Path) -> tuple[str, str]:
    with pytest.raises(LinkageError) as refused:
        load(folder, tmp_path / "tables")
    assert refused.value.hint
    return refused.value.code, str(refused.value)


def test_nothing_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(LinkageError, match="no SNDS tables"):
        current_version(tmp_path)


def test_a_synthetic_snds_loads_into_exactly_its_true_events(tmp_path: Path) -> None:
    snds = synthetic_snds()
    version = load(snds.folder / "snds", tmp_path / "tables")
    columns = list(snds.truth["events"][0])

    def counted(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(str(row[name]) for name in columns) for row in rows)

    assert counted(events(version)) == counted(snds.truth["events"])
    assert set(snds.truth["traps"]) - {"activity-4"} <= set(dropped(version))


def test_an_imaging_act_says_modality_and_region() -> None:
    acts = acts_of_the_ccam()
    assert len(acts) == 655
    assert (acts["ZBQK001"].modality, acts["ZBQK001"].contrast, acts["ZBQK001"].regions) == ("CT", "no", ("CHEST",))
    assert acts["ZBQK002"].modality == "DX"
