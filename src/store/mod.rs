//! What we know: archive, journal, parked deliveries, control rows and tickets in one SQL database.
//!
//! One struct over SQLite and Postgres, whose differences only `db` knows. One writer task per process commits whatever waits together
//! (group commit): a caller's `Write` is whole or not at all, and its answer comes after the commit. What is read is what was committed.
//! Several processes may share a Postgres: whatever order their writes come in, the rows end the same.

mod archive;
mod control;
mod db;
mod dead;
mod events;
mod journal;
mod lead;
mod parked;
mod people;
mod replays;
mod road;
mod rows;
mod set;
mod settings;
mod shadows;
mod threads;
mod ticket_effects;
mod tickets;
mod waiting;
mod workers;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use db::{Look, Tables};
pub use lead::Lead;
pub use rows::{
    ArchiveRow, Archived, ChangeRow, CommentRow, DeadFilter, DeadSelection, DeliveryKey, Due, Ended, EventFilter, EventPlace, JournalRow,
    Parked, ParkedRow, ParkedState, Progress, ProjectRow, Replay, ReplayCounts, ReplayLane, ReplayPlace, ReplayState, ReplayStep,
    ShadowFilter, ShadowRow, ThreadRow, TicketEffect, TicketRow, UserRow, Version, Waiting, WaitingKey, Write,
};
pub use settings::{Settings, Wrong};
pub use tickets::{HeldTicket, TicketView};
pub use workers::Worker;

use crate::clock::Timestamp;
use crate::setting::SinkName;
use crate::shutdown::Tasks;

use db::{Db, Record, Statement};
use writer::{Command, Order, Prepared, Writer};

/// Rows that one step of `expire` deletes: others write between two steps.
const EXPIRED_AT_ONCE: i64 = 500;

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A passing fault (busy, disk full): nothing was written; try again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// Only a person can mend it.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    /// The store is well and will never take this write: what is in it is at fault. Others are taken.
    #[error("the store does not take it: {0}")]
    Rejected(String),
}

/// A handle; clones share one writer and its readers.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    writer: mpsc::Sender<Command>,
    orders: watch::Sender<u64>,
    own_orders: AtomicI64,
    tasks: Tasks,
    archive_retention: Duration,
    journal_retention: Duration,
}

impl Store {
    /// Opens and migrates. `tasks` runs the writer, which ends by `close`, or when the last handle is dropped, and not by the group's
    /// token: what is finished while stopping still has to be written.
    pub async fn open(settings: &Settings, data_dir: &Path, tasks: &Tasks) -> Result<Self, StoreError> {
        let (db, connection) = Db::open(settings, data_dir).await?;
        let (sender, inbox) = mpsc::channel(writer::INBOX);
        tasks.spawn("store writer", Writer { db: db.clone(), connection: Some(connection), inbox }.run());
        let shared = Shared {
            db,
            writer: sender,
            orders: watch::channel(0).0,
            own_orders: AtomicI64::new(0),
            tasks: tasks.clone(),
            archive_retention: settings.archive_retention.0,
            journal_retention: settings.journal_retention.0,
        };
        let store = Self { shared: Arc::new(shared) };
        if store.is_shared() {
            tasks.spawn("store orders", control::listen(Arc::downgrade(&store.shared), tasks.token().clone()));
        }
        Ok(store)
    }

    /// What can be seen of it without changing it: whether it can be reached, and whose tables it has.
    pub async fn look(settings: &Settings, data_dir: &Path) -> Result<Look, StoreError> {
        db::look(settings, data_dir).await
    }

    /// Whether other processes may use it too.
    pub fn is_shared(&self) -> bool {
        self.shared.db.is_shared()
    }

    /// Committed when this returns. A caller that stops waiting does not know whether it was.
    pub async fn write(&self, mut write: Write) -> Result<(), StoreError> {
        if write.is_empty() {
            return Ok(());
        }
        let archive = archive::pack(std::mem::take(&mut write.archive)).await?;
        let write = Box::new(Prepared { archive, rest: write });
        self.send(|answer| Command::Write(write, answer)).await
    }

    /// Whether a write would succeed now.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.order(Order::Check).await.map(drop)
    }

    /// Changes whenever a control row or a dead letter's state was changed, or a replay was ordered: at once through this process, within seconds through another.
    pub fn orders(&self) -> watch::Receiver<u64> {
        self.shared.orders.subscribe()
    }

    /// Deletes what is older than its retention, in small steps. Returns how many rows went.
    pub async fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        let before = |retention: Duration| Timestamp::from_ms(now.ms() - i64::try_from(retention.as_millis()).unwrap_or(i64::MAX / 2));
        let (archive, journal) = (before(self.shared.archive_retention), before(self.shared.journal_retention));
        let mut count = self.expire_all(|| Order::ExpireArchive { before: archive, limit: EXPIRED_AT_ONCE }).await?;
        count += self.expire_all(|| Order::ExpireJournal { before: journal, limit: EXPIRED_AT_ONCE }).await?;
        count += self.expire_all(|| Order::ExpireShadows { before: journal, limit: EXPIRED_AT_ONCE }).await?;
        count += self.order(Order::ExpireThreads { before: journal }).await?;
        self.expire_workers(now).await?;
        self.order(Order::ExpireReplays { before: journal }).await?;
        Ok(count)
    }

    /// Commits what waits and closes. Later writes are told that the store is not available.
    pub async fn close(&self, deadline: Duration) {
        let closing = async {
            let _ = self.send(Command::Close).await;
            self.shared.db.close().await;
        };
        if tokio::time::timeout(deadline, closing).await.is_err() {
            tracing::warn!("the store did not close in time; what was answered is committed");
        }
    }

    async fn expire_all(&self, step: impl Fn() -> Order) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let gone = self.order(step()).await?;
            count += gone;
            if gone < EXPIRED_AT_ONCE.unsigned_abs() {
                return Ok(count);
            }
        }
    }

    async fn order(&self, order: Order) -> Result<u64, StoreError> {
        self.send(|answer| Command::Order(order, answer)).await
    }

    async fn order_and_wake(&self, order: Order) -> Result<u64, StoreError> {
        let count = self.order(order).await?;
        self.shared.own_orders.fetch_add(1, Ordering::Relaxed);
        self.shared.orders.send_modify(|orders| *orders = orders.wrapping_add(1));
        Ok(count)
    }

    async fn send<T>(&self, command: impl FnOnce(writer::Answer<T>) -> Command) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("it is closed".into());
        let (answer, answered) = oneshot::channel();
        self.shared.writer.send(command(answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn fetch<R: Record>(&self, statement: Statement<'_>) -> Result<Vec<R>, StoreError> {
        self.shared.db.fetch(statement).await
    }

    /// The first row, of statements that give one at most.
    async fn fetch_one<R: Record>(&self, statement: Statement<'_>) -> Result<Option<R>, StoreError> {
        Ok(self.fetch(statement).await?.into_iter().next())
    }
}

/// A sink's name as it was stored.
fn sink(text: &str) -> Result<SinkName, StoreError> {
    let archive = SinkName::archive();
    if text == archive.as_str() {
        return Ok(archive);
    }
    text.parse().map_err(|err| StoreError::Unusable(format!("a stored sink has no name: {err}")))
}

/// A small number as it was stored.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

/// As a parameter of `LIMIT`.
fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
