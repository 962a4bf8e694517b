//! Publishing beside the road: events for an exchange or topic of somebody else's, which is neither made nor changed by us.
//!
//! CloudEvents in binary mode as on the road, without our own headers. Events of one partition key keep their order if whoever publishes
//! waits for each.

use async_trait::async_trait;

use crate::event::Envelope;

/// Why an event did not leave, by what to do next.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ExternalPublishError {
    /// Try again: the broker is away, or takes nothing now.
    #[error("{0}")]
    Unavailable(String),
    /// Only a person can mend it: nothing leaves this way until then.
    #[error("{0}")]
    Misconfigured(String),
    /// This event will never be taken there, others may be.
    #[error("{0}")]
    EventRejected(String),
}

#[async_trait]
pub trait ExternalPublisher: Send + Sync {
    /// Returns when the broker has it. A body that is too long is cut as on the road.
    async fn publish(&self, envelope: &Envelope) -> Result<(), ExternalPublishError>;

    /// Whether the broker lets us in and has the place.
    async fn check(&self) -> Result<(), ExternalPublishError>;
}
