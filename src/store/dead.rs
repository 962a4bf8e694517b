//! Dead letters: looked at, tried again, or given up.

use super::db::{Connection, Statement, Value};
use super::parked::{COLUMNS, Stored};
use super::rows::{DeadFilter, DeadSelection, ParkedRow};
use super::writer::Order;
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::setting::SinkName;

/// Event, sink, target and generation of a delivery.
type Key = (String, String, String, i64);
/// The same, and why it was dead.
type Dropped = (String, String, String, i64, String);

/// A retried delivery begins anew: no attempts, and its age counts from now, else `max_age` would end it at once.
pub(super) async fn retry(connection: &mut Connection, which: &DeadSelection, now: Timestamp) -> Result<u64, StoreError> {
    const HEAD: &str = "WITH woken (event_id, sink, target, generation) AS (";
    const TAIL: &str = ") DELETE FROM journal WHERE progress = 'dead' AND (event_id, sink, target, generation) IN \
        (SELECT event_id, sink, target, generation FROM woken)";
    let values: for<'r> fn(&'r Key) -> [Value<'r>; 4] =
        |(event, sink, target, generation)| [event.as_str().into(), sink.as_str().into(), target.as_str().into(), (*generation).into()];
    let mut count = 0;
    for part in parts(which) {
        let statement = Statement::new("UPDATE parked SET state = 'waiting', attempts = 0, not_before = ?, first_at = ? WHERE ");
        let statement = part.of(statement.bind(now.ms()).bind(now.ms()));
        let woken: Vec<Key> = connection.fetch(statement.push(" RETURNING event_id, sink, target, generation")).await?;
        // What is `dead` in the journal would count as done; as if never tried, it may act again.
        set::insert(connection, HEAD, &woken, values, TAIL).await?;
        count += woken.len();
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// What the journal says of them goes on saying why they were dead.
pub(super) async fn drop(connection: &mut Connection, which: &DeadSelection, now: Timestamp) -> Result<u64, StoreError> {
    const HEAD: &str = "WITH dropped (event_id, sink, target, generation, reason) AS (";
    const TAIL: &str = ") UPDATE journal SET reason = dropped.reason FROM dropped WHERE journal.progress = 'dead' \
        AND journal.event_id = dropped.event_id AND journal.sink = dropped.sink AND journal.target = dropped.target \
        AND journal.generation = dropped.generation";
    let values: for<'r> fn(&'r Dropped) -> [Value<'r>; 5] = |(event, sink, target, generation, reason)| {
        [event.as_str().into(), sink.as_str().into(), target.as_str().into(), (*generation).into(), reason.as_str().into()]
    };
    let mut count = 0;
    for part in parts(which) {
        let statement = part.of(Statement::new("DELETE FROM parked WHERE "));
        let mut dropped: Vec<Dropped> = connection.fetch(statement.push(" RETURNING event_id, sink, target, generation, reason")).await?;
        dropped.iter_mut().for_each(|(.., reason)| *reason = format!("dropped at {now}: {reason}"));
        set::insert(connection, HEAD, &dropped, values, TAIL).await?;
        count += dropped.len();
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// What one statement can name.
enum Part<'a> {
    Ids(&'a [String]),
    Matching(&'a DeadFilter),
}

fn parts(which: &DeadSelection) -> Vec<Part<'_>> {
    match which {
        DeadSelection::Ids(ids) => set::lists(ids).map(Part::Ids).collect(),
        DeadSelection::Matching(filter) => vec![Part::Matching(filter)],
    }
}

impl<'a> Part<'a> {
    /// The condition behind a `WHERE`.
    fn of(&self, statement: Statement<'a>) -> Statement<'a> {
        let statement = statement.push("state = 'dead'");
        match self {
            Self::Ids(ids) => statement.push(" AND id IN ").list(ids),
            Self::Matching(filter) => matching(statement, filter),
        }
    }
}

fn matching<'a>(mut statement: Statement<'a>, filter: &'a DeadFilter) -> Statement<'a> {
    for (condition, value) in [(" AND sink = ?", &filter.sink), (" AND target = ?", &filter.target)] {
        if let Some(value) = value {
            statement = statement.push(condition).bind(value.as_str());
        }
    }
    if let Some(part) = &filter.reason {
        let escaped = part.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
        statement = statement.push(" AND LOWER(reason) LIKE ? ESCAPE '!'").bind(format!("%{escaped}%"));
    }
    if let Some(since) = filter.since {
        statement = statement.push(" AND last_at >= ?").bind(since.ms());
    }
    statement
}

impl Store {
    /// Dead letters, oldest first; those behind `after` (when it was first tried, and its id), if it is given.
    pub async fn dead_letters(
        &self,
        filter: &DeadFilter,
        after: Option<(Timestamp, &str)>,
        limit: usize,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM parked WHERE state = 'dead'"));
        let mut statement = matching(statement, filter);
        if let Some((first_at, id)) = after {
            statement = statement.push(" AND (first_at, id) > (?, ?)").bind(first_at.ms()).bind(id);
        }
        let rows: Vec<Stored> = self.fetch(statement.push(" ORDER BY first_at, id LIMIT ?").bind(super::limit(limit))).await?;
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

    /// Makes dead letters wait again, from now. Returns how many.
    pub async fn retry_dead(&self, which: DeadSelection, now: Timestamp) -> Result<u64, StoreError> {
        self.order_and_wake(Order::RetryDead { which, now }).await
    }

    /// Gives dead letters up; their journal rows stay `dead`, and say since when they are given up. Returns how many.
    pub async fn drop_dead(&self, which: DeadSelection, now: Timestamp) -> Result<u64, StoreError> {
        self.order_and_wake(Order::DropDead { which, now }).await
    }
}
