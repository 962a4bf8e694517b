//! What sinks in shadow mode would have sent, in the order in which they would have sent it.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::db::{Connection, Statement, Value};
use super::rows::{DeliveryKey, ShadowFilter, ShadowRow};
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::setting::SinkName;

/// A delivery that comes again, because a crash came before the journal had it, is the same row.
pub(super) async fn record(connection: &mut Connection, rows: impl Iterator<Item = &ShadowRow>) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO shadows (sink, target, event_id, generation, rule, at, message) ";
    const TAIL: &str = " ON CONFLICT (sink, event_id, target, generation) DO UPDATE SET rule = excluded.rule, at = excluded.at, \
        message = excluded.message";
    let rows: Vec<&ShadowRow> = rows.collect();
    // Their numbers tell the order, so they keep it, and are not sorted by key as others are.
    let last: BTreeMap<&DeliveryKey, usize> = rows.iter().enumerate().map(|(place, row)| (&row.key, place)).collect();
    let is_last = |(place, row): &(usize, &&ShadowRow)| last.get(&row.key) == Some(place);
    let rows: Vec<&ShadowRow> = rows.iter().enumerate().filter(is_last).map(|(_, row)| *row).collect();
    set::insert(connection, HEAD, &rows, values, TAIL).await
}

fn values<'a>(row: &'a &ShadowRow) -> [Value<'a>; 7] {
    [
        row.key.sink.as_str().into(),
        (&*row.key.target).into(),
        row.key.event_id.as_str().into(),
        row.key.generation.into(),
        row.rule.as_deref().into(),
        row.at.ms().into(),
        row.message.as_deref().into(),
    ]
}

/// One step. Returns how many rows went.
pub(super) async fn expire(connection: &mut Connection, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM shadows WHERE number IN (SELECT number FROM shadows WHERE at < ? ORDER BY at LIMIT ?)";
    connection.execute(Statement::new(sql).bind(before.ms()).bind(limit)).await
}

#[derive(FromRow)]
struct Stored {
    number: i64,
    sink: String,
    target: String,
    event_id: String,
    generation: i64,
    rule: Option<String>,
    at: i64,
    message: Option<String>,
}

impl Stored {
    fn read(self) -> Result<(i64, ShadowRow), StoreError> {
        let key = DeliveryKey {
            sink: super::sink(&self.sink)?,
            event_id: EventId::known(&self.event_id),
            target: self.target.into(),
            generation: super::count(self.generation),
        };
        let row = ShadowRow { key, rule: self.rule.map(Into::into), at: Timestamp::from_ms(self.at), message: self.message };
        Ok((self.number, row))
    }
}

impl Store {
    /// What a sink would have sent, each with its number, from the one behind `after` on.
    pub async fn shadows(
        &self,
        sink: &SinkName,
        which: &ShadowFilter,
        after: Option<i64>,
        most: usize,
    ) -> Result<Vec<(i64, ShadowRow)>, StoreError> {
        let sql = "SELECT number, sink, target, event_id, generation, rule, at, message FROM shadows WHERE sink = ? AND number > ?";
        let mut statement = Statement::new(sql).bind(sink.as_str()).bind(after.unwrap_or(0));
        for (condition, at) in [(" AND at >= ?", which.since), (" AND at <= ?", which.until)] {
            if let Some(at) = at {
                statement = statement.push(condition).bind(at.ms());
            }
        }
        let rows: Vec<Stored> = self.fetch(statement.push(" ORDER BY number LIMIT ?").bind(super::limit(most))).await?;
        rows.into_iter().map(Stored::read).collect()
    }
}
