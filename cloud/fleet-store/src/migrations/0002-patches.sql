-- Patches by the images they lead from and to, and what devices tell of their updates.
ALTER TABLE updates ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE updates ADD COLUMN bytes_sent INTEGER NOT NULL DEFAULT 0;

CREATE TABLE patches (
    -- SHA-256 of the old image, 32 zero bytes for none, and of the new one.
    old BLOB NOT NULL CHECK (length(old) = 32),
    new BLOB NOT NULL CHECK (length(new) = 32),
    -- Version and limits of the format, as text.
    format TEXT NOT NULL,
    -- SHA-256 and length of the patch in the bundle store.
    object BLOB NOT NULL CHECK (length(object) = 32),
    length INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (old, new, format)
) STRICT, WITHOUT ROWID;
