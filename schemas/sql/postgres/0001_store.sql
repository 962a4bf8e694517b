-- What Ticketwire knows, on Postgres. Times of the ticket tables are text for people; all others are milliseconds since 1970.
-- Ids, keys and times are compared byte by byte, as SQLite compares them.

CREATE TABLE archive (
    number        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id      TEXT COLLATE "C" NOT NULL UNIQUE,
    connection    TEXT COLLATE "C" NOT NULL,
    partition_key TEXT COLLATE "C" NOT NULL,
    issue_id      TEXT COLLATE "C",
    issue_key     TEXT COLLATE "C",
    project_key   TEXT COLLATE "C",
    kind          TEXT COLLATE "C" NOT NULL,
    received_at   BIGINT NOT NULL,
    lane          BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    envelope      BYTEA NOT NULL
);
-- It is compressed already.
ALTER TABLE archive ALTER COLUMN envelope SET STORAGE EXTERNAL;
CREATE INDEX archive_by_key ON archive (issue_key, connection, issue_id) WHERE issue_key IS NOT NULL;
CREATE INDEX archive_by_issue ON archive (connection, issue_id);
CREATE INDEX archive_by_time ON archive (received_at);

CREATE TABLE journal (
    event_id     TEXT COLLATE "C" NOT NULL,
    sink         TEXT COLLATE "C" NOT NULL,
    target       TEXT COLLATE "C" NOT NULL,
    generation   BIGINT NOT NULL,
    rule         TEXT,
    progress     TEXT COLLATE "C" NOT NULL CHECK (progress IN ('started', 'tried', 'delivered', 'withheld', 'dead')),
    reason       TEXT,
    at           BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    unclean_runs BIGINT NOT NULL,
    PRIMARY KEY (event_id, sink, target, generation)
);
CREATE INDEX journal_started ON journal (sink) WHERE progress = 'started';
CREATE INDEX journal_by_time ON journal (at);

CREATE TABLE parked (
    id            TEXT COLLATE "C" PRIMARY KEY,
    event_id      TEXT COLLATE "C" NOT NULL,
    sink          TEXT COLLATE "C" NOT NULL,
    target        TEXT COLLATE "C" NOT NULL,
    generation    BIGINT NOT NULL,
    rule          TEXT,
    lane          BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    partition_key TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'dead')),
    not_before    BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    first_at      BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    reason        TEXT NOT NULL,
    UNIQUE (event_id, sink, target, generation)
);
CREATE INDEX parked_by_time ON parked (sink, lane, state, not_before, position);
CREATE INDEX parked_in_order ON parked (sink, lane, state, position, id, not_before, target, partition_key);
CREATE INDEX parked_by_key ON parked (sink, target, partition_key, state, position, id, not_before);
CREATE INDEX parked_dead ON parked (first_at, id) WHERE state = 'dead';

CREATE TABLE control (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT NOT NULL,
    at    BIGINT NOT NULL
);

-- One row that is written to learn whether writing is possible.
CREATE TABLE health (
    name  TEXT COLLATE "C" PRIMARY KEY,
    beats BIGINT NOT NULL
);

CREATE TABLE tickets (
    connection       TEXT COLLATE "C" NOT NULL,
    id               TEXT COLLATE "C" NOT NULL,
    key              TEXT COLLATE "C",
    project_key      TEXT COLLATE "C",
    type             TEXT,
    summary          TEXT,
    body             TEXT,
    status           TEXT,
    status_category  TEXT,
    assignee         TEXT COLLATE "C",
    reporter         TEXT COLLATE "C",
    security_level   TEXT,
    created_at       TEXT COLLATE "C",
    updated_at       TEXT COLLATE "C",
    deleted_at       TEXT COLLATE "C",
    -- Whether that snapshot said if the issue has a security level.
    level_known      BIGINT,
    -- Of the snapshot that the row shows; null where only the deletion was seen.
    version_updated  BIGINT,
    version_observed BIGINT,
    -- The newest deletion that was ever seen; it stays when the tombstone is lifted.
    removed_at       BIGINT,
    PRIMARY KEY (connection, id)
);
CREATE INDEX tickets_by_key ON tickets (key);

CREATE TABLE ticket_labels (
    connection TEXT COLLATE "C" NOT NULL,
    ticket_id  TEXT COLLATE "C" NOT NULL,
    label      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (connection, ticket_id, label)
);

CREATE TABLE comments (
    connection TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    ticket_id  TEXT COLLATE "C" NOT NULL,
    author     TEXT COLLATE "C",
    body       TEXT,
    created_at TEXT COLLATE "C",
    updated_at TEXT COLLATE "C",
    deleted_at TEXT COLLATE "C",
    -- Of the comment that the row shows; null where only the deletion was seen.
    version    BIGINT,
    PRIMARY KEY (connection, id)
);
CREATE INDEX comments_by_ticket ON comments (connection, ticket_id);

CREATE TABLE changes (
    connection TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    ticket_id  TEXT COLLATE "C" NOT NULL,
    field      TEXT COLLATE "C" NOT NULL,
    from_id    TEXT COLLATE "C",
    from_value TEXT,
    to_id      TEXT COLLATE "C",
    to_value   TEXT,
    author     TEXT COLLATE "C",
    at         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (connection, id)
);
CREATE INDEX changes_by_ticket ON changes (connection, ticket_id);

-- When each value was last seen stands beside it: one sight may lack what another had.
CREATE TABLE users (
    connection TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    name       TEXT,
    email      TEXT,
    kind       TEXT NOT NULL,
    name_seen  BIGINT,
    email_seen BIGINT,
    kind_seen  BIGINT,
    PRIMARY KEY (connection, id)
);

CREATE TABLE projects (
    connection TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C",
    name       TEXT,
    kind       TEXT NOT NULL,
    key_seen   BIGINT,
    name_seen  BIGINT,
    kind_seen  BIGINT,
    PRIMARY KEY (connection, id)
);
