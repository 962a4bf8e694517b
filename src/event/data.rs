//! The data of an event, as published: every member is there, `null` (or an empty list) where it has no value; ids are text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entity, Kind, Members};
use crate::clock::Timestamp;

/// What an event says. Kinds other than `issue.*` and `project.*` have exactly one more member, named after their entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Data {
    pub kind: Kind,
    pub origin: Origin,
    /// By Jira's clock; the receipt time if Jira gave none.
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub jira: Delivered,
    pub actor: Option<Actor>,
    pub project: Option<Project>,
    pub issue: Option<Box<Issue>>,
    pub changes: Vec<Change>,
    /// What enrichment could not get.
    pub degraded: Vec<String>,
    #[serde(flatten)]
    pub entity: Option<Entity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Webhook,
    Import,
    Reconcile,
    Report,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Import => "import",
            Self::Reconcile => "reconcile",
            Self::Report => "report",
        }
    }
}

/// How Jira delivered it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivered {
    /// The body's `webhookEvent`.
    pub event: Option<String>,
    /// The body's `issue_event_type_name`, an open set.
    pub type_name: Option<String>,
    /// `X-Atlassian-Webhook-Identifier`: the same for every retry.
    pub identifier: Option<String>,
    /// `X-Atlassian-Webhook-Retry`: 0 on the first attempt.
    pub retry: u32,
    /// `X-Atlassian-Webhook-Flow` in lower case: `primary` or `secondary`.
    pub flow: Option<String>,
}

/// Who did it.
pub type Actor = Person;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// Account id on Cloud; user key, else name, elsewhere.
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub kind: PersonKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersonKind {
    Person,
    App,
    Customer,
    Unknown,
}

impl PersonKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::App => "app",
            Self::Customer => "customer",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    pub id: String,
    pub key: Option<String>,
    pub name: Option<String>,
    pub kind: ProjectKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    Software,
    Business,
    ServiceDesk,
    ProductDiscovery,
    Unknown,
}

impl ProjectKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Business => "business",
            Self::ServiceDesk => "service_desk",
            Self::ProductDiscovery => "product_discovery",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Issue {
    pub id: String,
    pub key: Option<String>,
    /// The page for people.
    pub url: Option<String>,
    /// The webhook carried a reduced issue, or only its id.
    pub partial: bool,
    #[serde(rename = "type")]
    pub kind: Option<IssueType>,
    pub summary: Option<String>,
    /// Markdown, made from wiki markup or an Atlassian document.
    pub body: Option<String>,
    pub status: Option<Status>,
    pub priority: Option<Named>,
    pub resolution: Option<Named>,
    pub assignee: Option<Person>,
    pub reporter: Option<Person>,
    pub creator: Option<Person>,
    pub labels: Vec<String>,
    pub components: Vec<Named>,
    pub fix_versions: Vec<Named>,
    pub affects_versions: Vec<Named>,
    pub sprints: Vec<SprintRef>,
    pub parent: Option<Keyed>,
    /// The security level; `null` means "none" only where `twrestricted` is not `unknown`.
    pub security: Option<Named>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    pub due_on: Option<String>,
    /// Custom fields by id, as Jira gave them.
    pub custom: Members,
}

impl Issue {
    /// An issue of which nothing but the id is known.
    pub fn only_id(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            key: None,
            url: None,
            partial: true,
            kind: None,
            summary: None,
            body: None,
            status: None,
            priority: None,
            resolution: None,
            assignee: None,
            reporter: None,
            creator: None,
            labels: Vec::new(),
            components: Vec::new(),
            fix_versions: Vec::new(),
            affects_versions: Vec::new(),
            sprints: Vec::new(),
            parent: None,
            security: None,
            created_at: None,
            updated_at: None,
            resolved_at: None,
            due_on: None,
            custom: Members::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueType {
    pub id: Option<String>,
    pub name: Option<String>,
    pub subtask: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub id: Option<String>,
    pub name: Option<String>,
    pub category: Option<Category>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    New,
    Indeterminate,
    Done,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Indeterminate => "indeterminate",
            Self::Done => "done",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    pub id: Option<String>,
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keyed {
    pub id: String,
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SprintRef {
    pub id: String,
    pub name: Option<String>,
    pub state: Option<String>,
    pub board_id: Option<String>,
}

/// One item of a changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The field id where Jira gives one, else the field's name.
    pub field: String,
    /// The field's name as Jira shows it.
    pub name: Option<String>,
    pub custom: bool,
    pub from: Option<Value>,
    pub to: Option<Value>,
}

/// One side of a change; absent where both are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Value {
    pub id: Option<String>,
    pub text: Option<String>,
}
