-- What sinks in shadow mode would have sent; `message` is JSON, null where the event itself is what is sent.
CREATE TABLE shadows (
    number     INTEGER PRIMARY KEY,
    sink       TEXT NOT NULL,
    target     TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    generation BIGINT NOT NULL,
    rule       TEXT,
    at         BIGINT NOT NULL,
    message    TEXT,
    UNIQUE (sink, event_id, target, generation)
);
CREATE INDEX shadows_of_sink ON shadows (sink, number);
CREATE INDEX shadows_by_time ON shadows (at);

-- 1 beside `withheld`: nobody held it back, its sink was in shadow mode.
ALTER TABLE journal ADD COLUMN shadowed BIGINT NOT NULL DEFAULT 0;
