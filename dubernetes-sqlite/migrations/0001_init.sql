-- Schema 1. Times are nanoseconds since 1970-01-01 UTC, as whole numbers.

-- What users asked for: one row per app, also while it is being deleted.
CREATE TABLE apps (
    -- The app's name.
    name TEXT NOT NULL PRIMARY KEY,
    -- The specification, in the shape of the file's own format.
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    -- Counts the changes of the specification, over all lives of the name.
    generation INTEGER NOT NULL CHECK (generation >= 1),
    -- The revision that the specification makes up; its image stands in `revisions`.
    revision INTEGER NOT NULL CHECK (revision >= 1),
    -- Containers of this and lower revisions belong to an earlier life of the name.
    removed_through INTEGER NOT NULL CHECK (removed_through >= 0),
    -- When this life of the name began.
    created_at INTEGER NOT NULL,
    -- When the specification last changed.
    updated_at INTEGER NOT NULL,
    -- When it was deleted: the row is a tombstone then. NULL while it is desired.
    deleted_at INTEGER
) STRICT;

-- What rollouts move between: the newest few of each app.
CREATE TABLE revisions (
    -- The app that it is a revision of.
    app TEXT NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    -- Its number.
    revision INTEGER NOT NULL CHECK (revision >= 1),
    -- The specification as it was when the revision was made.
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    -- The engine's id of the image it runs. NULL until it is resolved.
    image_id TEXT,
    -- When it was made.
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, revision)
) STRICT;

-- What happened. Events outlive their app, so `app` refers to no row.
CREATE TABLE events (
    -- Rises with every record, and is never given twice.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- When it last happened.
    time INTEGER NOT NULL,
    -- When it first happened, in a row of equal ones.
    first_at INTEGER NOT NULL,
    -- Whether a person should look.
    kind TEXT NOT NULL CHECK (kind IN ('Normal', 'Warning')),
    -- The app's name. NULL for the instance itself.
    app TEXT,
    -- The pod's name. NULL if it is about none.
    pod TEXT,
    -- One word in upper camel case.
    reason TEXT NOT NULL,
    -- What happened, as a sentence fragment.
    message TEXT NOT NULL,
    -- How often, in a row of equal ones.
    count INTEGER NOT NULL CHECK (count >= 1)
) STRICT;

-- For the events of one app, by id.
CREATE INDEX events_of_app ON events (app);
-- For what is too old to be kept.
CREATE INDEX events_by_time ON events (time);
-- For the event that a new one is equal to.
CREATE INDEX events_alike ON events (message, reason, time);
