-- de-identified zone: people, projects, permits, linkage, cohorts, releases, reviews.

CREATE TABLE hub.account (                   -- people and programs of the hub; tokens are stored hashed
  name       text PRIMARY KEY,
  role       text NOT NULL CHECK (role IN ('operator', 'hospital', 'radiologist', 'researcher')),
  token_hash text NOT NULL UNIQUE,
  expires_at timestamptz NOT NULL,           -- REF 5.1: accounts are time-limited
  finess     text                            -- a hospital account sees its own hospital only
);

CREATE TABLE hub.project (
  id              text PRIMARY KEY,          -- short name
  title           text NOT NULL,
  purpose         text NOT NULL,
  public_interest text NOT NULL,
  legal_basis     text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hub.permit (
  id          text PRIMARY KEY,
  project     text NOT NULL REFERENCES hub.project,
  valid_from  date NOT NULL,
  valid_until date NOT NULL CHECK (valid_until >= valid_from),
  scope       jsonb NOT NULL,                -- {"modalities": [...], "domains": [...]}
  granted_by  text NOT NULL,
  granted_at  timestamptz NOT NULL DEFAULT now(),
  revoked_at  timestamptz
);

CREATE TABLE hub.permit_holder (
  permit  text NOT NULL REFERENCES hub.permit,
  account text NOT NULL REFERENCES hub.account,
  PRIMARY KEY (permit, account)
);

CREATE TABLE hub.link (                      -- a subject's SNDS person, as the return file gave it
  sid         text NOT NULL REFERENCES hub.subject,
  snds_person text NOT NULL,
  method      text NOT NULL CHECK (method IN ('ins')),
  score       double precision NOT NULL,
  delivery    text NOT NULL,
  decided_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (sid)
);
CREATE UNIQUE INDEX link_one_person ON hub.link (snds_person);

CREATE TABLE hub.cohort (                    -- a frozen run of a definition
  id                text PRIMARY KEY,        -- digest of project, definition and data version: same in, same out
  project           text NOT NULL REFERENCES hub.project,
  name              text NOT NULL,
  definition        text NOT NULL,           -- YAML as given
  definition_digest text NOT NULL,
  data_version      text NOT NULL,
  flowchart         jsonb NOT NULL,          -- as shown: small cells are held back before they are stored
  frozen_by         text NOT NULL,
  frozen_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hub.cohort_member (
  cohort              text NOT NULL REFERENCES hub.cohort,
  sid                 text NOT NULL REFERENCES hub.subject,
  index_date          date NOT NULL,
  series_instance_uid text NOT NULL REFERENCES hub.series,
  content_digest      text NOT NULL,         -- of the series when it was frozen: a later content is not released
  age_band            text NOT NULL,         -- five years, empty when unknown
  sex                 text NOT NULL,
  PRIMARY KEY (cohort, series_instance_uid)
);

CREATE TABLE hub.release (
  id              text PRIMARY KEY,
  cohort          text NOT NULL REFERENCES hub.cohort,
  permit          text NOT NULL REFERENCES hub.permit,
  state           text NOT NULL CHECK (state IN ('PREPARING', 'READY', 'FAILED')),
  manifest_digest text REFERENCES hub.object,
  instances       int,
  bytes           bigint,
  requested_by    text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  ready_at        timestamptz
);

CREATE TABLE hub.release_item (
  release text NOT NULL REFERENCES hub.release,
  path    text NOT NULL,
  digest  text NOT NULL REFERENCES hub.object,
  size    bigint NOT NULL,
  PRIMARY KEY (release, path)
);
CREATE INDEX release_item_by_digest ON hub.release_item (release, digest);

CREATE TABLE hub.review (
  id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  series_instance_uid text NOT NULL REFERENCES hub.series,
  content_digest      text NOT NULL,
  verdict             text NOT NULL CHECK (verdict IN ('APPROVED', 'REJECTED')),
  reason              text CHECK (verdict = 'APPROVED' OR reason IS NOT NULL),
  reviewer            text NOT NULL REFERENCES hub.account,
  decided_at          timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE ON hub.account, hub.project, hub.permit, hub.permit_holder, hub.link, hub.cohort,
  hub.cohort_member, hub.release, hub.release_item, hub.review TO imaging_hub_worker;
GRANT SELECT ON hub.account, hub.project, hub.permit, hub.permit_holder, hub.link, hub.cohort, hub.cohort_member,
  hub.release, hub.release_item, hub.review TO imaging_hub_web;
GRANT INSERT ON hub.cohort, hub.cohort_member, hub.release, hub.review TO imaging_hub_web;
GRANT UPDATE (review_state) ON hub.series TO imaging_hub_web;
GRANT UPDATE (state) ON hub.study TO imaging_hub_web;
