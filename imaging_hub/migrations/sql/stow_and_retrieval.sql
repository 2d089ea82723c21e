-- identifying zone: STOW-RS and retrieval beside the DICOM port, and what a sender must show there.

ALTER TABLE identifying.sender
  ADD COLUMN certificate      text,          -- SHA-256 of the certificate that it must show over TLS; NULL: any that is trusted
  ADD COLUMN token_hash       text UNIQUE,   -- SHA-256 of its token for STOW-RS
  ADD COLUMN token_expires_at timestamptz,
  ADD COLUMN retrieves        boolean NOT NULL DEFAULT false, -- whether it may ask for what it sent
  ADD COLUMN keep_originals   text           -- after archiving: never, until-released, always, a number of days; NULL: as the settings say
    CHECK (keep_originals ~ '^(never|until-released|always|[0-9]{1,5})$'),
  ADD COLUMN quiet_seconds    real CHECK (quiet_seconds > 0), -- without news, a study is complete; NULL: as the settings say
  ADD COLUMN query_host       text,          -- where its own query/retrieve SCP listens
  ADD COLUMN query_port       int CHECK (query_port BETWEEN 1 AND 65535),
  ADD CONSTRAINT sender_query CHECK ((query_host IS NULL) = (query_port IS NULL)),
  ADD CONSTRAINT sender_token CHECK ((token_hash IS NULL) = (token_expires_at IS NULL));

CREATE TABLE identifying.retrieval (         -- what was asked of a PACS, a line each, and what came of it
  hospital         text NOT NULL,
  level            text NOT NULL CHECK (level IN ('accession', 'study', 'patient')),
  value            text NOT NULL,
  outcome          text NOT NULL,
  reason           text NOT NULL DEFAULT '',
  studies          int  NOT NULL DEFAULT 0,
  announced        int  NOT NULL DEFAULT 0,  -- instances that the PACS says it has
  received         int  NOT NULL DEFAULT 0,  -- of them, those that are in the journal
  tried_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (hospital, level, value)
);

CREATE TABLE identifying.orthanc_source (    -- how far the changes of an Orthanc have been followed
  hospital    text NOT NULL,
  url         text NOT NULL,
  last_change bigint NOT NULL,
  PRIMARY KEY (hospital, url)
);

CREATE TABLE identifying.diagnosis (         -- what is wrong with the hub, as a worker last saw it: one row
  one_row  boolean PRIMARY KEY DEFAULT true CHECK (one_row),
  at       timestamptz NOT NULL,
  ailments jsonb NOT NULL
);

CREATE TABLE identifying.study_key (         -- keys of originals at rest, wrapped by the hospital's key in originals.json
  id                 uuid PRIMARY KEY,
  hospital           text NOT NULL,
  study_instance_uid text NOT NULL,          -- empty for what could be assigned to no study
  wrapped            bytea NOT NULL,
  used_at            timestamptz NOT NULL DEFAULT now(), -- when a receiver last took it out
  UNIQUE (hospital, study_instance_uid)
);

GRANT SELECT, INSERT, UPDATE ON identifying.study_key TO imaging_hub_gateway;
GRANT SELECT, DELETE ON identifying.study_key TO imaging_hub_worker;
GRANT SELECT ON identifying.study_key TO imaging_hub_console;
GRANT SELECT, INSERT, UPDATE ON identifying.diagnosis TO imaging_hub_worker;
GRANT SELECT ON identifying.diagnosis TO imaging_hub_console;
GRANT SELECT, INSERT, UPDATE ON identifying.retrieval, identifying.orthanc_source TO imaging_hub_gateway;
GRANT SELECT ON identifying.retrieval, identifying.orthanc_source TO imaging_hub_console, imaging_hub_worker;

CREATE INDEX instance_quarantined ON identifying.instance (finess, reason) WHERE state = 'QUARANTINED';

-- What staff of the hospital may do at the console: let a sender in, have held instances processed again, purge them.
GRANT INSERT, UPDATE ON identifying.sender TO imaging_hub_console;
GRANT UPDATE (state, reason, attribute, rule, settled_at, purged_at) ON identifying.instance TO imaging_hub_console;
GRANT UPDATE (state, profile) ON identifying.study TO imaging_hub_console;
