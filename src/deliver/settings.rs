//! What a user writes about rules and about delivery.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::setting::{SinkName, Span};

/// `[deliver]`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many envelopes a lane looks at together, 1 to 16. Lanes times window is what a crash may repeat at each sink.
    pub window: usize,
    /// How long a sink's lanes wait for its return before what they hold is parked.
    pub hold_in_lane: Span,
    /// How often a delivery may fail before it is a dead letter. Outages do not count.
    pub max_tries: u32,
    /// Ends waiting deliveries as dead, counted from when they first had to wait, for whatever reason. Unset: an outage waits for ever.
    pub max_age: Option<Span>,
    /// What to do with a delivery of which nobody knows whether it happened, after a crash or a lost answer.
    pub on_unknown: OnUnknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Rather twice than not at all.
    Repeat,
    /// Rather not at all than twice: a dead letter that a person decides about.
    Dead,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: 16, hold_in_lane: Span::seconds(30), max_tries: 6, max_age: None, on_unknown: OnUnknown::Repeat }
    }
}

/// `[rule."NAME"]`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// A CEL expression over the event; without it there is `jql`.
    pub when: Option<String>,
    /// A query that Jira answers for the event's issue, where `when` holds.
    pub jql: Option<String>,
    /// Where matching events go.
    pub send: Vec<SendSettings>,
    /// Whether the rule is in force; `ticketwire rule enable` and `disable` override it.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Read-only questions to Jira by name, at most four; templates show the answers as `lookup.NAME`.
    #[serde(default)]
    pub lookup: BTreeMap<String, LookupSettings>,
}

impl RuleSettings {
    pub fn new(when: impl Into<String>, send: Vec<SendSettings>) -> Self {
        Self { when: Some(when.into()), jql: None, send, enabled: enabled(), lookup: BTreeMap::new() }
    }
}

/// One entry of a rule's `lookup`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path as a text, or `{ path = \"/rest/...\", unguarded = true }`")]
pub enum LookupSettings {
    /// What follows the connection's `url`, from `/rest/` on, with `{{ ... }}` for values.
    Path(String),
    Table(LookupTable),
}

#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupTable {
    /// What follows the connection's `url`, from `/rest/` on, with `{{ ... }}` for values.
    pub path: String,
    /// Shows the answer also where the sink is not cleared for what may stand in it.
    #[serde(default)]
    pub unguarded: bool,
}

impl LookupSettings {
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Table(LookupTable { path, .. }) => path,
        }
    }

    pub fn is_unguarded(&self) -> bool {
        matches!(self, Self::Table(LookupTable { unguarded: true, .. }))
    }
}

fn enabled() -> bool {
    true
}

/// One entry of a rule's `send`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendSettings {
    /// The sink.
    pub to: SinkName,
    /// A channel, a user's id, or `@assignee`, `@reporter`, `@creator`, `@actor`; the sink's channel if it is left out.
    pub channel: Option<String>,
    /// The name under which the message appears; that of the sink if it is left out.
    pub username: Option<String>,
    /// The picture beside the message; that of the sink if it is left out.
    pub icon_url: Option<String>,
    /// A minijinja template; the ready-made message where there is none.
    pub template: Option<String>,
    /// Slack blocks; texts in them are templates.
    #[schemars(with = "Option<serde_json::Value>")]
    pub blocks: Option<serde_json::Value>,
    /// Slack attachments, likewise.
    #[schemars(with = "Option<serde_json::Value>")]
    pub attachments: Option<serde_json::Value>,
    /// Events of one issue by one person that come within this span become one message. Unset: `2s` for the ready-made message, `0s` for
    /// a template of one's own.
    pub settle: Option<Span>,
    /// Puts what is said of one issue into one thread.
    pub thread: Option<Thread>,
}

impl SendSettings {
    /// Nothing but where to.
    pub fn to(sink: SinkName) -> Self {
        Self {
            to: sink,
            channel: None,
            username: None,
            icon_url: None,
            template: None,
            blocks: None,
            attachments: None,
            settle: None,
            thread: None,
        }
    }
}

/// What a thread is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Thread {
    Issue,
}
