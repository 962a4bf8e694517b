//! What the API answers and is asked, and what the command line reads and sends: one type for both, described in the OpenAPI document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::{EventId, Kind};
use crate::setting::{ConnectionName, SinkName};

/// An event; what it says is shown singly only, because it may be restricted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventRow {
    pub event_id: EventId,
    pub kind: Kind,
    pub connection: ConnectionName,
    /// As the event had it, else as other events of the issue had it.
    pub issue_key: Option<String>,
    pub received_at: Timestamp,
}

/// An event in a listing, with what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListedEvent {
    #[serde(flatten)]
    pub row: EventRow,
    pub deliveries: Vec<DeliveryView>,
}

/// An event with all that it says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShownEvent {
    #[serde(flatten)]
    pub row: EventRow,
    pub deliveries: Vec<DeliveryView>,
    /// The event as a structured CloudEvent, by `schemas/event.schema.json`. Its data have `raw`, Jira's own body, only if that was asked for.
    pub event: Value,
}

/// An event of an issue, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    pub event_id: EventId,
    pub kind: Kind,
    pub received_at: Timestamp,
    pub deliveries: Vec<DeliveryView>,
}

/// One delivery. `outcome` is `delivered`, `filtered`, `withheld`, `dead`, `parked`, `unknown` or `pending`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    pub sink: SinkName,
    pub target: String,
    pub rule: Option<String>,
    pub outcome: String,
    pub reason: Option<String>,
    pub at: Option<Timestamp>,
    pub attempts: u32,
    /// 0 for an event as it came, another for each `replay --again`.
    #[serde(default)]
    pub generation: u32,
    /// The id of the dead letter that it is.
    pub dead_letter: Option<String>,
}

/// Which events; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventQuery {
    /// As in `issue.created`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// A key that the issue has or had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// Received then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Received then or before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Which dead letters; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeadQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A part of the reason, in capitals or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tried for the last time then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// One page of a listing, and where the next begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<String>,
}

/// How many something was done to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SinkView {
    pub name: SinkName,
    #[serde(rename = "type")]
    pub kind: String,
    /// `running` or `paused`.
    pub state: String,
    pub reason: Option<String>,
    /// It records what it would send, and sends nothing.
    #[serde(default)]
    pub shadow: bool,
    /// Events that it has not passed plus parked deliveries; null where that cannot be told now.
    pub waiting: Option<u64>,
    /// Dead letters; null where that cannot be told now.
    pub dead: Option<u64>,
}

/// Which records of a sink in shadow mode; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShadowQuery {
    /// Recorded then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Recorded then or before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a sink in shadow mode would have sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShadowView {
    pub event_id: EventId,
    pub target: String,
    pub rule: Option<String>,
    /// When it would have been sent.
    pub at: Timestamp,
    /// 0 for an event as it came, another for each `replay --again`.
    pub generation: u32,
    /// None where the event itself is what is sent.
    pub message: Option<ShadowMessage>,
}

/// A message as it would have gone out. A mention stands as its mark, `<@jira:ACCOUNT|Name>`; a thread that would have begun has no name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShadowMessage {
    pub text: String,
    pub username: Option<String>,
    pub icon_url: Option<String>,
    pub blocks: Option<Value>,
    pub attachments: Option<Value>,
    /// The message that it would have answered.
    pub thread: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueRow {
    /// A sink, or `_archive`.
    pub sink: String,
    pub lane: u16,
    /// Events not yet passed plus parked deliveries.
    pub waiting: u64,
    pub oldest_seconds: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterView {
    pub id: String,
    pub event_id: String,
    /// As the event had it, else as other events of the issue had it.
    pub issue_key: Option<String>,
    pub sink: SinkName,
    pub target: String,
    pub rule: Option<String>,
    pub reason: String,
    /// Since it was last retried by hand.
    pub attempts: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// A dead letter with what its event says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ShownDeadLetter {
    #[serde(flatten)]
    pub letter: DeadLetterView,
    /// The event's data, by `schemas/event.schema.json`.
    pub event: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RuleView {
    pub name: String,
    pub enabled: bool,
    pub when: String,
    /// What Jira must say of the issue besides.
    #[serde(default)]
    pub jql: Option<String>,
    pub sinks: Vec<SinkName>,
    /// Who keeps the file that it stands in.
    #[serde(default)]
    pub owner: Option<String>,
    /// Where it stands, as in `rules.d/docs.toml:3`.
    #[serde(default)]
    pub place: String,
}

/// A place on the queue that no configured sink owns.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrphanView {
    pub sink: String,
    /// Events that it has not passed.
    pub waiting: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionView {
    pub name: String,
    pub url: String,
    /// Whether it has a credential: without one events are received, nothing is enriched.
    pub asks_jira: bool,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    Ids(Vec<String>),
    Matching(DeadQuery),
    All(bool),
}

/// An order to deliver from the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayOrder {
    pub since: Timestamp,
    /// Included; until now where it is not given.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Only what this rule sends.
    #[serde(default)]
    pub rule: Option<String>,
    /// Only to this sink.
    #[serde(default)]
    pub sink: Option<String>,
    /// Also redeliver what was already delivered.
    #[serde(default)]
    pub again: bool,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// A replay and how far it has come.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReplayView {
    pub id: String,
    /// `running`, `done` or `stopped`.
    pub state: String,
    pub since: Timestamp,
    pub until: Timestamp,
    pub rule: Option<String>,
    pub again: bool,
    pub dry_run: bool,
    pub ordered_at: Timestamp,
    pub sinks: Vec<ReplayedSink>,
}

/// What became of the events at one sink; in a dry run, what would.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedSink {
    pub sink: SinkName,
    /// Why nothing goes on, while the sink is paused.
    pub paused: Option<String>,
    pub events: u64,
    pub seen: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub withheld: u64,
    pub dead: u64,
    pub parked: u64,
    /// Ended before, or waiting already: left as they are.
    pub known: u64,
}

/// `/readyz`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    /// `ready` or `not ready`.
    pub status: String,
    pub config: String,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    pub name: String,
    pub ready: bool,
    pub since: Timestamp,
}
