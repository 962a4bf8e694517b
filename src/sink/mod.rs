//! Destinations. Every sink has the same parts: `Settings` (what a user writes), `build`, and the trait below.
//!
//! A sink never sleeps to keep a pace, never retries, never remembers: it tries once and says how it went. Waiting, order,
//! parking and the journal belong to `deliver`.

mod address;
pub mod amqp;
mod broker;
mod build_error;
mod clearance;
pub mod file;
pub mod http;
pub mod kafka;
mod lines;
mod outgoing;
#[cfg(test)]
pub(crate) mod sample;
pub mod shadow;
pub mod slack;
pub mod stdout;
pub mod tickets;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::event::{Envelope, Event};
use crate::jira::SeenIssue;
use crate::setting::SinkName;

pub use build_error::BuildError;
pub use clearance::Clearance;

/// A delivery that has all it needs: what a sink is handed.
#[derive(Debug, Clone)]
pub struct Enriched {
    pub envelope: Arc<Envelope>,
    /// The envelope's event, or that event with what enrichment added.
    pub event: Arc<Event>,
    /// The rule that sent it; none where the sink gets everything.
    pub rule: Option<Arc<str>>,
    /// The place inside the sink: a channel, a URL; the sink's own name where it has only one.
    pub target: Arc<str>,
    /// 0 on the way in; a replay that delivers everything once more has one of its own.
    pub generation: u32,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// The issue as it was read for this event, if it was.
    pub seen: Option<Arc<SeenIssue>>,
    /// What a rule composed, for sinks that send messages.
    pub message: Option<Message>,
}

/// A message as its rule composed it, already written and escaped in the sink's dialect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    pub text: String,
    pub blocks: Option<serde_json::Value>,
    pub username: Option<String>,
    pub icon_url: Option<String>,
    pub attachments: Option<serde_json::Value>,
    /// The message that it answers, as the other side calls it.
    pub thread: Option<String>,
}

/// What a sink is like, which decides how `deliver` treats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Doing it twice is harmless: no record before the act, only after.
    pub repeatable: bool,
    /// The effect and the journal are one transaction: the sink writes the journal row itself.
    pub records_itself: bool,
    /// How many deliveries it takes at once; 1: one at a time for each partition key, keys side by side.
    pub batch: usize,
    /// Needs a composed message, and gets nothing but what rules send.
    pub for_people: bool,
}

/// The delivery is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the sink itself asked Jira told that it has no place for the event, which `Sink::takes` could not know.
    pub not_taken: bool,
    /// The message whose thread it is in: its own name where it begins one. None: there are no threads.
    pub thread: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Nothing can be delivered to this sink.
    Sink,
    /// Nothing can be delivered to this target; for `Refused`: this delivery will never be taken there.
    Target,
}

/// Why a delivery did not succeed; each variant says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// Wait: never counted, never a dead letter by itself.
    #[error("{reason}")]
    Unavailable { scope: Scope, retry_after: Option<Duration>, reason: String },
    /// The request may have arrived, and no whole answer came back: wait as for a sink that is not available, but it may be done already.
    #[error("{reason}")]
    Unanswered { reason: String },
    /// Count, and try again later.
    #[error("{reason}")]
    Failed { reason: String },
    /// Waiting does not help: a dead letter (`Target`), or the sink is paused until somebody mends it (`Sink`).
    #[error("{reason}")]
    Refused { scope: Scope, reason: String },
}

impl SinkError {
    /// Whether nothing can have come of it: there was no connection, or the other side answered in full that it does not take it.
    pub fn certainly_not_sent(&self) -> bool {
        !matches!(self, Self::Unanswered { .. })
    }

    /// The same of a call that only asked something: whatever became of it, nothing was sent.
    pub fn of_a_question(self) -> Self {
        match self {
            Self::Unanswered { reason } => Self::Unavailable { scope: Scope::Sink, retry_after: None, reason },
            other => other,
        }
    }
}

#[async_trait]
pub trait Sink: Send + Sync {
    fn name(&self) -> &SinkName;

    fn traits(&self) -> Traits;

    /// Whether it has a place for such an event; Err: why not, as `trace` shows it (`filtered (...)`).
    fn takes(&self, _event: &Event) -> Result<(), &'static str> {
        Ok(())
    }

    /// Whether it only records what it would do: what it takes was not delivered.
    fn is_shadow(&self) -> bool {
        false
    }

    /// A message as it goes out, as far as that is known without asking anybody: what it leaves open is as the sink's settings say.
    fn completed(&self, message: &Message) -> Message {
        message.clone()
    }

    /// One answer per delivery, in order. Cancelling it loses the answers, never the process's own consistency.
    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>>;

    /// Whether it can be reached, for `check`.
    async fn check(&self) -> Result<(), SinkError>;

    /// Asked again and again while it does not answer, before anything more is sent: whoever is on the other side must see nothing of it.
    async fn is_there(&self) -> Result<(), SinkError> {
        self.check().await
    }
}
