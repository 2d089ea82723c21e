-- append-only, hash-chained: hash = SHA-256(previous_hash || canonical JSON of the entry).

CREATE TABLE audit.entry (
  sequence      bigint PRIMARY KEY,
  at            timestamptz NOT NULL,
  actor         text NOT NULL,
  action        text NOT NULL,
  object        text NOT NULL,
  detail        jsonb NOT NULL,
  previous_hash text NOT NULL,
  hash          text NOT NULL UNIQUE
);

GRANT SELECT, INSERT ON audit.entry TO
  imaging_hub_gateway, imaging_hub_worker, imaging_hub_console, imaging_hub_web, imaging_hub_trust;
