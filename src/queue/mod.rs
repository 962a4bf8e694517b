//! The road: numbered lanes, each a cursor with two verbs, look at the next few (`window`) and pass them (`advance`).
//!
//! # Contract (`tests/it/queue_contract.rs` runs one suite against every queue but `spool`, which stands before another and has its own)
//! 1. At least once: after `publish` returned, every subscribed sink sees the envelope until it advances past it, across crashes.
//! 2. In order within a lane, also across a change of owner: the last window may be shown again, nothing is skipped.
//! 3. One live owner per lane and sink.
//! 4. The lane depends on the partition key and the number of lanes only.
//! 5. Bounded: `Full`, never a drop.
//!
//! Absent on purpose: `nack`, `requeue`, `delay`, `dead_letter`: each exists on some brokers and means something else on the rest.

pub mod amqp;
pub mod embedded;
mod external_publisher;
pub mod kafka;
pub mod memory;
mod owners;
mod retrying_lane;
pub mod spool;
mod wrong;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use external_publisher::{ExternalPublishError, ExternalPublisher};
pub use retrying_lane::RetryingLane;
pub use wrong::Wrong;

use crate::clock::Timestamp;
use crate::event::{Detail, Envelope, LaneCount, LaneId, Position};
use crate::setting::SinkName;

/// An envelope as a lane shows it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub position: Position,
    pub envelope: Arc<Envelope>,
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// No room now: answer 503 and let Jira come again.
    #[error("the queue is full: {0}")]
    Full(String),
    /// Nothing can be stored now; whether it was is not known, so the sender must come again.
    #[error("the queue is not available: {0}")]
    Unavailable(String),
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum QueueError {
    /// The lane belongs to somebody else now, or the queue is closing: let go and subscribe again.
    #[error("the lane was taken back")]
    Lost,
    /// It works and takes nothing until there is room again.
    #[error("the queue is full: {0}")]
    Full(String),
    /// A passing fault: try again.
    #[error("the queue is not available: {0}")]
    Unavailable(String),
    /// Only a person can mend it.
    #[error("the queue cannot be used: {0}")]
    Unusable(String),
}

/// What waits for a sink in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub sink: SinkName,
    pub lane: LaneId,
    pub waiting: u64,
    /// When the oldest of them was received, if the queue can say.
    pub oldest: Option<Timestamp>,
}

/// The lanes that this process may own. Where several workers share a road, somebody above divides it and tells each its part; Kafka's
/// own groups do that among their members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Share {
    #[default]
    All,
    Lanes(BTreeSet<LaneId>),
}

impl Share {
    pub fn holds(&self, lane: LaneId) -> bool {
        match self {
            Self::All => true,
            Self::Lanes(lanes) => lanes.contains(&lane),
        }
    }
}

#[async_trait]
pub trait Queue: Send + Sync {
    fn lanes(&self) -> LaneCount;

    /// What tells it from another one that was in its place before; none: its address alone says which one it is.
    fn identity(&self) -> Option<String> {
        None
    }

    /// How much of an event `publish` needs. What comes out of a lane is whole in any case.
    fn detail(&self) -> Detail {
        Detail::Whole
    }

    /// Publishes a batch whose envelopes share one partition key; an empty batch is a no-op. Returns once the batch would survive a crash.
    /// On error it may nevertheless have been stored.
    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError>;

    /// A new name starts at the end, a known one where it stood. The place is durable when this returns.
    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError>;

    /// Makes a place for a sink that has none, as `subscribe` does, and leaves the work to other processes.
    async fn reserve(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.subscribe(sink).await.map(drop)
    }

    /// Gives up a sink's place: the next subscription of that name starts at the end.
    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError>;

    /// Of every sink that has a place, here or in another process.
    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError>;

    /// Sinks that have a place and are not among these: what waits for them is held for nobody until they are forgotten.
    async fn orphans(&self, configured: &[SinkName]) -> Result<Vec<SinkName>, QueueError> {
        let places: BTreeSet<SinkName> = self.backlog().await?.into_iter().map(|row| row.sink).collect();
        Ok(places.into_iter().filter(|sink| *sink != SinkName::archive() && !configured.contains(sink)).collect())
    }

    /// How far a sink has passed in a lane, if it has a place there: what `trace` calls pending lies beyond.
    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError>;

    /// Whether it would take an envelope now.
    async fn check(&self) -> Result<(), QueueError>;

    /// Writes down what only memory holds (cursors) and lets go of everything, within the deadline.
    async fn close(&self, deadline: Duration) -> Result<(), QueueError>;
}

#[async_trait]
pub trait Subscription: Send {
    /// The next lane to own: each lane once, and again after it was lost. Waits where there is none now. Cancel-safe.
    async fn next_lane(&mut self) -> Result<Box<dyn Lane>, QueueError>;
}

#[async_trait]
pub trait Lane: Send {
    fn id(&self) -> LaneId;

    /// Fires when the lane is taken back.
    fn taken(&self) -> CancellationToken;

    /// The first `limit` envelopes not yet passed, in order; waits for at least one; the same ones until `advance`. Cancel-safe.
    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError>;

    /// Passes everything up to and including `past`. Idempotent. Err: the lane is lost.
    async fn advance(&mut self, past: Position) -> Result<(), QueueError>;
}
