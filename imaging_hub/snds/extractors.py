"""One extractor for each SNDS table, with its mandatory filters; together they make the `event` table.

Every extractor first judges its rows (`reason`, NULL where a row is kept) and then takes what is kept, so that a load
can say of each row what became of it. Filters are those of the SNDS documentation: fiches `sas_prestation_dcir`,
`requete_type_pmsi_mco`, `depenses_hopital_public`, `actes_consult_externes`, `beneficiaires_ald`, `fiche_beneficiaire`.
"""

from __future__ import annotations

# A fictive NIR (abortion, STI…) is not a person. A BEN_NIR_PSA of several people (twins) tells nobody apart in the
# PMSI, which has no birth rank, nor in DCIR where the own NIR is not known either.
BENEFICIARY = """
CREATE TABLE beneficiary AS SELECT *, count(DISTINCT BEN_IDT_ANO) OVER (PARTITION BY BEN_NIR_PSA) > 1 AS shared, CASE
    WHEN coalesce(BEN_CDI_NIR, '00') NOT IN ('00', '03', '04') THEN 'fictive-nir'
    WHEN BEN_IDT_ANO IS NULL THEN 'no-identifier'
    WHEN count(DISTINCT BEN_IDT_ANO) OVER (PARTITION BY BEN_NIR_PSA) > 1 AND BEN_NIR_ANO IS NULL THEN 'shared-psa'
    WHEN count(DISTINCT BEN_IDT_ANO) OVER (PARTITION BY BEN_NIR_PSA, BEN_RNG_GEM) > 1 THEN 'shared-psa'
  END AS reason FROM IR_BEN_R;
CREATE TABLE dcir_person AS
  SELECT BEN_NIR_PSA, BEN_RNG_GEM, min(BEN_IDT_ANO) AS person, max(reason) AS reason
  FROM beneficiary GROUP BY BEN_NIR_PSA, BEN_RNG_GEM;
CREATE TABLE pmsi_person AS
  SELECT BEN_NIR_PSA AS NIR_ANO_17, min(BEN_IDT_ANO) AS person,
    CASE WHEN count(DISTINCT BEN_IDT_ANO) > 1 THEN 'shared-psa' ELSE max(reason) END AS reason
  FROM beneficiary GROUP BY BEN_NIR_PSA;
CREATE TABLE person AS
  SELECT BEN_IDT_ANO AS person,
    mode(TRY_CAST(BEN_NAI_ANN AS SMALLINT)) FILTER (TRY_CAST(BEN_NAI_ANN AS SMALLINT) > 1600) AS birth_year,
    mode(TRY_CAST(BEN_NAI_MOI AS SMALLINT)) FILTER (TRY_CAST(BEN_NAI_MOI AS SMALLINT) BETWEEN 1 AND 12) AS birth_month,
    mode(CAST(BEN_SEX_COD AS SMALLINT)) FILTER (BEN_SEX_COD IN (1, 2)) AS sex,
    min(BEN_DCD_DTE) FILTER (BEN_DCD_DTE >= DATE '1601-01-01') AS death_date,
    count(DISTINCT BEN_NIR_PSA) AS psa, bool_or(shared) AS shares_psa
  FROM beneficiary WHERE reason IS NULL GROUP BY BEN_IDT_ANO ORDER BY person;
INSERT INTO event SELECT person, 'death', 'IR_BEN_R', person, 'SNDS', 'DEATH', NULL, death_date, death_date, NULL, NULL
  FROM person WHERE death_date IS NOT NULL;
"""

# Public hospitals' external acts are partial in DCIR (ETE_IND_TAA = 1): they are taken from the PMSI. Regularisations
# are negative lines: quantities of alike lines are summed and only what is left counts.
DCIR = """
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

DCIR_ACTS = """
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
DCIR_DRUGS = _AFFINED.format(
    table="ER_PHA_F", judged="dcir_drug", domain="drug", quantity="PHA_ACT_QSN",
    code_system="CASE WHEN PHA_ATC_CLA IS NULL THEN 'CIP13' ELSE 'ATC' END",
    code="coalesce(PHA_ATC_CLA, CAST(PHA_PRS_C13 AS VARCHAR))",
    named="LEFT JOIN IR_PHA_R ON PHA_CIP_C13 = PHA_PRS_C13",
)  # fmt: skip
# The same by package, for who asks for a presentation rather than a substance.
DCIR_DRUGS += _AFFINED.format(
    table="ER_PHA_F", judged="dcir_package", domain="package", quantity="PHA_ACT_QSN", code_system="'CIP13'",
    code="CAST(PHA_PRS_C13 AS VARCHAR)", named="",
)  # fmt: skip
# A code of the NABM has four digits.
DCIR_BIOLOGY = _AFFINED.format(
    table="ER_BIO_F", judged="dcir_biology", domain="biology", quantity="BIO_ACT_QSN", code_system="'NABM'",
    code="lpad(CAST(BIO_PRS_IDE AS VARCHAR), 4, '0')", named="",
)  # fmt: skip
# Drugs of hospitals' pharmacies that are billed by unit (UCD), beside those of town.
DCIR_UNITS = _AFFINED.format(
    table="ER_UCD_F", judged="dcir_unit", domain="drug", quantity="UCD_DLV_NBR", code_system="'UCD'",
    code="UCD_UCD_COD", named="",
)  # fmt: skip

# A certificate that is matched with a beneficiary (DCD_IDT_TOP 1) may hold a date of death that IR_BEN_R lacks. Two
# certificates of one person are of two people.
CAUSES_OF_DEATH = """
CREATE TABLE certificate AS
  SELECT c.*, person, CASE
    WHEN coalesce(DCD_IDT_TOP, 0) <> 1 THEN 'death-unmatched'
    WHEN person IS NULL THEN 'unknown-beneficiary'
    WHEN count(*) OVER (PARTITION BY BEN_IDT_ANO) > 1 THEN 'several-deaths'
    WHEN coalesce(BEN_DCD_DTE, DATE '1600-01-01') < DATE '1601-01-01' THEN 'date-missing' END AS reason
  FROM KI_CCI_R c LEFT JOIN person ON person = BEN_IDT_ANO;
INSERT INTO event
  SELECT person, 'death', 'KI_CCI_R', person, 'SNDS', 'DEATH', NULL, BEN_DCD_DTE, BEN_DCD_DTE, NULL, NULL
  FROM certificate JOIN person USING (person) WHERE reason IS NULL AND death_date IS NULL;
UPDATE person SET death_date = BEN_DCD_DTE FROM certificate
  WHERE certificate.person = person.person AND reason IS NULL AND death_date IS NULL;
INSERT INTO event
  SELECT person, 'cause_of_death', 'KI_CCI_R', DCD_IDT_ENC, 'CIM10', DCD_CIM_COD, 'CI', BEN_DCD_DTE, BEN_DCD_DTE,
    NULL, NULL
  FROM certificate WHERE reason IS NULL AND DCD_CIM_COD IS NOT NULL;
"""
OTHER_CAUSES = """
CREATE TABLE certified_cause AS
  SELECT o.*, person, BEN_DCD_DTE,
    CASE WHEN c.DCD_IDT_ENC IS NULL OR c.reason IS NOT NULL THEN 'death-dropped' END AS reason
  FROM KI_ECD_R o LEFT JOIN certificate c USING (DCD_IDT_ENC);
INSERT INTO event
  SELECT DISTINCT person, 'cause_of_death', 'KI_ECD_R', DCD_IDT_ENC, 'CIM10', ECD_CIM_COD, 'CA', BEN_DCD_DTE,
    BEN_DCD_DTE, CAST(NULL AS DOUBLE), CAST(NULL AS VARCHAR)
  FROM certified_cause WHERE reason IS NULL AND ECD_CIM_COD IS NOT NULL;
"""

# GHM 90: the stay could not be grouped. SEJ_TYP B: a service for another hospital, which counts it (sessions apart).
STAYS = """
CREATE TABLE stay AS
  SELECT b.*, person, coalesce(EXE_SOI_DTD, ENT_DAT) AS "start", coalesce(EXE_SOI_DTF, EXE_SOI_DTD, ENT_DAT) AS "end",
    left(b.ETA_NUM, 8) AS finess, concat_ws('-', b.aa, b.ETA_NUM, b.RSA_NUM) AS group_id, CASE
    WHEN c.RSA_NUM IS NULL THEN 'chaining-missing'
    WHEN concat(NIR_RET, NAI_RET, SEX_RET, SEJ_RET, FHO_RET, PMS_RET, DAT_RET) <> '0000000' THEN 'return-code'
    WHEN coalesce(NIR_ANO_17, '') IN ('', 'xxxxxxxxxxxxxxxxx', 'XXXXXXXXXXXXXXXXD') THEN 'no-nir'
    WHEN GRG_GHM LIKE '90%' THEN 'ghm-90'
    WHEN SEJ_TYP = 'B' AND coalesce(GRG_GHM, '') NOT LIKE '28%' THEN 'sej-typ-b'
    WHEN b.aa <= 2017 AND b.ETA_NUM IN (SELECT eta_num FROM duplicate_finess) THEN 'finess-duplicate'
    WHEN coalesce(EXE_SOI_DTD, ENT_DAT, DATE '1600-01-01') < DATE '1601-01-01' THEN 'date-missing'
    WHEN person IS NULL THEN 'unknown-beneficiary'
    ELSE p.reason END AS reason
  FROM T_MCOaaB b
  LEFT JOIN T_MCOaaC c ON (b.aa, b.ETA_NUM, b.RSA_NUM) = (c.aa, c.ETA_NUM, c.RSA_NUM)
  LEFT JOIN pmsi_person p USING (NIR_ANO_17);
INSERT INTO event SELECT person, 'stay', 'T_MCOaaB', group_id, 'GHM', GRG_GHM, NULL, "start", "end", SEJ_NBJ, finess
  FROM stay WHERE reason IS NULL;
INSERT INTO event
  SELECT person, 'diagnosis', 'T_MCOaaB', group_id, 'CIM10', DGN_PAL, 'DP', "start", "end", NULL, finess
  FROM stay WHERE reason IS NULL AND DGN_PAL IS NOT NULL
  UNION ALL
  SELECT person, 'diagnosis', 'T_MCOaaB', group_id, 'CIM10', DGN_REL, 'DR', "start", "end", NULL, finess
  FROM stay WHERE reason IS NULL AND DGN_REL IS NOT NULL;
"""

STAY_ACTS = """
CREATE TABLE stay_act AS
  SELECT a.*, person, group_id, finess, "start" + CAST(ENT_DAT_DEL AS INT) AS "day", CASE
    WHEN stay.RSA_NUM IS NULL OR stay.reason IS NOT NULL THEN 'stay-dropped'
    WHEN ACV_ACT <> '1' THEN 'activity'
    WHEN CDC_ACT LIKE 'YYYY%' THEN 'supplement'
    WHEN ENT_DAT_DEL IS NULL THEN 'date-missing' END AS reason
  FROM T_MCOaaA a LEFT JOIN stay ON (a.aa, a.ETA_NUM, a.RSA_NUM) = (stay.aa, stay.ETA_NUM, stay.RSA_NUM);
INSERT INTO event SELECT person, 'act', 'T_MCOaaA', group_id, 'CCAM', left(CDC_ACT, 7), NULL, "day", "day", 1, finess
  FROM stay_act WHERE reason IS NULL;
"""

STAY_DIAGNOSES = """
CREATE TABLE stay_associated AS
  SELECT d.*, person, group_id, finess, "start", "end",
    CASE WHEN stay.RSA_NUM IS NULL OR stay.reason IS NOT NULL THEN 'stay-dropped' END AS reason
  FROM T_MCOaaD d LEFT JOIN stay ON (d.aa, d.ETA_NUM, d.RSA_NUM) = (stay.aa, stay.ETA_NUM, stay.RSA_NUM);
CREATE TABLE stay_unit AS
  SELECT u.*, person, group_id, finess, "start", "end",
    CASE WHEN stay.RSA_NUM IS NULL OR stay.reason IS NOT NULL THEN 'stay-dropped' END AS reason
  FROM T_MCOaaUM u LEFT JOIN stay ON (u.aa, u.ETA_NUM, u.RSA_NUM) = (stay.aa, stay.ETA_NUM, stay.RSA_NUM);
INSERT INTO event
  SELECT DISTINCT person, 'diagnosis', 'T_MCOaaD', group_id, 'CIM10', ASS_DGN, 'DAS', "start", "end", NULL, finess
  FROM stay_associated WHERE reason IS NULL AND ASS_DGN IS NOT NULL;
INSERT INTO event
  SELECT DISTINCT person, 'diagnosis', 'T_MCOaaUM', group_id, 'CIM10', code, 'UM', "start", "end", NULL, finess
  FROM (SELECT *, unnest([DGN_PAL, DGN_REL]) AS code FROM stay_unit WHERE reason IS NULL) WHERE code IS NOT NULL;
"""

# External acts of 130786049 and 750712184 are not usable.
EXTERNAL_ACTS = """
CREATE TABLE external_act AS
  SELECT m.*, person, EXE_SOI_DTD + CAST(coalesce(DEL_DAT_ENT, 0) AS INT) AS "day",
    left(coalesce(ETA_NUM_GEO, m.ETA_NUM), 8) AS finess, concat_ws('-', m.aa, m.ETA_NUM, m.SEQ_NUM) AS group_id, CASE
    WHEN c.SEQ_NUM IS NULL THEN 'chaining-missing'
    WHEN concat(NIR_RET, NAI_RET, SEX_RET, IAS_RET, ENT_DAT_RET) <> '00000' THEN 'return-code'
    WHEN coalesce(NIR_ANO_17, '') IN ('', 'xxxxxxxxxxxxxxxxx', 'XXXXXXXXXXXXXXXXD') THEN 'no-nir'
    WHEN m.ETA_NUM IN ('130786049', '750712184') THEN 'external-finess'
    WHEN m.aa <= 2017 AND m.ETA_NUM IN (SELECT eta_num FROM duplicate_finess) THEN 'finess-duplicate'
    WHEN coalesce(EXE_SOI_DTD, DATE '1600-01-01') < DATE '1601-01-01' THEN 'date-missing'
    WHEN ACV_ACT <> '1' THEN 'activity'
    WHEN CCAM_COD LIKE 'YYYY%' THEN 'supplement'
    WHEN person IS NULL THEN 'unknown-beneficiary'
    ELSE p.reason END AS reason
  FROM T_MCOaaFMSTC m
  LEFT JOIN T_MCOaaCSTC c ON (m.aa, m.ETA_NUM, m.SEQ_NUM) = (c.aa, c.ETA_NUM, c.SEQ_NUM)
  LEFT JOIN pmsi_person p USING (NIR_ANO_17);
INSERT INTO event
  SELECT person, 'act', 'T_MCOaaFMSTC', group_id, 'CCAM', left(CCAM_COD, 7), NULL, "day", "day", 1, finess
  FROM external_act WHERE reason IS NULL;
"""

# 41, 43, 45: an exemption for a long-term disease on the list, off the list, or several.
LONG_TERM_DISEASES = """
CREATE TABLE long_term_disease AS
  SELECT i.*, person, IMB_ALD_DTD AS "start",
    CASE WHEN IMB_ALD_DTF >= DATE '1601-01-01' THEN IMB_ALD_DTF END AS "end", CASE
    WHEN IMB_ETM_NAT IS NULL OR IMB_ETM_NAT NOT IN (41, 43, 45) THEN 'not-ald'
    WHEN coalesce(IMB_ALD_DTD, DATE '1600-01-01') < DATE '1601-01-01' THEN 'date-missing'
    WHEN person IS NULL THEN 'unknown-beneficiary'
    ELSE p.reason END AS reason
  FROM IR_IMB_R i LEFT JOIN dcir_person p USING (BEN_NIR_PSA, BEN_RNG_GEM);
INSERT INTO event
  SELECT person, 'ald', 'IR_IMB_R', NULL, 'ALD', CAST(IMB_ALD_NUM AS VARCHAR), NULL, "start", "end", NULL, NULL
  FROM long_term_disease WHERE reason IS NULL;
INSERT INTO event
  SELECT person, 'diagnosis', 'IR_IMB_R', NULL, 'CIM10', MED_MTF_COD, 'ALD', "start", "end", NULL, NULL
  FROM long_term_disease WHERE reason IS NULL AND MED_NCL_IDT = 'CIM10' AND MED_MTF_COD IS NOT NULL;
"""

EVENT = """
CREATE TABLE event (person VARCHAR, domain VARCHAR, source_table VARCHAR, group_id VARCHAR, code_system VARCHAR,
  code VARCHAR, "position" VARCHAR, "start" DATE, "end" DATE, qty DOUBLE, finess VARCHAR);
"""

DOMAINS = ("act", "ald", "biology", "cause_of_death", "death", "diagnosis", "drug", "package", "stay")
"""What an event may be."""

EXTRACTORS = (
    ("IR_BEN_R", "beneficiary", BENEFICIARY),
    ("ER_PRS_F", "line", DCIR),
    ("ER_CAM_F", "dcir_act", DCIR_ACTS),
    ("ER_PHA_F", "dcir_drug", DCIR_DRUGS),
    ("T_MCOaaB", "stay", STAYS),
    ("T_MCOaaA", "stay_act", STAY_ACTS),
    ("T_MCOaaD", "stay_associated", STAY_DIAGNOSES),
    ("T_MCOaaFMSTC", "external_act", EXTERNAL_ACTS),
    ("IR_IMB_R", "long_term_disease", LONG_TERM_DISEASES),
    ("ER_BIO_F", "dcir_biology", DCIR_BIOLOGY),
    ("ER_UCD_F", "dcir_unit", DCIR_UNITS),
    ("KI_CCI_R", "certificate", CAUSES_OF_DEATH),
    ("KI_ECD_R", "certified_cause", OTHER_CAUSES),
)
"""Table, the judged rows it becomes, and how; in this order."""
