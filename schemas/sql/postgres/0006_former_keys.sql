-- The key that an issue had before the move that an event tells of. A row goes with the event's row in the archive.
CREATE TABLE former_keys (
    event_id TEXT COLLATE "C" PRIMARY KEY,
    key      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX former_keys_by_key ON former_keys (key);

-- `journal.shadowed` may also be 2 beside `withheld`: nobody held it back, Jira said that the event is none of its rule's or its sink's.
-- Such a row only explains, and goes with the event's row in the archive.
