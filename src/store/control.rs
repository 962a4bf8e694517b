//! Control rows: orders and states that rooms watch, so that command line, API and console command without knowing them.
//!
//! Every order counts in one row, by which processes that share a database notice each other's.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::db::{Connection, Statement};
use super::writer::Order;
use super::{Shared, Store, StoreError};
use crate::clock::Timestamp;

/// How long an order may go unnoticed by the other processes.
const LISTENED_EVERY: Duration = Duration::from_secs(2);

pub(super) async fn put(connection: &mut Connection, name: &str, value: Option<&str>, at: Timestamp) -> Result<u64, StoreError> {
    let sql = "INSERT INTO control (name, value, at) VALUES (?, ?, ?) \
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";
    let statement = match value {
        Some(value) => Statement::new(sql).bind(name).bind(value).bind(at.ms()),
        None => Statement::new("DELETE FROM control WHERE name = ?").bind(name),
    };
    connection.execute(statement).await
}

/// A write that costs nothing and changes nothing that anybody reads.
pub(super) async fn beat(connection: &mut Connection) -> Result<u64, StoreError> {
    let sql = "INSERT INTO health (name, beats) VALUES ('store', 1) ON CONFLICT (name) DO UPDATE SET beats = health.beats + 1";
    connection.execute(Statement::new(sql)).await
}

/// Counts an order, in its transaction.
pub(super) async fn tell(connection: &mut Connection) -> Result<(), StoreError> {
    let sql = "INSERT INTO health (name, beats) VALUES ('orders', 1) ON CONFLICT (name) DO UPDATE SET beats = health.beats + 1";
    connection.execute(Statement::new(sql)).await.map(drop)
}

/// Wakes who watches whenever another process gave an order, until the store is closed.
pub(super) async fn listen(shared: Weak<Shared>, stop: CancellationToken) {
    let mut known = None;
    while let Some(store) = shared.upgrade().filter(|shared| !shared.writer.is_closed()).map(|shared| Store { shared }) {
        // Those of this process woke everybody already. If one comes between the two numbers, they are woken once more.
        let own = store.shared.own_orders.load(Ordering::Relaxed);
        if let Ok(counted) = store.fetch_one::<(i64,)>(Statement::new("SELECT beats FROM health WHERE name = 'orders'")).await {
            let others = counted.map_or(0, |(all,)| all).wrapping_sub(own);
            if known.replace(others).is_some_and(|known| known != others) {
                store.shared.orders.send_modify(|orders| *orders = orders.wrapping_add(1));
            }
        }
        drop(store);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LISTENED_EVERY) => {}
        }
    }
}

impl Store {
    /// A control row: an order or a state that rooms watch. None where it was never given.
    pub async fn control(&self, name: &str) -> Result<Option<String>, StoreError> {
        let value: Option<(String,)> = self.fetch_one(Statement::new("SELECT value FROM control WHERE name = ?").bind(name)).await?;
        Ok(value.map(|(value,)| value))
    }

    /// All control rows whose names begin so.
    pub async fn controls(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let like = format!("{prefix}%");
        let statement = Statement::new("SELECT name, value FROM control WHERE name LIKE ? ORDER BY name").bind(like.as_str());
        let rows: Vec<(String, String)> = self.fetch(statement).await?;
        // `LIKE` knows wildcards, and on SQLite no case.
        Ok(rows.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect())
    }

    /// Sets or removes a control row and wakes who watches.
    pub async fn set_control(&self, name: &str, value: Option<&str>, at: Timestamp) -> Result<(), StoreError> {
        let order = Order::SetControl { name: name.to_owned(), value: value.map(str::to_owned), at };
        self.order_and_wake(order).await.map(drop)
    }
}
