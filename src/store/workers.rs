//! The processes that share the work: each tells from time to time that it lives, so that all can share out the lanes among those who do.

use sqlx::FromRow;

use super::db::{Connection, Statement};
use super::writer::Order;
use super::{Store, StoreError};
use crate::clock::Timestamp;

/// Who was not seen for so long does not live any more. Beats come several times as often; machines' clocks may differ by a part of it.
const LIVES_MS: i64 = 15_000;
/// Rows of the dead are kept for people to look at.
const KEPT_MS: i64 = 86_400_000;

/// A process that shares the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its own in the whole cluster; the same after a restart, if it is the same worker.
    pub name: String,
    /// What it shares with others: services on different roads may use one database.
    pub road: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    /// As `--role` has them, with commas between.
    pub roles: String,
}

pub(super) async fn beat(connection: &mut Connection, worker: &Worker) -> Result<u64, StoreError> {
    let sql = "INSERT INTO workers (name, road, started_at, seen_at, roles) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
        road = excluded.road, started_at = excluded.started_at, seen_at = excluded.seen_at, roles = excluded.roles";
    let statement = Statement::new(sql).bind(worker.name.as_str()).bind(worker.road.as_str()).bind(worker.started_at.ms());
    connection.execute(statement.bind(worker.seen_at.ms()).bind(worker.roles.as_str())).await
}

pub(super) async fn leave(connection: &mut Connection, name: &str) -> Result<u64, StoreError> {
    connection.execute(Statement::new("DELETE FROM workers WHERE name = ?").bind(name)).await
}

pub(super) async fn expire(connection: &mut Connection, before: Timestamp) -> Result<u64, StoreError> {
    connection.execute(Statement::new("DELETE FROM workers WHERE seen_at < ?").bind(before.ms())).await
}

#[derive(FromRow)]
struct Stored {
    name: String,
    road: String,
    started_at: i64,
    seen_at: i64,
    roles: String,
}

impl From<Stored> for Worker {
    fn from(row: Stored) -> Self {
        let (started_at, seen_at) = (Timestamp::from_ms(row.started_at), Timestamp::from_ms(row.seen_at));
        Self { name: row.name, road: row.road, started_at, seen_at, roles: row.roles }
    }
}

impl Store {
    /// This worker lives, as of `seen_at`.
    pub async fn beat(&self, worker: &Worker) -> Result<(), StoreError> {
        self.order(Order::Beat(worker.clone())).await.map(drop)
    }

    /// Who lives and shares this road, by name.
    pub async fn workers(&self, road: &str, now: Timestamp) -> Result<Vec<Worker>, StoreError> {
        let sql = "SELECT name, road, started_at, seen_at, roles FROM workers WHERE road = ? AND seen_at >= ? ORDER BY name";
        let rows: Vec<Stored> = self.fetch(Statement::new(sql).bind(road).bind(now.ms().saturating_sub(LIVES_MS))).await?;
        Ok(rows.into_iter().map(Worker::from).collect())
    }

    /// This worker lives no more, so that the others need not wait to find out.
    pub async fn leave(&self, name: &str) -> Result<(), StoreError> {
        self.order(Order::Leave { name: name.to_owned() }).await.map(drop)
    }

    pub(super) async fn expire_workers(&self, now: Timestamp) -> Result<(), StoreError> {
        let before = Timestamp::from_ms(now.ms().saturating_sub(KEPT_MS));
        self.order(Order::ExpireWorkers { before }).await.map(drop)
    }
}
