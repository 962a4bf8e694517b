-- What Ticketwire knows, on SQLite. Times of the ticket tables are text for people; all others are milliseconds since 1970.

CREATE TABLE archive (
    number        INTEGER PRIMARY KEY,
    event_id      TEXT NOT NULL UNIQUE,
    connection    TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    issue_id      TEXT,
    issue_key     TEXT,
    project_key   TEXT,
    kind          TEXT NOT NULL,
    received_at   BIGINT NOT NULL,
    lane          BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    envelope      BLOB NOT NULL
);
CREATE INDEX archive_by_key ON archive (issue_key, connection, issue_id) WHERE issue_key IS NOT NULL;
CREATE INDEX archive_by_issue ON archive (connection, issue_id);
CREATE INDEX archive_by_time ON archive (received_at);

CREATE TABLE journal (
    event_id     TEXT NOT NULL,
    sink         TEXT NOT NULL,
    target       TEXT NOT NULL,
    generation   BIGINT NOT NULL,
    rule         TEXT,
    progress     TEXT NOT NULL CHECK (progress IN ('started', 'tried', 'delivered', 'withheld', 'dead')),
    reason       TEXT,
    at           BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    unclean_runs BIGINT NOT NULL,
    PRIMARY KEY (event_id, sink, target, generation)
) WITHOUT ROWID;
CREATE INDEX journal_started ON journal (sink) WHERE progress = 'started';
CREATE INDEX journal_by_time ON journal (at);

CREATE TABLE parked (
    id            TEXT PRIMARY KEY,
    event_id      TEXT NOT NULL,
    sink          TEXT NOT NULL,
    target        TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    rule          TEXT,
    lane          BIGINT NOT NULL,
    position      BIGINT NOT NULL,
    partition_key TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
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
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at    BIGINT NOT NULL
);

-- One row that is written to learn whether writing is possible.
CREATE TABLE health (
    name  TEXT PRIMARY KEY,
    beats BIGINT NOT NULL
);

CREATE TABLE tickets (
    connection       TEXT NOT NULL,
    id               TEXT NOT NULL,
    key              TEXT,
    project_key      TEXT,
    type             TEXT,
    summary          TEXT,
    body             TEXT,
    status           TEXT,
    status_category  TEXT,
    assignee         TEXT,
    reporter         TEXT,
    security_level   TEXT,
    created_at       TEXT,
    updated_at       TEXT,
    deleted_at       TEXT,
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
    connection TEXT NOT NULL,
    ticket_id  TEXT NOT NULL,
    label      TEXT NOT NULL,
    PRIMARY KEY (connection, ticket_id, label)
) WITHOUT ROWID;

CREATE TABLE comments (
    connection TEXT NOT NULL,
    id         TEXT NOT NULL,
    ticket_id  TEXT NOT NULL,
    author     TEXT,
    body       TEXT,
    created_at TEXT,
    updated_at TEXT,
    deleted_at TEXT,
    -- Of the comment that the row shows; null where only the deletion was seen.
    version    BIGINT,
    PRIMARY KEY (connection, id)
);
CREATE INDEX comments_by_ticket ON comments (connection, ticket_id);

CREATE TABLE changes (
    connection TEXT NOT NULL,
    id         TEXT NOT NULL,
    ticket_id  TEXT NOT NULL,
    field      TEXT NOT NULL,
    from_id    TEXT,
    from_value TEXT,
    to_id      TEXT,
    to_value   TEXT,
    author     TEXT,
    at         TEXT NOT NULL,
    PRIMARY KEY (connection, id)
);
CREATE INDEX changes_by_ticket ON changes (connection, ticket_id);

-- When each value was last seen stands beside it: one sight may lack what another had.
CREATE TABLE users (
    connection TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT,
    email      TEXT,
    kind       TEXT NOT NULL,
    name_seen  BIGINT,
    email_seen BIGINT,
    kind_seen  BIGINT,
    PRIMARY KEY (connection, id)
);

CREATE TABLE projects (
    connection TEXT NOT NULL,
    id         TEXT NOT NULL,
    key        TEXT,
    name       TEXT,
    kind       TEXT NOT NULL,
    key_seen   BIGINT,
    name_seen  BIGINT,
    kind_seen  BIGINT,
    PRIMARY KEY (connection, id)
);
