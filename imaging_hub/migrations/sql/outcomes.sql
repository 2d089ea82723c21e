-- identifying zone: instances that passed the door before they were acknowledged, without their originals.

CREATE TABLE identifying.outcome (           -- what came of them, for the worker to index when their study is complete
  instance bigint PRIMARY KEY REFERENCES identifying.instance,
  sealed   bytea NOT NULL                    -- under a key made of the study's and one of the hub's, which the gateway does not hold
);

GRANT INSERT, SELECT (instance), DELETE ON identifying.outcome TO imaging_hub_gateway;
GRANT SELECT, DELETE ON identifying.outcome TO imaging_hub_worker;

DROP FUNCTION identifying.receive;

-- With an outcome, row_id is NULL where the original has to be kept after all.
CREATE FUNCTION identifying.receive(
  the_hospital text, the_finess text, the_profile text,
  the_sop_instance_uid text, the_sop_class_uid text, the_transfer_syntax_uid text,
  the_study_instance_uid text, the_series_instance_uid text, the_patient_id text, the_modality text,
  the_digest text, the_size bigint, the_outcome bytea DEFAULT NULL,
  OUT row_id bigint, OUT is_new boolean, OUT row_state text, OUT standing_id bigint, OUT standing_digest text
) LANGUAGE plpgsql AS $$
DECLARE
  study_id bigint;
  is_purged boolean;
BEGIN
  LOOP
    is_new := false;
    SELECT i.id, i.state, i.purged_at IS NOT NULL INTO row_id, row_state, is_purged FROM identifying.instance i
      WHERE i.hospital = the_hospital AND i.sop_instance_uid = the_sop_instance_uid AND i.digest = the_digest;
    IF FOUND THEN
      IF is_purged AND the_outcome IS NULL THEN
        -- A purged original that was sent again lies in the spool again, until retention finds it.
        UPDATE identifying.instance SET purged_at = NULL WHERE id = row_id;
        DELETE FROM identifying.outcome WHERE instance = row_id; -- what comes of the original itself says more
        -- Where it was asked for, it is worked on.
        UPDATE identifying.instance SET state = 'RECEIVED', reason = NULL, attribute = NULL, rule = NULL, settled_at = NULL
          WHERE id = row_id AND state = 'QUARANTINED' AND reason = 'send-again' RETURNING study INTO study_id;
        IF FOUND THEN
          row_state := 'RECEIVED';
          UPDATE identifying.study SET state = 'COMPLETE' WHERE id = study_id AND state = 'PROCESSED';
        END IF;
      ELSIF is_purged AND row_state = 'QUARANTINED' THEN
        row_id := NULL; -- of what is held the original is wanted after all
      END IF;
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
         modality, study, digest, size, state, purged_at)
      VALUES (the_hospital, the_finess, the_sop_instance_uid, the_sop_class_uid, the_transfer_syntax_uid,
         the_series_instance_uid, the_patient_id, the_modality, study_id, the_digest, the_size, 'RECEIVED',
         CASE WHEN the_outcome IS NOT NULL THEN now() END)
      ON CONFLICT DO NOTHING RETURNING id, state INTO row_id, row_state;
    IF FOUND THEN
      is_new := true;
      IF the_outcome IS NOT NULL THEN
        INSERT INTO identifying.outcome (instance, sealed) VALUES (row_id, the_outcome);
      END IF;
      RETURN;
    END IF;
  END LOOP;
END $$;
