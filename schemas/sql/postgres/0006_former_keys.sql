-- The key that an issue had before the move that the event tells of.
ALTER TABLE archive ADD COLUMN former_key TEXT COLLATE "C";
CREATE INDEX archive_by_former_key ON archive (former_key, connection, issue_id) WHERE former_key IS NOT NULL;
