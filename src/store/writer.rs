//! The one task that writes: it takes whatever waits, commits it together, and answers everybody after the commit.
//!
//! A write is whole or not at all. When a transaction of several is refused because of one, each gets a transaction of its own, so
//! that only the guilty one fails. It never retries by itself: a caller that is told `Unavailable` knows better when to come again.

use sqlx::{Connection as _, SqlStr};
use tokio::sync::{mpsc, oneshot};

use super::archive::{self, Packed};
use super::db::{self, Connection, Db};
use super::rows::Write;
use super::{StoreError, control, dead, journal, parked, tickets};
use crate::clock::Timestamp;

/// Writes in one transaction. More would only make everybody wait for the slowest.
const WRITES_MAX: usize = 256;
/// Rows in one transaction, but for a single write that has more.
const ROWS_MAX: usize = 4_096;
/// Writes that wait for the next transaction before callers wait to hand theirs over.
pub(super) const INBOX: usize = 512;

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Write(Box<Prepared>, Answer<()>),
    Order(Order, Answer<u64>),
    Close(Answer<()>),
}

/// A write whose envelopes are packed already.
pub(super) struct Prepared {
    pub(super) archive: Vec<Packed>,
    pub(super) rest: Write,
}

/// What is done in a transaction of its own; the answer is a number of rows.
pub(super) enum Order {
    Check,
    SetControl { name: String, value: Option<String>, at: Timestamp },
    RetryDead { ids: Option<Vec<String>>, now: Timestamp },
    DropDead { ids: Option<Vec<String>> },
    ExpireArchive { before: Timestamp, limit: i64 },
    ExpireJournal { before: Timestamp, limit: i64 },
}

pub(super) struct Writer {
    pub(super) db: Db,
    /// None after a fault: the next transaction connects again.
    pub(super) connection: Option<Connection>,
    pub(super) inbox: mpsc::Receiver<Command>,
}

/// What one transaction does.
enum Work<'a> {
    Writes(&'a [&'a Prepared]),
    Order(&'a Order),
}

impl Writer {
    /// Until it is asked to close, or nobody is left who could write.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.inbox.recv().await {
            if let Some(answer) = self.round(first).await {
                self.inbox.close();
                if let Some(connection) = self.connection.take()
                    && let Err(err) = connection.close().await
                {
                    tracing::warn!(error = %err, "the store was not closed cleanly; nothing is lost: {err}");
                }
                let _ = answer.send(Ok(()));
                return;
            }
        }
    }

    /// Takes what waits. Some: whoever asked to close.
    async fn round(&mut self, first: Command) -> Option<Answer<()>> {
        let (mut writes, mut rows, mut next) = (Vec::new(), 0, Some(first));
        while let Some(command) = next.take() {
            match command {
                Command::Write(write, answer) => {
                    rows += write.rows();
                    writes.push((write, answer));
                }
                Command::Order(order, answer) => {
                    self.commit(std::mem::take(&mut writes)).await;
                    let _ = answer.send(self.transaction(Work::Order(&order)).await);
                    return None;
                }
                Command::Close(answer) => {
                    self.commit(writes).await;
                    return Some(answer);
                }
            }
            if writes.len() < WRITES_MAX && rows < ROWS_MAX {
                next = self.inbox.try_recv().ok();
            }
        }
        self.commit(writes).await;
        None
    }

    async fn commit(&mut self, writes: Vec<(Box<Prepared>, Answer<()>)>) {
        if writes.is_empty() {
            return;
        }
        let together: Vec<&Prepared> = writes.iter().map(|(write, _)| &**write).collect();
        let outcome = self.transaction(Work::Writes(&together)).await.map(drop);
        if matches!(outcome, Err(StoreError::Unusable(_))) && writes.len() > 1 {
            for (write, answer) in writes {
                let _ = answer.send(self.transaction(Work::Writes(&[&write])).await.map(drop));
            }
            return;
        }
        for (_, answer) in writes {
            let _ = answer.send(outcome.clone());
        }
    }

    async fn transaction(&mut self, work: Work<'_>) -> Result<u64, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.db.connect().await?,
        };
        let outcome = within_transaction(&mut connection, work).await;
        // After a fault of the disk nobody knows in which state the connection is; a new one costs a millisecond.
        if !matches!(outcome, Err(Fault { broken: true, .. })) {
            self.connection = Some(connection);
        }
        outcome.map_err(|fault| fault.error)
    }
}

struct Fault {
    error: StoreError,
    /// Whether the connection is left alone from now on.
    broken: bool,
}

async fn within_transaction(connection: &mut Connection, work: Work<'_>) -> Result<u64, Fault> {
    let broken = |error: StoreError| Fault { error, broken: true };
    let mut transaction = connection.begin_with(SqlStr::from_static(db::BEGIN)).await.map_err(|err| broken(err.into()))?;
    match perform(&mut transaction, work).await {
        Ok(count) => transaction.commit().await.map(|()| count).map_err(|err| broken(err.into())),
        Err(error) => {
            let rolled_back = transaction.rollback().await.is_ok();
            Err(Fault { broken: !rolled_back || matches!(error, StoreError::Unavailable(_)), error })
        }
    }
}

async fn perform(connection: &mut Connection, work: Work<'_>) -> Result<u64, StoreError> {
    match work {
        Work::Writes(writes) => apply(connection, writes).await.map(|()| 0),
        Work::Order(Order::Check) => control::beat(connection).await,
        Work::Order(Order::SetControl { name, value, at }) => control::put(connection, name, value.as_deref(), *at).await,
        Work::Order(Order::RetryDead { ids, now }) => dead::retry(connection, ids.as_deref(), *now).await,
        Work::Order(Order::DropDead { ids }) => dead::drop(connection, ids.as_deref()).await,
        Work::Order(Order::ExpireArchive { before, limit }) => archive::expire(connection, *before, *limit).await,
        Work::Order(Order::ExpireJournal { before, limit }) => journal::expire(connection, *before, *limit).await,
    }
}

/// The rows of all, table by table.
async fn apply(connection: &mut Connection, writes: &[&Prepared]) -> Result<(), StoreError> {
    let envelopes: Vec<&Packed> = writes.iter().flat_map(|write| &write.archive).collect();
    archive::keep(connection, &envelopes).await?;
    let rest = || writes.iter().map(|write| &write.rest);
    journal::record(connection, rest().flat_map(|write| &write.journal)).await?;
    parked::park(connection, rest().flat_map(|write| &write.park)).await?;
    let ended: Vec<&str> = rest().flat_map(|write| &write.unpark).map(String::as_str).collect();
    parked::unpark(connection, &ended).await?;
    parked::tried(connection, rest().flat_map(|write| &write.tried)).await?;
    for (waiting, until) in rest().flat_map(|write| &write.postpone) {
        parked::postpone(connection, waiting, *until).await?;
    }
    tickets::apply(connection, rest().flat_map(|write| &write.tickets)).await
}

impl Prepared {
    fn rows(&self) -> usize {
        let Write { archive: _, journal, park, unpark, tried, postpone, tickets } = &self.rest;
        self.archive.len() + journal.len() + park.len() + unpark.len() + tried.len() + postpone.len() + tickets.len()
    }
}
