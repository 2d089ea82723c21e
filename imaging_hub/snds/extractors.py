"""Extractors: SQL for each SNDS table, with its mandatory filters, which fills the `event` table.

Each extractor first gives every row a `reason` to drop it, NULL for a row to keep, and then inserts the kept rows, so
that a load can report on every row. Filters are those of the SNDS documentation: here the fiches `fiche_beneficiaire`
and `beneficiaires_ald`, for care those named in `dcir` and `pmsi`.
"""

from __future__ import annotations

from imaging_hub.snds import dcir, pmsi

# A fictive NIR (abortion, STI…) is not a person. A BEN_NIR_PSA of several people (twins) does not identify a person in
# the PMSI, which has no birth rank, nor in DCIR when the person's own NIR is unknown.
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

# A certificate matched with a beneficiary (DCD_IDT_TOP 1) may have a date of death that IR_BEN_R lacks. Two
# certificates of one person must be those of two people, so both are dropped.
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

DOMAINS = ("act", "ald", "biology", "cause_of_death", "death", "device", "diagnosis", "drug", "package", "stay")
"""Domains of events."""

EXTRACTORS = (
    ("IR_BEN_R", "beneficiary", BENEFICIARY),
    ("ER_PRS_F", "line", dcir.LINES),
    ("ER_CAM_F", "dcir_act", dcir.ACTS),
    ("ER_PHA_F", "dcir_drug", dcir.DRUGS),
    ("T_MCOaaB", "stay", pmsi.STAYS),
    ("T_MCOaaA", "stay_act", pmsi.STAY_ACTS),
    ("T_MCOaaD", "stay_associated", pmsi.STAY_DIAGNOSES),
    ("T_MCOaaFMSTC", "external_act", pmsi.EXTERNAL_ACTS),
    ("IR_IMB_R", "long_term_disease", LONG_TERM_DISEASES),
    ("ER_BIO_F", "dcir_biology", dcir.BIOLOGY),
    ("ER_UCD_F", "dcir_unit", dcir.UNITS),
    ("ER_TIP_F", "dcir_device", dcir.DEVICES),
    ("T_MCOaaFM", "invoiced_act", pmsi.INVOICED_ACTS),
    ("T_MCOaaMED", "stay_drug", pmsi.STAY_DRUGS),
    ("T_MCOaaFHSTC", "external_drug", pmsi.EXTERNAL_DRUGS),
    ("KI_CCI_R", "certificate", CAUSES_OF_DEATH),
    ("KI_ECD_R", "certified_cause", OTHER_CAUSES),
)
"""SNDS table, table of its rows with their `reason`, and SQL; in the order of execution."""
