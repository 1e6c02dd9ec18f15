-- Schema 5: requests of users that outlive the orchestrator.

-- Ids of containers whose replicas are to be replaced.
ALTER TABLE apps ADD COLUMN evicted TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(evicted));
-- At most one row: the instance is to be torn down.
CREATE TABLE teardown (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    requested_at INTEGER NOT NULL
) STRICT;
