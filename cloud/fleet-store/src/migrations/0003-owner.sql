-- What the owner signs beside bundles, and what devices without an application are given.
ALTER TABLE updates ADD COLUMN permit BLOB;

CREATE TABLE key_sets (
    version INTEGER PRIMARY KEY,
    signed BLOB NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT NOT NULL
) STRICT;

CREATE TABLE factory_bundles (
    device_class TEXT PRIMARY KEY,
    manifest BLOB NOT NULL CHECK (length(manifest) = 32),
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
