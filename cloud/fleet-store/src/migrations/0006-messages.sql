-- Messages between owner and application, whom they are passed on to, and configurations.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BLOB NOT NULL,
    direction TEXT NOT NULL,
    -- Of the device's power session; 0 for messages to it.
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT,
    sent_at INTEGER,
    settled_at INTEGER,
    expires_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT,
    UNIQUE (device_id, direction, run, number)
) STRICT;
CREATE INDEX messages_by_device ON messages (device_id, id);
CREATE INDEX messages_by_state ON messages (state, expires_at);
CREATE UNIQUE INDEX messages_by_key ON messages (device_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    last_status INTEGER,
    last_error TEXT,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_due ON deliveries (state, next_attempt_at);
CREATE INDEX deliveries_by_message ON deliveries (message_id);

CREATE TABLE configuration (
    -- Rises over all keys; what is removed keeps its row, without a value, so that the revision rises too.
    version INTEGER PRIMARY KEY,
    -- Empty for every device, else the id of one.
    scope BLOB NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    secret INTEGER NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL,
    UNIQUE (scope, key)
) STRICT;

CREATE TABLE configuration_states (
    device_id BLOB PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
