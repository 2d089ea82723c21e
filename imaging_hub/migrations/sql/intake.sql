-- identifying zone: who sends, what came, and the state of each.

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
  reason           text NOT NULL,
  syntax           text NOT NULL DEFAULT ''  -- SOP Class or Transfer Syntax, where it was that which was refused
);
CREATE INDEX rejection_since ON identifying.rejection (at);

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
CREATE INDEX instance_by_digest ON identifying.instance (digest);
CREATE INDEX instance_in_spool ON identifying.instance (state) INCLUDE (size) WHERE purged_at IS NULL;
-- One content under one SOP Instance UID: what comes later with another content is a conflict, and says so.
CREATE UNIQUE INDEX instance_one_content ON identifying.instance (hospital, sop_instance_uid)
  WHERE study IS NOT NULL AND reason IS DISTINCT FROM 'sop-instance-conflict';

-- Journals a readable instance. Gives its row, new or not; or, where another content stands under the same
-- SOP Instance UID, the digest of that one and no row.
CREATE FUNCTION identifying.receive(
  the_hospital text, the_finess text, the_profile text,
  the_sop_instance_uid text, the_sop_class_uid text, the_transfer_syntax_uid text,
  the_study_instance_uid text, the_series_instance_uid text, the_patient_id text, the_modality text,
  the_digest text, the_size bigint,
  OUT row_id bigint, OUT is_new boolean, OUT row_state text, OUT standing_id bigint, OUT standing_digest text
) LANGUAGE plpgsql AS $$
DECLARE
  study_id bigint;
BEGIN
  LOOP
    is_new := false;
    SELECT i.id, i.state INTO row_id, row_state FROM identifying.instance i
      WHERE i.hospital = the_hospital AND i.sop_instance_uid = the_sop_instance_uid AND i.digest = the_digest;
    IF FOUND THEN
      -- A purged original that was sent again lies in the spool again, until retention finds it.
      UPDATE identifying.instance SET purged_at = NULL WHERE id = row_id AND purged_at IS NOT NULL;
      RETURN;
    END IF;

    SELECT i.id, i.digest INTO standing_id, standing_digest FROM identifying.instance i
      WHERE i.hospital = the_hospital AND i.sop_instance_uid = the_sop_instance_uid
        AND i.study IS NOT NULL AND i.reason IS DISTINCT FROM 'sop-instance-conflict';
    IF FOUND THEN RETURN; END IF;

    -- The lock keeps the study from completing between here and the commit.
    SELECT s.id INTO study_id FROM identifying.study s
      WHERE s.hospital = the_hospital AND s.study_instance_uid = the_study_instance_uid AND s.state = 'OPEN'
      FOR NO KEY UPDATE;
    IF FOUND THEN
      UPDATE identifying.study SET last_received_at = clock_timestamp()
        WHERE id = study_id AND last_received_at < clock_timestamp() - interval '100 milliseconds';
    ELSE
      INSERT INTO identifying.study (hospital, study_instance_uid, revision, profile)
        SELECT the_hospital, the_study_instance_uid, coalesce(max(s.revision), 0) + 1, the_profile
          FROM identifying.study s
          WHERE s.hospital = the_hospital AND s.study_instance_uid = the_study_instance_uid
        ON CONFLICT DO NOTHING RETURNING id INTO study_id;
      CONTINUE WHEN study_id IS NULL;
    END IF;

    INSERT INTO identifying.instance
        (hospital, finess, sop_instance_uid, sop_class_uid, transfer_syntax_uid, series_instance_uid, patient_id,
         modality, study, digest, size, state)
      VALUES (the_hospital, the_finess, the_sop_instance_uid, the_sop_class_uid, the_transfer_syntax_uid,
         the_series_instance_uid, the_patient_id, the_modality, study_id, the_digest, the_size, 'RECEIVED')
      ON CONFLICT DO NOTHING RETURNING id, state INTO row_id, row_state;
    IF FOUND THEN
      is_new := true;
      RETURN;
    END IF;
  END LOOP;
END $$;

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
GRANT DELETE ON identifying.sender, identifying.rejection TO imaging_hub_gateway;
GRANT SELECT ON ALL TABLES IN SCHEMA identifying TO imaging_hub_console;
