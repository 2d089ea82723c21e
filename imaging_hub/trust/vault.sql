-- The third party's vault: tokens in, subjects out; no health datum, no NIR. A database of its own (ADR 0026).
CREATE SCHEMA trust;
GRANT USAGE ON SCHEMA trust TO imaging_hub_trust;

CREATE TABLE trust.person (
  token      text PRIMARY KEY,               -- t2, base32; the NIR is not recoverable without both keys
  kind       text NOT NULL CHECK (kind IN ('INS', 'IPP')),
  epoch      int  NOT NULL,
  sid        text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX person_by_sid ON trust.person (sid);

CREATE TABLE trust.id_acc (                  -- one random identifier per delivery, destroyed after linkage
  id_acc       text PRIMARY KEY,
  sealed_sid   bytea,                        -- under the key of its delivery, NULL once destroyed
  delivery     text NOT NULL,
  expires_at   timestamptz NOT NULL,
  destroyed_at timestamptz,
  CHECK ((sealed_sid IS NULL) = (destroyed_at IS NOT NULL))
);
CREATE INDEX id_acc_alive ON trust.id_acc (delivery) WHERE sealed_sid IS NOT NULL;

CREATE TABLE trust.epoch (                   -- tells a restored or lost keyring from the one the vault was filled with
  epoch       int PRIMARY KEY,
  fingerprint text NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT now(),
  state       text NOT NULL CHECK (state IN ('FILLING', 'IN_FORCE', 'ENDED')),
  blinded     boolean NOT NULL DEFAULT false -- its tokens are made of what the third party has evaluated unseen
);

GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA trust TO imaging_hub_trust;
GRANT DELETE ON trust.person TO imaging_hub_trust;
