//! What the API can do, as a port: the room that knows all others (`app`) fills it in. The views are the API's and the command line's.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::setting::SinkName;

/// Why an operation did not happen, by what to tell.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Unavailable(String),
}

pub type Outcome<T> = Result<T, OperationError>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SinkView {
    pub name: SinkName,
    #[serde(rename = "type")]
    pub kind: String,
    /// `running` or `paused`.
    pub state: String,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueRow {
    /// A sink, or `_archive`.
    pub sink: String,
    pub lane: u16,
    /// Events not yet passed plus parked deliveries.
    pub waiting: u64,
    pub oldest_seconds: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterView {
    pub id: String,
    pub event_id: String,
    pub sink: SinkName,
    pub target: String,
    pub rule: Option<String>,
    pub reason: String,
    pub attempts: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleView {
    pub name: String,
    pub enabled: bool,
    pub when: String,
    pub sinks: Vec<SinkName>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionView {
    pub name: String,
    pub url: String,
    /// Whether it has a credential: without one events are received, nothing is enriched.
    pub asks_jira: bool,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    Ids(Vec<String>),
    All(bool),
}

/// `/readyz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Readiness {
    /// `ready` or `not ready`.
    pub status: String,
    pub config: String,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub ready: bool,
    pub since: Timestamp,
}

/// Metrics and readiness are in every process; what is not implemented is answered by another.
#[async_trait]
pub trait Operations: Send + Sync {
    /// The exposition of all metrics.
    async fn metrics(&self) -> String;
    async fn readiness(&self) -> Readiness;
    /// Events of an issue with what became of each; empty for a key that never was.
    async fn trace(&self, _key: &str) -> Outcome<Value> {
        elsewhere()
    }
    /// The newest events with what became of each, newest first.
    async fn events(&self, _limit: usize) -> Outcome<Value> {
        elsewhere()
    }
    async fn dead_letters(&self, _limit: usize) -> Outcome<Vec<DeadLetterView>> {
        elsewhere()
    }
    /// A dead letter with its event.
    async fn dead_letter(&self, _id: &str) -> Outcome<Value> {
        elsewhere()
    }
    async fn retry_dead(&self, _which: &Selection) -> Outcome<u64> {
        elsewhere()
    }
    async fn drop_dead(&self, _which: &Selection) -> Outcome<u64> {
        elsewhere()
    }
    async fn sinks(&self) -> Outcome<Vec<SinkView>> {
        elsewhere()
    }
    async fn pause_sink(&self, _name: &str, _reason: &str) -> Outcome<SinkView> {
        elsewhere()
    }
    async fn resume_sink(&self, _name: &str) -> Outcome<SinkView> {
        elsewhere()
    }
    async fn queue(&self) -> Outcome<Vec<QueueRow>> {
        elsewhere()
    }
    async fn rules(&self) -> Outcome<Vec<RuleView>> {
        elsewhere()
    }
    async fn connections(&self) -> Outcome<Vec<ConnectionView>> {
        elsewhere()
    }
}

fn elsewhere<T>() -> Outcome<T> {
    Err(OperationError::Unavailable("this process has not the role `console`: ask one that has".to_owned()))
}
