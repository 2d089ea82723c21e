-- de-identified zone: subjects, and the index of what the archive holds.

CREATE TABLE hub.subject (
  sid         text PRIMARY KEY,              -- 128 random bits, hexadecimal
  pseudonym   text NOT NULL UNIQUE,          -- Patient ID written in the archived instances
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hub.object (
  digest      text PRIMARY KEY,              -- SHA-256 of the bytes
  size        bigint NOT NULL,
  stored_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hub.study (
  study_instance_uid text PRIMARY KEY,       -- remapped
  sid           text NOT NULL REFERENCES hub.subject,
  finess        text NOT NULL,
  study_date    date,                        -- true day: cohorts count from it, pages never show it beside a shifted one
  shifted_date  date,                        -- day as written in the instances
  revision      int  NOT NULL DEFAULT 1,
  state         text NOT NULL CHECK (state IN ('OPEN', 'COMPLETE', 'IN_REVIEW', 'RELEASABLE', 'VETOED')),
  description   text,
  accession     text,                        -- pseudonymous, empty when the profile empties it
  updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX study_by_subject ON hub.study (sid, study_date);

CREATE TABLE hub.series (
  series_instance_uid text PRIMARY KEY,
  study_instance_uid  text NOT NULL REFERENCES hub.study,
  modality            text NOT NULL,
  sop_class_uid       text NOT NULL,
  series_number       int,
  description         text,
  body_part           text,
  laterality          text,
  contrast            boolean,               -- NULL: not said
  manufacturer        text,
  model               text,
  kernel              text,
  kvp                 double precision,
  slice_thickness_mm  double precision,
  slice_spacing_mm    double precision,      -- computed from positions, not the attribute
  pixel_spacing_mm    double precision,      -- the larger of row and column spacing
  magnetic_field_t    double precision,
  image_type          text[] NOT NULL DEFAULT '{}',
  is_scout            boolean NOT NULL DEFAULT false,
  is_derived          boolean NOT NULL DEFAULT false,
  instances           int NOT NULL,
  profile             text NOT NULL,         -- name@digest of the profile that made it
  needs_review        boolean NOT NULL,
  review_state        text NOT NULL CHECK (review_state IN ('NOT_NEEDED', 'PENDING', 'APPROVED', 'REJECTED')),
  content_digest      text NOT NULL          -- over its instances' digests: a verdict holds for this content only
);
CREATE INDEX series_by_study ON hub.series (study_instance_uid);
CREATE INDEX series_by_modality ON hub.series (modality, body_part);

CREATE TABLE hub.instance (
  sop_instance_uid    text PRIMARY KEY,
  series_instance_uid text NOT NULL REFERENCES hub.series DEFERRABLE INITIALLY DEFERRED,
  sop_class_uid       text NOT NULL,
  transfer_syntax_uid text NOT NULL,
  instance_number     int,
  frames              int NOT NULL DEFAULT 1,
  rows                int,
  columns             int,
  position_mm         double precision,      -- along the slice normal, NULL without a plane
  digest              text NOT NULL REFERENCES hub.object,
  header              bytea NOT NULL,        -- de-identified header without pixels, as encoded in the object
  changes             jsonb NOT NULL,        -- [[attribute path, action, rule], …] without any value
  sink_digest         text,                  -- the object that the Orthanc sink was last seen to hold
  admitted_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX instance_not_in_sink ON hub.instance (series_instance_uid) WHERE sink_digest IS DISTINCT FROM digest;
CREATE INDEX instance_by_series ON hub.instance (series_instance_uid, instance_number);

-- What the hub may know of what did not pass: counts and reasons, never an identity. A modality that is none is a
-- sender's free text, so only the defined terms in use are shown (PS3.3 C.7.3.1.1.1).
CREATE VIEW hub.reception AS
  SELECT finess, state, reason, shown.modality, date_trunc('day', received_at) AS day, count(*) AS instances
  FROM identifying.instance
  LEFT JOIN (VALUES ('ANN'), ('BMD'), ('CR'), ('CT'), ('DOC'), ('DX'), ('ECG'), ('ES'), ('GM'), ('HD'), ('IO'), ('IVUS'),
    ('KO'), ('MG'), ('MR'), ('NM'), ('OP'), ('OPT'), ('OT'), ('PR'), ('PT'), ('PX'), ('REG'), ('RF'), ('RG'), ('RTDOSE'),
    ('RTIMAGE'), ('RTPLAN'), ('RTSTRUCT'), ('RWV'), ('SC'), ('SEG'), ('SM'), ('SR'), ('US'), ('XA'), ('XC')
  ) AS shown (modality) ON shown.modality = instance.modality
  GROUP BY finess, state, reason, shown.modality, date_trunc('day', received_at);

GRANT SELECT, INSERT, UPDATE ON hub.subject, hub.object, hub.study, hub.series, hub.instance TO imaging_hub_worker;
GRANT SELECT ON hub.subject, hub.object, hub.study, hub.series, hub.instance, hub.reception
  TO imaging_hub_web, imaging_hub_worker;
