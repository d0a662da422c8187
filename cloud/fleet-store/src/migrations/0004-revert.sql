-- An order to take a version on trial back holds until the device obeyed, however often it loses power before.
ALTER TABLE updates ADD COLUMN revert_ordered INTEGER NOT NULL DEFAULT 0;
