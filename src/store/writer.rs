//! The one task that writes: it takes whatever waits, commits it together, and answers everybody after the commit.
//!
//! A write is whole or not at all. When a transaction of several is rejected for what one of them holds, each gets a transaction of its
//! own, so that only the guilty one fails. A transaction that met one of another process is tried again; after any other fault a caller that
//! is told `Unavailable` knows better when to come again.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::archive::{self, Packed};
use super::db::{Connection, Db};
use super::rows::{DeadSelection, Replay, Write};
use super::{StoreError, Worker, control, dead, journal, parked, replays, road, shadows, threads, tickets, workers};
use crate::backoff::Backoff;
use crate::clock::Timestamp;
use crate::event::LaneCount;
use crate::setting::SinkName;

/// Writes in one transaction. More would only make everybody wait for the slowest.
const WRITES_MAX: usize = 256;
/// Rows in one transaction, but for a single write that has more.
const ROWS_MAX: usize = 4_096;
/// Writes that wait for the next transaction before callers wait to hand theirs over.
pub(super) const INBOX: usize = 512;
/// Transactions that meet are rare, because all go through their rows in one order.
const MEETINGS_MAX: u32 = 6;
const AFTER_MEETING: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));

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
    RetryDead { which: DeadSelection, now: Timestamp },
    DropDead { which: DeadSelection, now: Timestamp },
    GiveUp { sink: SinkName, at: Timestamp },
    EnterRoad { road: String, lanes: LaneCount, at: Timestamp },
    ExpireArchive { before: Timestamp, limit: i64 },
    ExpireJournal { before: Timestamp, limit: i64 },
    ExpireShadows { before: Timestamp, limit: i64 },
    ExpireThreads { before: Timestamp },
    Beat(Worker),
    Leave { name: String },
    ExpireWorkers { before: Timestamp },
    Replay { replay: Replay, again: bool, sinks: Vec<SinkName>, extents: Vec<replays::Extent> },
    StopReplay { id: String },
    ExpireReplays { before: Timestamp },
}

pub(super) struct Writer {
    pub(super) db: Db,
    /// None after a fault: the next transaction connects again.
    pub(super) connection: Option<Connection>,
    pub(super) inbox: mpsc::Receiver<Command>,
}

/// What one transaction does.
#[derive(Clone, Copy)]
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
                    && let Ok(Err(err)) = self.db.in_time(connection.close()).await
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
        if matches!(outcome, Err(StoreError::Rejected(_))) && writes.len() > 1 {
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
        let mut meetings = 0;
        loop {
            let mut connection = self.begun().await?;
            let outcome = match self.db.in_time(within_transaction(&mut connection, work)).await {
                Ok(outcome) => outcome,
                Err(error) => Err(Fault { error, broken: true }),
            };
            let is_beaten = outcome.is_err() && connection.is_beaten();
            // After a fault of the disk nobody knows in which state the connection is; a new one costs a millisecond.
            if !matches!(outcome, Err(Fault { broken: true, .. })) {
                self.connection = Some(connection);
            }
            if !is_beaten || meetings == MEETINGS_MAX {
                return outcome.map_err(|fault| fault.error);
            }
            meetings += 1;
            tokio::time::sleep(AFTER_MEETING.after(meetings)).await;
        }
    }

    /// A connection with a transaction that has begun.
    async fn begun(&mut self) -> Result<Connection, StoreError> {
        if let Some(mut connection) = self.connection.take() {
            match self.db.in_time(connection.begin()).await? {
                Ok(()) => return Ok(connection),
                Err(error) if !self.db.is_shared() => return Err(error),
                // A server, or what lies between, may have ended it while nobody used it. Nothing is lost: nothing was said on it yet.
                Err(_) => {}
            }
        }
        let mut connection = self.db.connect().await?;
        self.db.in_time(connection.begin()).await??;
        Ok(connection)
    }
}

struct Fault {
    error: StoreError,
    /// Whether the connection is left alone from now on.
    broken: bool,
}

/// Does the work and ends the transaction.
async fn within_transaction(connection: &mut Connection, work: Work<'_>) -> Result<u64, Fault> {
    match perform(connection, work).await {
        Ok(count) => connection.commit().await.map(|()| count).map_err(|error| Fault { error, broken: true }),
        Err(error) => {
            let rolled_back = connection.rollback().await.is_ok();
            let broken = !rolled_back || (matches!(error, StoreError::Unavailable(_)) && !connection.is_beaten());
            Err(Fault { broken, error })
        }
    }
}

async fn perform(connection: &mut Connection, work: Work<'_>) -> Result<u64, StoreError> {
    match work {
        Work::Writes(writes) => apply(connection, writes).await.map(|()| 0),
        Work::Order(Order::Check) => control::beat(connection).await,
        Work::Order(Order::SetControl { name, value, at }) => {
            control::tell(connection).await?;
            control::put(connection, name, value.as_deref(), *at).await
        }
        Work::Order(Order::RetryDead { which, now }) => {
            control::tell(connection).await?;
            dead::retry(connection, which, *now).await
        }
        Work::Order(Order::DropDead { which, now }) => {
            control::tell(connection).await?;
            dead::drop(connection, which, *now).await
        }
        Work::Order(Order::GiveUp { sink, at }) => {
            control::tell(connection).await?;
            parked::give_up(connection, sink, *at).await
        }
        Work::Order(Order::EnterRoad { road, lanes, at }) => {
            control::tell(connection).await?;
            road::enter(connection, road, *lanes, *at).await
        }
        Work::Order(Order::ExpireArchive { before, limit }) => archive::expire(connection, *before, *limit).await,
        Work::Order(Order::ExpireJournal { before, limit }) => journal::expire(connection, *before, *limit).await,
        Work::Order(Order::ExpireShadows { before, limit }) => shadows::expire(connection, *before, *limit).await,
        Work::Order(Order::ExpireThreads { before }) => threads::expire(connection, *before).await,
        Work::Order(Order::Beat(worker)) => workers::beat(connection, worker).await,
        Work::Order(Order::Leave { name }) => workers::leave(connection, name).await,
        Work::Order(Order::ExpireWorkers { before }) => workers::expire(connection, *before).await,
        Work::Order(Order::Replay { replay, again, sinks, extents }) => {
            control::tell(connection).await?;
            replays::order(connection, replay, *again, sinks, extents).await
        }
        Work::Order(Order::StopReplay { id }) => {
            control::tell(connection).await?;
            replays::stop(connection, id).await
        }
        Work::Order(Order::ExpireReplays { before }) => replays::expire(connection, *before).await,
    }
}

/// The rows of all, table by table.
async fn apply(connection: &mut Connection, writes: &[&Prepared]) -> Result<(), StoreError> {
    archive::keep(connection, writes.iter().flat_map(|write| &write.archive)).await?;
    let rest = || writes.iter().map(|write| &write.rest);
    journal::record(connection, rest().flat_map(|write| &write.journal)).await?;
    parked::park(connection, rest().flat_map(|write| &write.park)).await?;
    parked::unpark(connection, rest().flat_map(|write| &write.unpark)).await?;
    parked::tried(connection, rest().flat_map(|write| &write.tried)).await?;
    for (waiting, until) in rest().flat_map(|write| &write.postpone) {
        parked::postpone(connection, waiting, *until).await?;
    }
    shadows::record(connection, rest().flat_map(|write| &write.shadows)).await?;
    threads::begin(connection, rest().flat_map(|write| &write.threads)).await?;
    tickets::apply(connection, rest().flat_map(|write| &write.tickets)).await?;
    for step in rest().filter_map(|write| write.replay.as_ref()) {
        replays::stepped(connection, step).await?;
    }
    Ok(())
}

impl Prepared {
    fn rows(&self) -> usize {
        let Write { archive: _, journal, park, unpark, tried, postpone, shadows, threads, tickets, replay } = &self.rest;
        let sets = [journal.len(), park.len(), unpark.len(), tried.len(), postpone.len(), shadows.len(), threads.len(), tickets.len()];
        self.archive.len() + sets.iter().sum::<usize>() + usize::from(replay.is_some())
    }
}
