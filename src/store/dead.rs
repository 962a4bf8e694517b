//! Dead letters: looked at, tried again, or given up.

use sqlx::QueryBuilder;

use super::db::{Connection, Sql};
use super::parked::{COLUMNS, Stored};
use super::rows::ParkedRow;
use super::writer::Order;
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::setting::SinkName;

/// A retried delivery begins anew: no attempts, and its age counts from now, else `max_age` would end it at once.
pub(super) async fn retry(connection: &mut Connection, ids: Option<&[String]>, now: Timestamp) -> Result<u64, StoreError> {
    let mut count = 0;
    for ids in parts(ids) {
        // What is `dead` in the journal would count as done; as if never tried, it may act again.
        let mut query = QueryBuilder::new(
            "DELETE FROM journal WHERE progress = 'dead' AND (event_id, sink, target, generation) IN \
            (SELECT event_id, sink, target, generation FROM parked WHERE ",
        );
        push_which(&mut query, ids);
        query.push(")").build().execute(&mut *connection).await?;
        let mut query = QueryBuilder::new("UPDATE parked SET state = 'waiting', attempts = 0, not_before = ");
        query.push_bind(now.ms()).push(", first_at = ").push_bind(now.ms()).push(" WHERE ");
        push_which(&mut query, ids);
        count += query.build().execute(&mut *connection).await?.rows_affected();
    }
    Ok(count)
}

pub(super) async fn drop(connection: &mut Connection, ids: Option<&[String]>) -> Result<u64, StoreError> {
    let mut count = 0;
    for ids in parts(ids) {
        let mut query = QueryBuilder::new("DELETE FROM parked WHERE ");
        push_which(&mut query, ids);
        count += query.build().execute(&mut *connection).await?.rows_affected();
    }
    Ok(count)
}

/// All at once where no ids are given.
fn parts(ids: Option<&[String]>) -> Vec<Option<&[String]>> {
    ids.map_or_else(|| vec![None], |ids| set::lists(ids).map(Some).collect())
}

fn push_which(query: &mut QueryBuilder<Sql>, ids: Option<&[String]>) {
    query.push("state = 'dead'");
    if let Some(ids) = ids {
        query.push(" AND id IN ");
        set::push_list(query, ids);
    }
}

impl Store {
    /// Dead letters, oldest first.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<ParkedRow>, StoreError> {
        let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM parked WHERE state = 'dead' ORDER BY first_at, id LIMIT "));
        let rows: Vec<Stored> = query.push_bind(super::limit(limit)).build_query_as().fetch_all(self.readers()).await?;
        rows.into_iter().map(ParkedRow::try_from).collect()
    }

    pub async fn dead_letter(&self, id: &str) -> Result<Option<ParkedRow>, StoreError> {
        let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM parked WHERE state = 'dead' AND id = "));
        let row: Option<Stored> = query.push_bind(id).build_query_as().fetch_optional(self.readers()).await?;
        row.map(ParkedRow::try_from).transpose()
    }

    /// Dead letters per sink.
    pub async fn dead_counts(&self) -> Result<Vec<(SinkName, u64)>, StoreError> {
        let sql = "SELECT sink, count(*) FROM parked WHERE state = 'dead' GROUP BY sink ORDER BY sink";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(self.readers()).await?;
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
