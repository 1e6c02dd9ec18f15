-- Schema 2: how revisions came to be, and what became of them.

-- Since when the rollout of the revision is under way.
ALTER TABLE apps ADD COLUMN course_since INTEGER NOT NULL DEFAULT 0;
UPDATE apps SET course_since = updated_at;
-- Whether no replica is to be replaced by a newer revision for now.
ALTER TABLE apps ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1));
-- The last revision before the present one that was complete. NULL if there is none.
ALTER TABLE apps ADD COLUMN fallback INTEGER;
UPDATE apps SET fallback = (
    SELECT max(r.revision) FROM revisions AS r
    WHERE r.app = apps.name AND r.revision < apps.revision
);

-- Why the revision was made, and how it went.
ALTER TABLE revisions ADD COLUMN course TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(course));
-- What ran before is taken for good, and what runs now is looked at.
UPDATE revisions SET course = '{"outcome":"stable"}'
WHERE revision < (SELECT a.revision FROM apps AS a WHERE a.name = revisions.app);
