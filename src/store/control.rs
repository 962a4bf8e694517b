//! Control rows: orders and states that rooms watch, so that command line, API and console command without knowing them.

use super::db::Connection;
use super::writer::Order;
use super::{Store, StoreError};
use crate::clock::Timestamp;

pub(super) async fn put(connection: &mut Connection, name: &str, value: Option<&str>, at: Timestamp) -> Result<u64, StoreError> {
    let query = match value {
        Some(value) => {
            let sql = "INSERT INTO control (name, value, at) VALUES ($1, $2, $3) \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";
            sqlx::query(sql).bind(name.to_owned()).bind(value.to_owned()).bind(at.ms())
        }
        None => sqlx::query("DELETE FROM control WHERE name = $1").bind(name.to_owned()),
    };
    Ok(query.execute(connection).await?.rows_affected())
}

/// A write that costs nothing and changes nothing that anybody reads.
pub(super) async fn beat(connection: &mut Connection) -> Result<u64, StoreError> {
    let sql = "INSERT INTO health (name, beats) VALUES ('store', 1) ON CONFLICT (name) DO UPDATE SET beats = health.beats + 1";
    Ok(sqlx::query(sql).execute(connection).await?.rows_affected())
}

impl Store {
    /// A control row: an order or a state that rooms watch. None where it was never given.
    pub async fn control(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM control WHERE name = $1").bind(name).fetch_optional(self.readers()).await?)
    }

    /// Sets or removes a control row and wakes who watches.
    pub async fn set_control(&self, name: &str, value: Option<&str>, at: Timestamp) -> Result<(), StoreError> {
        let order = Order::SetControl { name: name.to_owned(), value: value.map(str::to_owned), at };
        self.order_and_wake(order).await.map(drop)
    }
}
