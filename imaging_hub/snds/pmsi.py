"""Extractors of the PMSI's MCO field: stays in hospital with their acts, diagnoses and drugs, and external care.

Filters are those of the fiches `requete_type_pmsi_mco`, `depenses_hopital_public` and `actes_consult_externes`;
`snds.extractors` explains the form.
"""

from __future__ import annotations

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

# Acts of a stay that a private hospital invoices; one that T_MCOaaA or DCIR has too is counted once.
INVOICED_ACTS = """
CREATE TABLE invoiced_act AS
  SELECT m.*, person, group_id, stay.finess, "start" + CAST(DEL_DAT_ENT AS INT) AS "day", CASE
    WHEN stay.RSA_NUM IS NULL OR stay.reason IS NOT NULL THEN 'stay-dropped'
    WHEN ACV_ACT <> '1' THEN 'activity'
    WHEN CCAM_COD LIKE 'YYYY%' THEN 'supplement'
    WHEN DEL_DAT_ENT IS NULL THEN 'date-missing'
    WHEN EXISTS (SELECT 1 FROM event e WHERE e.domain = 'act' AND e.person = stay.person
      AND e.code = left(CCAM_COD, 7) AND e."start" = stay."start" + CAST(DEL_DAT_ENT AS INT)) THEN 'told-elsewhere'
    END AS reason
  FROM T_MCOaaFM m LEFT JOIN stay ON (m.aa, m.ETA_NUM, m.RSA_NUM) = (stay.aa, stay.ETA_NUM, stay.RSA_NUM);
INSERT INTO event
  SELECT DISTINCT person, 'act', 'T_MCOaaFM', group_id, 'CCAM', left(CCAM_COD, 7), NULL, "day", "day",
    CAST(1 AS DOUBLE), finess
  FROM invoiced_act WHERE reason IS NULL;
"""

STAY_DRUGS = """
CREATE TABLE stay_drug AS
  SELECT m.*, person, group_id, stay.finess, "start" + CAST(DELAI AS INT) AS "day", CASE
    WHEN stay.RSA_NUM IS NULL OR stay.reason IS NOT NULL THEN 'stay-dropped'
    WHEN DELAI IS NULL THEN 'date-missing'
    WHEN coalesce(ADM_NBR, 0) <= 0 THEN 'regularised' END AS reason
  FROM T_MCOaaMED m LEFT JOIN stay ON (m.aa, m.ETA_NUM, m.RSA_NUM) = (stay.aa, stay.ETA_NUM, stay.RSA_NUM);
INSERT INTO event
  SELECT person, 'drug', 'T_MCOaaMED', group_id, 'UCD', ltrim(UCD_UCD_COD, '0') AS code, NULL, "day", "day",
    sum(ADM_NBR), finess
  FROM stay_drug WHERE reason IS NULL GROUP BY person, group_id, code, "day", finess;
"""

# External acts of 130786049 and 750712184 are not usable.
_EXTERNAL = """
CREATE TABLE {judged} AS
  SELECT m.*, person, EXE_SOI_DTD + CAST(coalesce(DEL_DAT_ENT, 0) AS INT) AS "day",
    left(coalesce(ETA_NUM_GEO, m.ETA_NUM), 8) AS finess, concat_ws('-', m.aa, m.ETA_NUM, m.SEQ_NUM) AS group_id, CASE
    WHEN c.SEQ_NUM IS NULL THEN 'chaining-missing'
    WHEN concat(NIR_RET, NAI_RET, SEX_RET, IAS_RET, ENT_DAT_RET) <> '00000' THEN 'return-code'
    WHEN coalesce(NIR_ANO_17, '') IN ('', 'xxxxxxxxxxxxxxxxx', 'XXXXXXXXXXXXXXXXD') THEN 'no-nir'
    WHEN m.ETA_NUM IN ('130786049', '750712184') THEN 'external-finess'
    WHEN m.aa <= 2017 AND m.ETA_NUM IN (SELECT eta_num FROM duplicate_finess) THEN 'finess-duplicate'
    WHEN coalesce(EXE_SOI_DTD, DATE '1600-01-01') < DATE '1601-01-01' THEN 'date-missing'
    {of_it}
    WHEN person IS NULL THEN 'unknown-beneficiary'
    ELSE p.reason END AS reason
  FROM {table} m
  LEFT JOIN T_MCOaaCSTC c ON (m.aa, m.ETA_NUM, m.SEQ_NUM) = (c.aa, c.ETA_NUM, c.SEQ_NUM)
  LEFT JOIN pmsi_person p USING (NIR_ANO_17);
INSERT INTO event
  SELECT person, '{domain}', '{table}', group_id, '{code_system}', {code}, NULL, "day", "day", {quantity}, finess
  FROM {judged} WHERE reason IS NULL {grouped};
"""
EXTERNAL_ACTS = _EXTERNAL.format(
    table="T_MCOaaFMSTC", judged="external_act", domain="act", code_system="CCAM", code="left(CCAM_COD, 7)",
    of_it="WHEN ACV_ACT <> '1' THEN 'activity' WHEN CCAM_COD LIKE 'YYYY%' THEN 'supplement'", quantity="1", grouped="",
)  # fmt: skip
EXTERNAL_DRUGS = _EXTERNAL.format(
    table="T_MCOaaFHSTC", judged="external_drug", domain="drug", code_system="UCD", code="ltrim(UCD_UCD_COD, '0')",
    of_it="WHEN coalesce(QUA, 0) <= 0 THEN 'regularised'", quantity="sum(QUA)",
    grouped='GROUP BY person, group_id, UCD_UCD_COD, "day", finess',
)  # fmt: skip
