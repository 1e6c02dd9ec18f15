-- Schema 6: the identity of the store. It goes with the file: a path is no identity.

CREATE TABLE identity (
    -- Random, made once. Networks of instances carry it as a label.
    id TEXT NOT NULL CHECK (length(id) > 0)
) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(16))));
