-- Devices, what they shall run, what they said. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

CREATE TABLE devices (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    public_key BLOB NOT NULL CHECK (length(public_key) = 32),
    name TEXT UNIQUE,
    registered_at INTEGER NOT NULL,
    claim_token_sha256 BLOB,
    claimed_by TEXT,
    claimed_at INTEGER,
    revoked INTEGER NOT NULL DEFAULT 0,
    last_seen_at INTEGER,
    reported TEXT,
    running BLOB,
    target BLOB
) STRICT, WITHOUT ROWID;

-- Claims of devices that no factory registered: kept until the device itself shows the token.
CREATE TABLE claim_requests (
    device_id BLOB NOT NULL,
    claim_token_sha256 BLOB NOT NULL,
    account TEXT NOT NULL,
    name TEXT,
    requested_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, claim_token_sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE bundles (
    manifest BLOB PRIMARY KEY CHECK (length(manifest) = 32),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    pushed_at INTEGER NOT NULL,
    -- The API's form of the bundle, and where its bytes lie: both JSON.
    document TEXT NOT NULL,
    objects TEXT NOT NULL
) STRICT;
CREATE INDEX bundles_by_name ON bundles (name, version, pushed_at);
CREATE INDEX bundles_by_age ON bundles (pushed_at);

CREATE TABLE updates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BLOB NOT NULL,
    manifest BLOB NOT NULL,
    forced INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    stage TEXT NOT NULL,
    pages_done INTEGER NOT NULL,
    pages_total INTEGER NOT NULL,
    reason TEXT,
    updated_at INTEGER NOT NULL,
    stages TEXT NOT NULL
) STRICT;
CREATE INDEX updates_by_device ON updates (device_id, id);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    roles TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    device_id BLOB,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    level INTEGER NOT NULL,
    uptime_us INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX logs_by_device ON logs (device_id, id);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    token_id TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
