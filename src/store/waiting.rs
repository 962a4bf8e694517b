//! Parked deliveries that wait: who is next, when, and how many there are.
//!
//! A row never overtakes an older one of its target and partition key: while that is not due, what is behind it is not due either.

use std::sync::Arc;

use sqlx::FromRow;

use super::db::Statement;
use super::parked::{COLUMNS, Stored};
use super::rows::{Due, Parked, ParkedRow, WaitingKey};
use super::{Store, StoreError, archive};
use crate::clock::Timestamp;
use crate::event::{LaneId, PartitionKey};
use crate::setting::SinkName;

/// Older rows of the same issue to the same target.
const OLDER: &str = "SELECT 1 FROM parked AS older WHERE older.sink = mine.sink AND older.target = mine.target \
    AND older.partition_key = mine.partition_key AND older.state = 'waiting' AND (older.position, older.id) < (mine.position, mine.id)";

#[derive(FromRow)]
struct Found {
    #[sqlx(flatten)]
    row: Stored,
    envelope: Vec<u8>,
}

impl Store {
    /// Where somebody waits in this lane. `not_before` is that of the oldest, which the others wait for.
    pub async fn waiting_keys(&self, sink: &SinkName, lane: LaneId) -> Result<Vec<WaitingKey>, StoreError> {
        let sql = "SELECT keys.target, keys.partition_key, keys.waiting, (SELECT mine.not_before FROM parked AS mine WHERE mine.sink = ? \
            AND mine.target = keys.target AND mine.partition_key = keys.partition_key AND mine.state = 'waiting' \
            ORDER BY mine.position, mine.id LIMIT 1) FROM (SELECT target, partition_key, count(*) AS waiting FROM parked \
            WHERE sink = ? AND lane = ? AND state = 'waiting' GROUP BY target, partition_key) AS keys \
            ORDER BY keys.target, keys.partition_key";
        let statement = Statement::new(sql).bind(sink.as_str()).bind(sink.as_str()).bind(i64::from(lane.0));
        let rows: Vec<(String, String, i64, i64)> = self.fetch(statement).await?;
        let key = |(target, key, count, not_before): (String, String, i64, i64)| WaitingKey {
            target: Arc::from(target),
            partition_key: PartitionKey::known(&key),
            count: count.unsigned_abs(),
            not_before: Timestamp::from_ms(not_before),
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Waiting rows whose time has come, oldest first (position, then id). What stands behind one that cannot be read waits with it.
    pub async fn due(&self, sink: &SinkName, lane: LaneId, now: Timestamp, limit: usize) -> Result<Due, StoreError> {
        // The plus keeps SQLite from going by time and sorting everything that is due only to take the first few.
        let sql = format!(
            "SELECT due.*, archive.envelope FROM (SELECT {COLUMNS} FROM parked AS mine WHERE sink = ? AND lane = ? AND state = 'waiting' \
            AND +not_before <= ? AND NOT EXISTS ({OLDER} AND older.not_before > ?) ORDER BY position, id LIMIT ?) AS due \
            JOIN archive ON archive.event_id = due.event_id ORDER BY due.position, due.id"
        );
        let statement = Statement::new(sql).bind(sink.as_str()).bind(i64::from(lane.0)).bind(now.ms()).bind(now.ms());
        let rows: Vec<Found> = self.fetch(statement.bind(super::limit(limit))).await?;
        let mut due = Due::default();
        for found in rows {
            let envelope = archive::unpack(&found.row.event_id, &found.envelope);
            let row = ParkedRow::try_from(found.row)?;
            let is_before =
                |(first, _): &(ParkedRow, StoreError)| first.key.target == row.key.target && first.partition_key == row.partition_key;
            match envelope {
                _ if due.unreadable.iter().any(is_before) => {}
                Ok(envelope) => due.parked.push(Parked { row, envelope }),
                Err(err) => due.unreadable.push((row, err)),
            }
        }
        Ok(due)
    }

    /// How many of each sink wait for just this reason.
    pub async fn waiting_because(&self, reason: &str) -> Result<Vec<(SinkName, u64)>, StoreError> {
        let sql = "SELECT sink, count(*) FROM parked WHERE state = 'waiting' AND reason = ? GROUP BY sink ORDER BY sink";
        let rows: Vec<(String, i64)> = self.fetch(Statement::new(sql).bind(reason)).await?;
        rows.into_iter().map(|(sink, count)| Ok((super::sink(&sink)?, count.unsigned_abs()))).collect()
    }

    /// Per sink and lane: how many wait, and since when the oldest.
    pub async fn waiting_counts(&self) -> Result<Vec<(SinkName, LaneId, u64, Timestamp)>, StoreError> {
        let sql = "SELECT sink, lane, count(*), min(first_at) FROM parked WHERE state = 'waiting' GROUP BY sink, lane ORDER BY sink, lane";
        let rows: Vec<(String, i64, i64, i64)> = self.fetch(Statement::new(sql)).await?;
        let count = |(sink, lane, count, first): (String, i64, i64, i64)| {
            Ok((super::sink(&sink)?, archive::lane(lane), count.unsigned_abs(), Timestamp::from_ms(first)))
        };
        rows.into_iter().map(count).collect()
    }
}
