-- identifying zone: who sends, what came, and what became of it.

CREATE TABLE identifying.sender (
  calling_ae_title text NOT NULL,
  address          inet NOT NULL,
  hospital         text NOT NULL,            -- short name, part of every key: two hospitals may use one UID
  finess           text NOT NULL CHECK (finess ~ '^[0-9][0-9AB][0-9]{7}$'),
  profile          text NOT NULL,
  added_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (calling_ae_title, address)
);

CREATE TABLE identifying.rejection (         -- associations and contexts refused, so that a page can name the cure
  id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at               timestamptz NOT NULL DEFAULT now(),
  address          inet NOT NULL,
  calling_ae_title text NOT NULL,
  called_ae_title  text NOT NULL,
  reason           text NOT NULL
);

CREATE TABLE identifying.study (
  id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital           text NOT NULL,
  study_instance_uid text NOT NULL,
  revision           int  NOT NULL,
  state              text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'COMPLETE', 'PROCESSED')),
  profile            text NOT NULL,
  last_received_at   timestamptz NOT NULL DEFAULT now(),
  UNIQUE (hospital, study_instance_uid, revision)
);
CREATE UNIQUE INDEX study_one_open ON identifying.study (hospital, study_instance_uid) WHERE state = 'OPEN';
CREATE INDEX study_open_since ON identifying.study (last_received_at) WHERE state = 'OPEN';

CREATE TABLE identifying.instance (          -- the journal: one row and one state for every instance received
  id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital            text NOT NULL,
  finess              text NOT NULL,
  sop_instance_uid    text NOT NULL,
  sop_class_uid       text NOT NULL,
  transfer_syntax_uid text NOT NULL,
  series_instance_uid text,                  -- NULL where the bytes could not be parsed that far
  patient_id          text,
  modality            text,
  study               bigint REFERENCES identifying.study,
  digest              text NOT NULL,         -- SHA-256 of the Part 10 file in the spool
  size                bigint NOT NULL,
  state               text NOT NULL CHECK (state IN ('RECEIVED', 'DEIDENTIFIED', 'ARCHIVED', 'QUARANTINED')),
  reason              text CHECK ((state = 'QUARANTINED') = (reason IS NOT NULL)),
  attribute           text,                  -- path of the attribute that decided, never its value
  rule                text,                  -- profile rule that decided
  received_at         timestamptz NOT NULL DEFAULT now(),
  settled_at          timestamptz,
  deidentified_sop_instance_uid    text,     -- lets the console find the BEFORE of an AFTER
  deidentified_series_instance_uid text,
  deidentified_digest text,
  purged_at           timestamptz,           -- original no longer in the spool
  UNIQUE (hospital, sop_instance_uid, digest)
);
CREATE INDEX instance_by_study ON identifying.instance (study);
CREATE INDEX instance_unsettled ON identifying.instance (study) WHERE state IN ('RECEIVED', 'DEIDENTIFIED');
CREATE INDEX instance_by_uid ON identifying.instance (hospital, sop_instance_uid);
CREATE INDEX instance_after ON identifying.instance (deidentified_series_instance_uid);

CREATE TABLE identifying.identity (          -- what linkage needs of a patient; leaves only towards the third party
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  hospital     text NOT NULL,
  patient_id   text NOT NULL,                -- the IPP, scoped by hospital
  ins          text,                         -- 15 characters, only when qualified
  birth_date   date,
  sex          text,
  refused      text,                         -- why an INS that was there is not used (reason code)
  sid          text,                         -- the hub's subject, given by the third party
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (hospital, patient_id)
);

CREATE TABLE identifying.operator (          -- people of the hospital and reviewers who may see identities
  name        text PRIMARY KEY,
  role        text NOT NULL CHECK (role IN ('hospital', 'radiologist')),
  token_hash  text NOT NULL UNIQUE,
  expires_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA identifying TO imaging_hub_gateway, imaging_hub_worker;
GRANT DELETE ON identifying.sender TO imaging_hub_gateway;
GRANT SELECT ON ALL TABLES IN SCHEMA identifying TO imaging_hub_console;
