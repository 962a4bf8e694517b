//! The member that an event has besides the common ones, named after its entity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keyed, Person, PersonKind};
use crate::clock::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    Comment(Comment),
    Worklog(Worklog),
    Attachment(Attachment),
    Link(Link),
    Sprint(Sprint),
    Board(Board),
    Version(Version),
    User(User),
    Filter(Filter),
    Issuetype(IssueTypeEntity),
    Property(Property),
    Option(OptionChange),
    App(App),
    Unrecognized(Unrecognized),
    Report(Report),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comment {
    pub id: String,
    pub author: Option<Person>,
    pub editor: Option<Person>,
    /// Markdown.
    pub body: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    /// Whom it is restricted to.
    pub visibility: Option<CommentVisibility>,
    /// An internal note of a service desk; `null`: not known.
    pub internal: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommentVisibility {
    pub kind: VisibilityKind,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VisibilityKind {
    Role,
    Group,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worklog {
    pub id: String,
    pub author: Option<Person>,
    pub editor: Option<Person>,
    /// Markdown.
    pub body: Option<String>,
    pub seconds: Option<i64>,
    pub started_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub visibility: Option<CommentVisibility>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    pub id: String,
    pub name: Option<String>,
    pub mime_type: Option<String>,
    pub bytes: Option<i64>,
    pub author: Option<Person>,
    pub created_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub outward: Option<String>,
    pub inward: Option<String>,
    pub source: Keyed,
    pub destination: Keyed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sprint {
    #[serde(flatten)]
    pub now: SprintState,
    /// How it was before; only on `sprint.updated`.
    pub previous: Option<SprintState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SprintState {
    pub id: String,
    pub board_id: Option<String>,
    pub name: Option<String>,
    /// `future`, `active` or `closed`.
    pub state: Option<String>,
    pub goal: Option<String>,
    pub start_at: Option<Timestamp>,
    pub end_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Board {
    pub id: String,
    pub name: Option<String>,
    /// `scrum`, `kanban` or `simple`.
    pub kind: Option<String>,
    pub project_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    pub id: String,
    pub project_id: Option<String>,
    pub name: Option<String>,
    pub released: Option<bool>,
    pub archived: Option<bool>,
    pub release_on: Option<String>,
    /// The version that it was merged into; only on `version.merged`.
    pub merged_into_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub kind: PersonKind,
    pub active: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Filter {
    pub id: String,
    pub name: Option<String>,
    pub jql: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueTypeEntity {
    pub id: String,
    pub name: Option<String>,
    pub subtask: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Property {
    pub key: String,
    pub value: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptionChange {
    pub key: String,
    pub value: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    pub key: Option<String>,
}

/// Something authentic that could not be read as an event; the body itself is in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unrecognized {
    /// The body's `webhookEvent`, if it has one.
    pub event: Option<String>,
    /// Why it was not recognized.
    pub reason: String,
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub name: String,
    pub fired_at: Timestamp,
    pub position: u64,
    pub count: u64,
}
