-- Processes that share the work. Who was not seen for a while does not live any more.
CREATE TABLE workers (
    name       TEXT COLLATE "C" PRIMARY KEY,
    road       TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    roles      TEXT NOT NULL
);
