//! What the API can do, as a port: the room that knows all others (`app`) fills it in.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::views::{
    ConnectionView, DeadLetterView, DeadQuery, EventQuery, EventRow, EventView, ListedEvent, OrphanView, Page, QueueRow, Readiness,
    ReplayOrder, ReplayView, RuleView, Selection, ShadowQuery, ShadowView, ShownDeadLetter, ShownEvent, SinkView,
};

/// Why an operation did not happen, by what to tell.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("{0}")]
    NotFound(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Unavailable(String),
}

pub type Outcome<T> = Result<T, OperationError>;

/// Metrics and readiness are in every process; what is not implemented is answered by another.
#[async_trait]
pub trait Operations: Send + Sync {
    /// The exposition of all metrics.
    async fn metrics(&self) -> String;
    async fn readiness(&self) -> Readiness;
    /// Events of an issue with what became of each; empty for a key that never was.
    async fn trace(&self, _key: &str) -> Outcome<Vec<EventView>> {
        not_in_this_role()
    }
    /// Events with what became of each, newest first.
    async fn events(&self, _which: &EventQuery, _cursor: Option<&str>, _limit: usize) -> Outcome<Page<ListedEvent>> {
        not_in_this_role()
    }
    async fn event(&self, _id: &str, _raw: bool) -> Outcome<ShownEvent> {
        not_in_this_role()
    }
    /// Events as they come, from now on or after the event with the mark `after`; each is given with its own mark.
    async fn tail(&self, _which: EventQuery, _after: Option<i64>) -> Outcome<BoxStream<'static, (i64, EventRow)>> {
        not_in_this_role()
    }
    /// Oldest first.
    async fn dead_letters(&self, _which: &DeadQuery, _cursor: Option<&str>, _limit: usize) -> Outcome<Page<DeadLetterView>> {
        not_in_this_role()
    }
    /// A dead letter with its event.
    async fn dead_letter(&self, _id: &str) -> Outcome<ShownDeadLetter> {
        not_in_this_role()
    }
    async fn retry_dead(&self, _which: &Selection) -> Outcome<u64> {
        not_in_this_role()
    }
    async fn drop_dead(&self, _which: &Selection) -> Outcome<u64> {
        not_in_this_role()
    }
    async fn order_replay(&self, _order: &ReplayOrder) -> Outcome<ReplayView> {
        not_in_this_role()
    }
    /// The newest orders, newest first.
    async fn replays(&self, _limit: usize) -> Outcome<Vec<ReplayView>> {
        not_in_this_role()
    }
    async fn replay(&self, _id: &str) -> Outcome<ReplayView> {
        not_in_this_role()
    }
    async fn stop_replay(&self, _id: &str) -> Outcome<ReplayView> {
        not_in_this_role()
    }
    async fn sinks(&self) -> Outcome<Vec<SinkView>> {
        not_in_this_role()
    }
    /// Without a reason the one that it is paused for already stays.
    async fn pause_sink(&self, _name: &str, _reason: Option<&str>) -> Outcome<SinkView> {
        not_in_this_role()
    }
    async fn resume_sink(&self, _name: &str) -> Outcome<SinkView> {
        not_in_this_role()
    }
    /// What a sink would have sent while it was in shadow mode, in that order.
    async fn shadows(&self, _name: &str, _which: &ShadowQuery, _cursor: Option<&str>, _limit: usize) -> Outcome<Page<ShadowView>> {
        not_in_this_role()
    }
    async fn queue(&self) -> Outcome<Vec<QueueRow>> {
        not_in_this_role()
    }
    /// Gives up the places of sinks that are not configured, unless it is only asked which they are.
    async fn prune_queue(&self, _dry_run: bool) -> Outcome<Vec<OrphanView>> {
        not_in_this_role()
    }
    async fn rules(&self) -> Outcome<Vec<RuleView>> {
        not_in_this_role()
    }
    async fn switch_rule(&self, _name: &str, _enabled: bool) -> Outcome<RuleView> {
        not_in_this_role()
    }
    async fn connections(&self) -> Outcome<Vec<ConnectionView>> {
        not_in_this_role()
    }
}

fn not_in_this_role<T>() -> Outcome<T> {
    Err(OperationError::Unavailable("this process has not the role `console`: ask one that has".to_owned()))
}
