-- People, their care and their images at size L. Every draw is a hash of who, what for and the seed.
CREATE MACRO draw(n, what, below) AS CAST(hash(n, what, getvariable('seed')) % below AS INT);
CREATE MACRO pseudonym(n) AS upper(left(md5(concat(getvariable('seed'), '|', n)), 17));
CREATE MACRO first_day() AS DATE '2017-01-01';
CREATE MACRO last_day() AS DATE '2021-12-31';

CREATE TABLE person AS
  WITH sick AS (
    SELECT n, CASE WHEN share < 5 THEN 'lung' WHEN share < 15 THEN 'stroke' WHEN share < 17 THEN 'ms'
      WHEN share < 47 THEN 'copd' WHEN share < 57 THEN 'breast' END AS disease
    FROM (SELECT range AS n, draw(range, 'disease', 1000) AS share FROM range(getvariable('persons'))))
  SELECT n, pseudonym(n) AS person, disease, CAST(CASE WHEN disease IS NULL OR disease = 'ms'
      THEN 1940 + draw(n, 'born', 60) ELSE 1932 + draw(n, 'born', 40) END AS SMALLINT) AS birth_year,
    CAST(1 + draw(n, 'month', 12) AS SMALLINT) AS birth_month, CAST(1 + draw(n, 'sex', 2) AS SMALLINT) AS sex,
    first_day() + 200 + draw(n, 'onset', 1300) AS onset,
    CASE WHEN draw(n, 'dead', 100) < (CASE disease WHEN 'lung' THEN 35 WHEN 'stroke' THEN 15 ELSE 3 END)
      THEN first_day() + 200 + draw(n, 'onset', 1300) + 30 + draw(n, 'death', 700) END AS death_date
  FROM sick;

-- What a disease brings with it: code, the days after its onset between which it is, how often of a hundred, times.
CREATE TABLE course (disease VARCHAR, domain VARCHAR, code VARCHAR, "position" VARCHAR, low INT, high INT, share INT,
  times INT);
INSERT INTO course VALUES
  ('lung', 'diagnosis', 'C349', 'DP', 0, 0, 75, 1), ('lung', 'diagnosis', 'C341', 'DR', 0, 0, 25, 1),
  ('lung', 'diagnosis', 'C349', 'ALD', 5, 40, 100, 1), ('lung', 'stay', '04M092', NULL, 0, 0, 75, 1),
  ('lung', 'stay', '28Z07Z', NULL, 0, 0, 25, 1), ('lung', 'ald', '30', NULL, 5, 40, 100, 1),
  ('lung', 'act', 'ZBQH001', NULL, -80, -3, 65, 1), ('lung', 'act', 'ZBQK001', NULL, -80, -3, 35, 1),
  ('lung', 'act', 'ZBQH001', NULL, 80, 200, 30, 1), ('lung', 'drug', 'L01EB02', NULL, 20, 200, 60, 5),
  ('lung', 'diagnosis', 'C509', 'DP', -900, -200, 3, 1),
  ('stroke', 'diagnosis', 'I639', 'DP', 0, 0, 100, 1), ('stroke', 'stay', '01M302', NULL, 0, 0, 100, 1),
  ('stroke', 'act', 'ACQK001', NULL, 0, 0, 100, 1), ('stroke', 'act', 'ACQN001', NULL, 1, 3, 60, 1),
  ('stroke', 'drug', 'B01AC06', NULL, 2, 200, 90, 4),
  ('ms', 'diagnosis', 'G35', 'ALD', 0, 0, 100, 1), ('ms', 'ald', '25', NULL, 0, 0, 100, 1),
  ('ms', 'act', 'ACQJ002', NULL, -20, 700, 80, 3), ('ms', 'drug', 'L03AB07', NULL, 30, 300, 50, 4),
  ('ms', 'drug', 'L04AE01', NULL, 30, 300, 40, 4),
  ('copd', 'diagnosis', 'J441', 'DP', 0, 0, 70, 1), ('copd', 'diagnosis', 'J449', 'ALD', 0, 0, 100, 1),
  ('copd', 'stay', '04M083', NULL, 0, 0, 70, 1), ('copd', 'ald', '14', NULL, 0, 0, 100, 1),
  ('copd', 'act', 'ZBQK002', NULL, 1, 30, 90, 1), ('copd', 'act', 'ZBQK001', NULL, 40, 200, 30, 1),
  ('copd', 'drug', 'R03AC02', NULL, 0, 360, 60, 4), ('copd', 'drug', 'R03BB04', NULL, 0, 360, 60, 4),
  ('breast', 'act', 'QEQK004', NULL, -20, -20, 100, 1), ('breast', 'diagnosis', 'C509', 'DP', 0, 0, 100, 1),
  ('breast', 'stay', '09C041', NULL, 0, 0, 100, 1), ('breast', 'ald', '30', NULL, 0, 0, 100, 1),
  ('breast', 'drug', 'L02BA01', NULL, 60, 200, 80, 3);
CREATE TABLE suffered AS
  SELECT domain, code, person, "position",
    least(last_day(), greatest(first_day(), onset + low + draw(n * 100 + time, concat(code, "position", 'day'),
      high - low + 1))) AS "start"
  FROM person JOIN course USING (disease), LATERAL (SELECT unnest(range(times)) AS time)
  WHERE draw(n, concat(domain, code, low, 'share'), 100) < share;

-- What everybody has: many codes, few of them often (Zipf), none of those above but imaging.
CREATE TABLE everyday AS
  WITH code AS (
    SELECT 'diagnosis' AS domain, code, 12 AS each FROM icd10 WHERE NOT regexp_matches(code, '^(C34|C50|I63|G35|J44)')
    UNION ALL SELECT 'act', code, 4 FROM imaging_act
    UNION ALL SELECT 'act', concat(chr(65 + CAST(range % 26 AS INT)), 'ZFA', lpad(CAST(range AS VARCHAR), 3, '0')), 30
      FROM range(400)
    UNION ALL SELECT 'drug', concat(substr('ABCDGHJMNPRSV', CAST(1 + range % 13 AS INT), 1),
      lpad(CAST(1 + range % 11 AS VARCHAR), 2, '0'), chr(CAST(65 + range % 5 AS INT)), chr(CAST(65 + range % 3 AS INT)),
      lpad(CAST(1 + range % 90 AS VARCHAR), 2, '0')), 98 FROM range(900)
    UNION ALL SELECT 'stay', concat(lpad(CAST(1 + range % 23 AS VARCHAR), 2, '0'), 'M',
      lpad(CAST(10 + range % 40 AS VARCHAR), 2, '0'), CAST(1 + range % 4 AS VARCHAR)), 6 FROM range(900)
    UNION ALL SELECT 'ald', CAST(1 + range AS VARCHAR), 1 FROM range(24)),
  ranked AS (
    SELECT domain, code, each, 1 / (10 + row_number() OVER (PARTITION BY domain, each ORDER BY hash(code))) AS weight
    FROM (SELECT DISTINCT * FROM code)),
  counted AS (
    SELECT domain, code, CAST(round(each * getvariable('persons') * weight / sum(weight) OVER (PARTITION BY domain, each))
      AS BIGINT) AS times FROM ranked)
  SELECT domain, code, first, least(times - first, 50000) AS times
  FROM counted, LATERAL (SELECT unnest(range(0, times, 50000)) AS first) ORDER BY domain, code, first;
CREATE MACRO everyday_of(wanted, part) AS TABLE
  SELECT pseudonym(draw(i, code, getvariable('persons'))) AS person, code,
    CASE WHEN wanted = 'diagnosis' THEN (['DP', 'DR', 'DAS', 'DAS'])[1 + i % 4] END AS "position",
    first_day() + draw(i, concat(code, 'day'), 1826) AS "start"
  FROM (SELECT code, first + unnest(range(times)) AS i FROM everyday
    WHERE domain = wanted AND hash(code, first) % 4 = part);

-- Events as loads have them, by domain and part; sorted by code.
CREATE MACRO source_of(domain) AS (MAP {'act': 'ER_CAM_F', 'ald': 'IR_IMB_R', 'death': 'IR_BEN_R',
  'diagnosis': 'T_MCOaaB', 'drug': 'ER_PHA_F', 'stay': 'T_MCOaaB'})[domain];
CREATE MACRO coding_of(domain) AS (MAP {'act': 'CCAM', 'ald': 'ALD', 'death': 'SNDS', 'diagnosis': 'CIM10',
  'drug': 'ATC', 'stay': 'GHM'})[domain];
CREATE MACRO event_of(wanted, part) AS TABLE
  WITH found AS (
    SELECT * FROM everyday_of(wanted, part)
    UNION ALL
    SELECT person, code, "position", "start" FROM suffered WHERE part = 4 AND domain = wanted
    UNION ALL
    SELECT person, 'DEATH', NULL, death_date FROM person WHERE part = 4 AND wanted = 'death' AND death_date IS NOT NULL)
  SELECT person, source_of(wanted) AS source_table, CAST(NULL AS VARCHAR) AS group_id, coding_of(wanted) AS code_system,
    code, "position", "start", "start" AS "end", CAST(NULL AS DOUBLE) AS qty, CAST(NULL AS VARCHAR) AS finess
  FROM found;

-- Half of the people were seen by a hospital here: at the exams of their disease, and once besides.
CREATE TABLE subject AS SELECT md5(concat(getvariable('seed'), '|sid|', n)) AS sid, n, person FROM person
  WHERE draw(n, 'seen', 2) = 0;
CREATE TABLE link AS SELECT sid, person, CASE WHEN draw(n, 'method', 100) < 85 THEN 'ins' ELSE 'exact' END AS method
  FROM subject WHERE draw(n, 'linked', 100) < 80;
CREATE TABLE study AS
  WITH exam AS (
    SELECT sid, "start" AS "day", modality, CASE WHEN code LIKE 'AC%' THEN 'BRAIN' WHEN code LIKE 'Z%' THEN 'CHEST' END
      AS body_part FROM suffered JOIN subject USING (person) JOIN imaging_act USING (code)
    UNION ALL
    SELECT sid, first_day() + draw(n, 'seen on', 1826), (['CT', 'MR', 'DX', 'CT'])[1 + draw(n, 'seen by', 4)],
      (['CHEST', 'BRAIN', 'ABDOMEN'])[1 + draw(n, 'seen of', 3)] FROM subject)
  SELECT concat('2.25.7', row_number() OVER (ORDER BY sid, "day", modality)) AS study, * FROM exam;
CREATE VIEW series AS
  SELECT concat(study, '.', k) AS series, study, modality,
    CASE WHEN draw(hash(study, k), 'part', 20) > 0 THEN body_part END AS body_part,
    CASE WHEN draw(hash(study, k), 'told', 10) > 0 THEN draw(hash(study), 'contrast', 2) = 0 END AS contrast,
    (['SIEMENS', 'GE MEDICAL SYSTEMS', 'CANON'])[1 + draw(hash(study), 'maker', 3)] AS manufacturer,
    (['Br64d', 'STANDARD', 'FC52'])[1 + draw(hash(study), 'maker', 3)] AS kernel,
    CASE WHEN draw(hash(study, k), 'thick', 20) > 0 THEN ([5, 1, 5, 3, 1.25, 2.5, 1])[1 + k] END AS thickness,
    CASE WHEN modality = 'CT' THEN 120 END AS kvp, CASE WHEN modality = 'MR' THEN 1.5 END AS field,
    CASE WHEN k = 3 THEN '{DERIVED,SECONDARY}' ELSE '{ORIGINAL,PRIMARY}' END AS image_type,
    k = 0 AND modality <> 'DX' AS is_scout, k = 3 AS is_derived, 2 + draw(hash(study, k), 'instances', 300) AS instances,
    md5(concat(study, k)) AS content_digest
  FROM study, LATERAL (SELECT unnest(range(CASE WHEN modality IN ('CT', 'MR') THEN 7 ELSE 3 END)) AS k);

-- What COPY takes.
CREATE VIEW subject_rows AS SELECT sid, sid AS pseudonym FROM subject;
CREATE VIEW study_rows AS SELECT study AS study_instance_uid, sid, '990000101' AS finess, "day" AS study_date,
  'RELEASABLE' AS state FROM study;
CREATE VIEW series_rows AS SELECT series AS series_instance_uid, study AS study_instance_uid, modality,
  '1.2' AS sop_class_uid, body_part, contrast, manufacturer, kernel, thickness AS slice_thickness_mm, kvp,
  field AS magnetic_field_t, image_type, is_scout, is_derived, instances, 'p@0' AS profile, FALSE AS needs_review,
  'NOT_NEEDED' AS review_state, content_digest FROM series;
CREATE VIEW link_rows AS SELECT sid, person AS snds_person, method, 1.0 AS score, 'scale' AS source FROM link;
