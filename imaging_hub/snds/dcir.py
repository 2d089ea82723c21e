"""Extractors of DCIR, the claims of outpatient care and private hospitals.

Filters are those of the fiche `sas_prestation_dcir`; `snds.extractors` explains the form.
"""

from __future__ import annotations

# Public hospitals' external acts are incomplete in DCIR (ETE_IND_TAA = 1) and taken from the PMSI. Regularisations are
# negative lines: quantities of equal lines are summed, and only a positive sum counts.
LINES = """
CREATE TABLE line AS
  WITH place AS (
    SELECT DCT_ORD_NUM, FLX_DIS_DTD, FLX_EMT_ORD, FLX_EMT_NUM, FLX_EMT_TYP, FLX_TRT_DTD, ORG_CLE_NUM, PRS_ORD_NUM,
      REM_TYP_AFF, min(ETB_EXE_FIN) AS finess, max(ETE_IND_TAA) AS taa
    FROM ER_ETE_F GROUP BY ALL)
  SELECT l.*, finess, person, CASE
    WHEN DPN_QLF = 71 OR PRS_DPN_QLP = 71 THEN 'dpn-qlf-71'
    WHEN taa = 1 THEN 'public-external-in-dcir'
    WHEN EXE_SOI_DTD IS NULL OR EXE_SOI_DTD < DATE '1601-01-01' THEN 'date-missing'
    WHEN person IS NULL THEN 'unknown-beneficiary'
    ELSE p.reason END AS reason
  FROM ER_PRS_F l
  LEFT JOIN place USING (DCT_ORD_NUM, FLX_DIS_DTD, FLX_EMT_ORD, FLX_EMT_NUM, FLX_EMT_TYP, FLX_TRT_DTD, ORG_CLE_NUM,
    PRS_ORD_NUM, REM_TYP_AFF)
  LEFT JOIN dcir_person p USING (BEN_NIR_PSA, BEN_RNG_GEM);
"""

ACTS = """
CREATE TABLE dcir_act AS
  WITH act AS (
    SELECT person, 'CCAM' AS code_system, left(CAM_PRS_IDE, 7) AS code, EXE_SOI_DTD AS "start",
      coalesce(EXE_SOI_DTF, EXE_SOI_DTD) AS "end", PRS_ACT_QTE AS quantity, finess,
      concat_ws('-', DCT_ORD_NUM, FLX_DIS_DTD, ORG_CLE_NUM, PRS_ORD_NUM) AS group_id,
      CASE WHEN line.reason IS NOT NULL THEN line.reason
        WHEN line.DCT_ORD_NUM IS NULL THEN 'line-missing'
        WHEN CAM_ACT_COD <> '1' THEN 'activity'
        WHEN CAM_PRS_IDE LIKE 'YYYY%' THEN 'supplement' END AS reason
    FROM ER_CAM_F LEFT JOIN line USING (DCT_ORD_NUM, FLX_DIS_DTD, FLX_EMT_ORD, FLX_EMT_NUM, FLX_EMT_TYP, FLX_TRT_DTD,
      ORG_CLE_NUM, PRS_ORD_NUM, REM_TYP_AFF))
  SELECT * REPLACE (CASE WHEN reason IS NULL AND sum(quantity) FILTER (reason IS NULL)
      OVER (PARTITION BY person, code, "start", "end", finess) <= 0 THEN 'regularised' ELSE reason END AS reason)
  FROM act;
INSERT INTO event
  SELECT person, 'act', 'ER_CAM_F', min(group_id), code_system, code, NULL, "start", "end", sum(quantity), finess
  FROM dcir_act WHERE reason IS NULL GROUP BY person, code_system, code, "start", "end", finess;
"""

# Lines of one day, code and place are one event, with their quantities summed.
_AFFINED = """
CREATE TABLE {judged} AS
  WITH dispensed AS (
    SELECT person, {code_system} AS code_system, {code} AS code, EXE_SOI_DTD AS "start",
      coalesce(EXE_SOI_DTF, EXE_SOI_DTD) AS "end", CAST({quantity} AS DOUBLE) AS quantity, finess,
      concat_ws('-', DCT_ORD_NUM, FLX_DIS_DTD, ORG_CLE_NUM, PRS_ORD_NUM) AS group_id,
      CASE WHEN line.reason IS NOT NULL THEN line.reason
        WHEN line.DCT_ORD_NUM IS NULL THEN 'line-missing' END AS reason
    FROM {table} LEFT JOIN line USING (DCT_ORD_NUM, FLX_DIS_DTD, FLX_EMT_ORD, FLX_EMT_NUM, FLX_EMT_TYP, FLX_TRT_DTD,
      ORG_CLE_NUM, PRS_ORD_NUM, REM_TYP_AFF)
    {named})
  SELECT * REPLACE (CASE WHEN reason IS NULL AND sum(quantity) FILTER (reason IS NULL)
      OVER (PARTITION BY person, code, "start", "end", finess) <= 0 THEN 'regularised' ELSE reason END AS reason)
  FROM dispensed;
INSERT INTO event
  SELECT person, '{domain}', '{table}', min(group_id), code_system, code, NULL, "start", "end", sum(quantity), finess
  FROM {judged} WHERE reason IS NULL GROUP BY person, code_system, code, "start", "end", finess;
"""
DRUGS = _AFFINED.format(
    table="ER_PHA_F", judged="dcir_drug", domain="drug", quantity="PHA_ACT_QSN",
    code_system="CASE WHEN PHA_ATC_CLA IS NULL THEN 'CIP13' ELSE 'ATC' END",
    code="coalesce(PHA_ATC_CLA, CAST(PHA_PRS_C13 AS VARCHAR))",
    named="LEFT JOIN IR_PHA_R ON PHA_CIP_C13 = PHA_PRS_C13",
)  # fmt: skip
# The same by package, for cohorts that name a presentation rather than a substance.
DRUGS += _AFFINED.format(
    table="ER_PHA_F", judged="dcir_package", domain="package", quantity="PHA_ACT_QSN", code_system="'CIP13'",
    code="CAST(PHA_PRS_C13 AS VARCHAR)", named="",
)  # fmt: skip
# A code of the NABM has four digits.
BIOLOGY = _AFFINED.format(
    table="ER_BIO_F", judged="dcir_biology", domain="biology", quantity="BIO_ACT_QSN", code_system="'NABM'",
    code="lpad(CAST(BIO_PRS_IDE AS VARCHAR), 4, '0')", named="",
)  # fmt: skip
# Drugs of hospitals' pharmacies, billed by unit (UCD); the code may have leading zeros.
UNITS = _AFFINED.format(
    table="ER_UCD_F", judged="dcir_unit", domain="drug", quantity="UCD_DLV_NBR", code_system="'UCD'",
    code="ltrim(UCD_UCD_COD, '0')", named="",
)  # fmt: skip
# Devices and services of the list of reimbursed products (LPP), seven digits.
DEVICES = _AFFINED.format(
    table="ER_TIP_F", judged="dcir_device", domain="device", quantity="TIP_ACT_QSN", code_system="'LPP'",
    code="lpad(CAST(TIP_PRS_IDE AS VARCHAR), 7, '0')", named="",
)  # fmt: skip
