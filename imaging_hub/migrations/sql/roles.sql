-- Two zones, one role a process (ADR 0001). `trust` holds the third party's vault and nothing else can read it.
CREATE SCHEMA identifying;
CREATE SCHEMA trust;
CREATE SCHEMA hub;
CREATE SCHEMA audit;

GRANT USAGE ON SCHEMA identifying TO imaging_hub_gateway, imaging_hub_worker, imaging_hub_console;
GRANT USAGE ON SCHEMA trust TO imaging_hub_trust;
GRANT USAGE ON SCHEMA hub TO imaging_hub_worker, imaging_hub_web;
GRANT USAGE ON SCHEMA audit TO
  imaging_hub_gateway, imaging_hub_worker, imaging_hub_console, imaging_hub_web, imaging_hub_trust;
