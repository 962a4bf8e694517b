-- Orders to deliver from the archive, and how far each lane of each sink has come with them.
CREATE TABLE replays (
    id         TEXT PRIMARY KEY,
    generation BIGINT NOT NULL,
    since_at   BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    rule       TEXT,
    dry_run    BIGINT NOT NULL,
    ordered_at BIGINT NOT NULL
);

CREATE TABLE replay_lanes (
    replay_id      TEXT NOT NULL,
    sink           TEXT NOT NULL,
    lane           BIGINT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('open', 'done', 'stopped')),
    events         BIGINT NOT NULL,
    last_position  BIGINT NOT NULL,
    -- The last event that was looked at.
    after_position BIGINT NOT NULL,
    after_number   BIGINT NOT NULL,
    seen           BIGINT NOT NULL DEFAULT 0,
    delivered      BIGINT NOT NULL DEFAULT 0,
    filtered       BIGINT NOT NULL DEFAULT 0,
    withheld       BIGINT NOT NULL DEFAULT 0,
    dead           BIGINT NOT NULL DEFAULT 0,
    parked         BIGINT NOT NULL DEFAULT 0,
    known          BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (replay_id, sink, lane)
) WITHOUT ROWID;
CREATE INDEX replay_lanes_open ON replay_lanes (sink, lane) WHERE state = 'open';

CREATE INDEX archive_by_lane ON archive (lane, position);
