-- Crash dumps, sealed. A dump that is not whole yet lies in pieces.
CREATE TABLE crashes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BLOB NOT NULL CHECK (length(device_id) = 16),
    -- The device's own name for it.
    crash BLOB NOT NULL CHECK (length(crash) = 16),
    length INTEGER NOT NULL,
    received INTEGER NOT NULL DEFAULT 0,
    begun_at INTEGER NOT NULL,
    -- Of a whole dump: the API's form of it as JSON, and its bytes.
    document TEXT,
    dump BLOB,
    UNIQUE (device_id, crash)
) STRICT;

CREATE TABLE crash_pieces (
    crash INTEGER NOT NULL REFERENCES crashes (id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (crash, start)
) STRICT, WITHOUT ROWID;
