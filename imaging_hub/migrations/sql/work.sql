-- the queue: procrastinate's own schema is applied into `work` beside this; job arguments are row numbers only.
GRANT USAGE ON SCHEMA work TO imaging_hub_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA work TO imaging_hub_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA work TO imaging_hub_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA work TO imaging_hub_worker;
