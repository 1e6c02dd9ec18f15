-- Schema 9: certificates that authorities issued, and what their orders share.

CREATE TABLE certificates (
    host TEXT NOT NULL PRIMARY KEY,
    -- JSON: who issued it, when it expires, and the failure of the last attempt. Without the key.
    info TEXT NOT NULL,
    -- The certificate and its key, encrypted like a secret. NULL until one was issued.
    pem BLOB
) STRICT;
CREATE TABLE authorities (
    name TEXT NOT NULL PRIMARY KEY,
    -- An account, or the authority's own certificate and key, encrypted like a secret.
    account BLOB NOT NULL
) STRICT;
