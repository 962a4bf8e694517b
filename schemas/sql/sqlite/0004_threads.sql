-- Which message began the thread of an issue in a channel.
CREATE TABLE threads (
    sink          TEXT NOT NULL,
    target        TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    reference     TEXT NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (sink, target, partition_key)
) WITHOUT ROWID;
CREATE INDEX threads_by_time ON threads (at);
