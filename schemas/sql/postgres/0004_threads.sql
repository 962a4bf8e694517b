-- Which message began the thread of an issue in a channel.
CREATE TABLE threads (
    sink          TEXT COLLATE "C" NOT NULL,
    target        TEXT COLLATE "C" NOT NULL,
    partition_key TEXT COLLATE "C" NOT NULL,
    reference     TEXT NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (sink, target, partition_key)
);
CREATE INDEX threads_by_time ON threads (at);
