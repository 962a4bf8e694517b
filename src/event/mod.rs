//! The published interface: what an event is, how it is identified, where it travels and how it is written down.
//!
//! Everything here is values: nothing reads a file, a clock or a socket. Ids and lanes live for ever and are frozen by golden vectors.

mod binary;
mod cloud;
mod data;
mod entity;
mod envelope;
mod identity;
mod json;
mod kind;
mod lane;
mod markup;
mod renewal;
mod shorten;

pub use binary::{Binary, BinaryError, binary, read_binary, read_unrecognized};
pub use cloud::{TYPE_PREFIX, TYPE_SUFFIX, read_structured, structured};
pub use data::{
    Actor, Category, Change, Data, Delivered, Issue, IssueType, Keyed, Named, Origin, Person, PersonKind, Project, ProjectKind, SprintRef,
    Status, Value,
};
pub use entity::{
    App, Attachment, Board, Comment, CommentVisibility, Entity, Filter, IssueTypeEntity, Link, OptionChange, Property, Report, Sprint,
    SprintState, Unrecognized, User, Version, VisibilityKind, Worklog,
};
pub use envelope::{DecodeError, Envelope};
pub use identity::{EventId, encode_part, hash16, person_hash};
pub use json::{Members, is_readable};
pub use kind::Kind;
pub use lane::{LaneCount, LaneId, PartitionKey, Position};
pub use markup::{Markup, ToMarkdown};
pub use renewal::{Came, Detail, Renew};

use serde::{Deserialize, Serialize};

use crate::setting::{BaseUrl, ConnectionName};

/// One thing that happened in Jira, normalized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub connection: ConnectionName,
    /// The base URL of the connection.
    pub source: BaseUrl,
    /// The issue's key if there is one, else `<entity>:<id>`.
    pub subject: String,
    pub partition_key: PartitionKey,
    pub secrecy: Secrecy,
    pub data: Data,
}

/// What a body or a REST answer said about who may see it, beyond what the data show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrecy {
    /// Whether it said if the issue has a security level: a `null` level in the data means "none" only then.
    pub level_known: bool,
    /// The issue's project, or the project that the event is about, is private.
    pub project_private: bool,
}

impl Event {
    pub fn kind(&self) -> Kind {
        self.data.kind
    }

    /// The id of the issue that the event belongs to.
    pub fn issue_id(&self) -> Option<&str> {
        self.data.issue.as_ref().map(|issue| issue.id.as_str())
    }

    /// The attribute `twrestricted`: what the event itself tells. The guard may learn more from Jira.
    pub fn restricted(&self) -> Restricted {
        let data = &self.data;
        let by_level = data.issue.as_ref().is_some_and(|issue| issue.security.is_some());
        let (by_visibility, internal) = match &data.entity {
            Some(Entity::Comment(comment)) => (comment.visibility.is_some(), comment.internal),
            Some(Entity::Worklog(worklog)) => (worklog.visibility.is_some(), Some(false)),
            _ => (false, Some(false)),
        };
        if by_level || by_visibility || internal == Some(true) || self.secrecy.project_private {
            return Restricted::Yes;
        }
        let unknown = internal.is_none() || (data.issue.is_some() && !self.secrecy.level_known);
        if unknown { Restricted::Unknown } else { Restricted::No }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restricted {
    Yes,
    No,
    Unknown,
}

impl Restricted {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}
