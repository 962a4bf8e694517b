//! Dead letters: looked at, tried again, or given up.

use super::db::{Connection, Statement, Value};
use super::parked::{COLUMNS, Stored};
use super::rows::ParkedRow;
use super::writer::Order;
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::setting::SinkName;

/// Event, sink, target and generation of a delivery.
type Key = (String, String, String, i64);

/// A retried delivery begins anew: no attempts, and its age counts from now, else `max_age` would end it at once.
pub(super) async fn retry(connection: &mut Connection, ids: Option<&[String]>, now: Timestamp) -> Result<u64, StoreError> {
    const HEAD: &str = "WITH woken (event_id, sink, target, generation) AS (";
    const TAIL: &str = ") DELETE FROM journal WHERE progress = 'dead' AND (event_id, sink, target, generation) IN \
        (SELECT event_id, sink, target, generation FROM woken)";
    let values: for<'r> fn(&'r Key) -> [Value<'r>; 4] =
        |(event, sink, target, generation)| [event.as_str().into(), sink.as_str().into(), target.as_str().into(), (*generation).into()];
    let mut count = 0;
    for ids in parts(ids) {
        let statement = Statement::new("UPDATE parked SET state = 'waiting', attempts = 0, not_before = ?, first_at = ? WHERE ");
        let statement = which(statement.bind(now.ms()).bind(now.ms()), ids);
        let woken: Vec<Key> = connection.fetch(statement.push(" RETURNING event_id, sink, target, generation")).await?;
        // What is `dead` in the journal would count as done; as if never tried, it may act again.
        set::insert(connection, HEAD, &woken, values, TAIL).await?;
        count += woken.len();
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

pub(super) async fn drop(connection: &mut Connection, ids: Option<&[String]>) -> Result<u64, StoreError> {
    let mut count = 0;
    for ids in parts(ids) {
        count += connection.execute(which(Statement::new("DELETE FROM parked WHERE "), ids)).await?;
    }
    Ok(count)
}

/// All at once where no ids are given.
fn parts(ids: Option<&[String]>) -> Vec<Option<&[String]>> {
    ids.map_or_else(|| vec![None], |ids| set::lists(ids).map(Some).collect())
}

fn which<'a>(statement: Statement<'a>, ids: Option<&'a [String]>) -> Statement<'a> {
    let statement = statement.push("state = 'dead'");
    match ids {
        Some(ids) => statement.push(" AND id IN ").list(ids),
        None => statement,
    }
}

impl Store {
    /// Dead letters, oldest first.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<ParkedRow>, StoreError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM parked WHERE state = 'dead' ORDER BY first_at, id LIMIT ?"));
        let rows: Vec<Stored> = self.fetch(statement.bind(super::limit(limit))).await?;
        rows.into_iter().map(ParkedRow::try_from).collect()
    }

    pub async fn dead_letter(&self, id: &str) -> Result<Option<ParkedRow>, StoreError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM parked WHERE state = 'dead' AND id = ?"));
        let row: Option<Stored> = self.fetch_one(statement.bind(id)).await?;
        row.map(ParkedRow::try_from).transpose()
    }

    /// Dead letters per sink.
    pub async fn dead_counts(&self) -> Result<Vec<(SinkName, u64)>, StoreError> {
        let sql = "SELECT sink, count(*) FROM parked WHERE state = 'dead' GROUP BY sink ORDER BY sink";
        let rows: Vec<(String, i64)> = self.fetch(Statement::new(sql)).await?;
        rows.into_iter().map(|(sink, count)| Ok((super::sink(&sink)?, count.unsigned_abs()))).collect()
    }

    /// Makes dead letters wait again, from now; none: all. Returns how many.
    pub async fn retry_dead(&self, ids: Option<&[String]>, now: Timestamp) -> Result<u64, StoreError> {
        self.order_and_wake(Order::RetryDead { ids: ids.map(<[String]>::to_vec), now }).await
    }

    /// Gives dead letters up; their journal rows stay `dead`. Returns how many.
    pub async fn drop_dead(&self, ids: Option<&[String]>) -> Result<u64, StoreError> {
        self.order_and_wake(Order::DropDead { ids: ids.map(<[String]>::to_vec) }).await
    }
}
