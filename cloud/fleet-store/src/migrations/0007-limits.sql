-- What pruning looks for, so that it need not read every message to find the old ones.
CREATE INDEX messages_settled ON messages (coalesce(settled_at, sent_at)) WHERE state NOT IN ('queued', 'sent');

-- Each webhook has its own deliveries tried, and those of a webhook that is removed go.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (webhook_id, state, next_attempt_at);

-- Crash dumps that a device began on the last day (UTC, counted from 1970) on which it began one.
CREATE TABLE crashes_begun (
    device_id BLOB PRIMARY KEY,
    day INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
