-- Schema 4: columns and keys under the names that the code uses.

ALTER TABLE apps RENAME COLUMN removed_through TO deleted_through;
ALTER TABLE apps RENAME COLUMN course_since TO rollout_started_at;
ALTER TABLE revisions RENAME COLUMN course TO rollout;
-- Quotes inside a JSON string are escaped, so these patterns match keys only.
UPDATE revisions SET rollout =
    replace(replace(rollout, '"salt":', '"restart_nonce":'), '"tries":', '"attempts":');
