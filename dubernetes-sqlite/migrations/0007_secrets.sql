-- Schema 7: secrets, and contents of files apart from the specifications, both encrypted.

CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    -- Encrypted: version, key id, nonce, ciphertext.
    value BLOB NOT NULL,
    -- When the value last changed.
    updated_at INTEGER NOT NULL
) STRICT;
-- The contents of the files and secrets that the specification refers to, encrypted like a secret.
-- NULL if it refers to none.
ALTER TABLE apps ADD COLUMN contents BLOB;
ALTER TABLE revisions ADD COLUMN contents BLOB;
