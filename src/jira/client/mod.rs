//! Jira's REST API: one client per connection, with its credential, its rate budget and its memory of issues.
//!
//! Callers never wait long: while Jira is down, slow or throttling, they are told so at once and when to come back.
//! No task of its own: a shared read is driven by whoever waits for it. Reads only.

mod budget;
mod comment;
mod endpoint;
mod error;
mod http;
mod issues;
mod jql;
mod limits;
mod lookup;
mod now;
mod probe;
mod read;
mod settings;
mod site;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::event::{Issue, Project, Secrecy, ToMarkdown};
use crate::setting::{BaseUrl, ConnectionName, PathSuffix};

pub use http::retry_after;
pub use lookup::{people, watchers_of};
pub use probe::{Field, FieldSchema, Myself, ServerInfo};
pub use settings::{Auth, Flavour, Settings};

use limits::Limits;
use site::Site;

/// An issue that somebody needs, read not before a moment.
#[derive(Debug, Clone)]
pub struct Want {
    pub issue_id: String,
    /// A remembered answer serves only if it was asked for after this; none: any answer of the last minute serves.
    pub after: Option<Instant>,
}

/// What somebody wants to know by a path of his own.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub path: PathSuffix,
    /// A remembered answer serves only if it was asked for after this.
    pub after: Instant,
}

/// Whether an issue satisfies a JQL.
#[derive(Debug, Clone)]
pub struct Match {
    pub issue_id: String,
    pub jql: Arc<str>,
    /// A remembered answer serves only if it was asked for after this.
    pub after: Instant,
}

/// To which project something belongs that is no issue: by the project's own id, or by that of a board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Project(String),
    Board(String),
}

/// Whether what belongs to a project may be told to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privacy {
    Open,
    /// The project is private.
    Private(Project),
    /// Not there, or not for our account, while our login is good.
    NotVisible,
}

/// What a comment or worklog is by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Talk {
    There {
        /// The role or group that it is restricted to.
        visible_to: Option<String>,
        is_internal: bool,
    },
    /// Deleted, or not for our account, while our login is good.
    Gone,
}

/// The JSON that Jira gave; none: it is not there, or not for our account.
pub type Found = Option<Arc<Value>>;

/// What Jira says of an issue.
#[derive(Debug, Clone)]
pub enum Sight {
    Seen(Arc<SeenIssue>),
    /// Not there, or not for our account, while our login is good.
    NotVisible,
}

#[derive(Debug)]
pub struct SeenIssue {
    pub issue: Issue,
    pub project: Option<Project>,
    pub secrecy: Secrecy,
    pub asked_at: Timestamp,
    pub asked: Instant,
}

/// Why Jira did not answer, by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JiraError {
    /// Wait: no connection, time-out, 429, 5xx, an answer that is not JSON.
    #[error("{reason}")]
    Unavailable { retry_after: Option<Duration>, reason: String },
    /// Our login is refused: waiting helps only after somebody mends it.
    #[error("{reason}")]
    Unauthorized { reason: String },
    /// Jira understood and refused, with this status; 0: it was not asked, because it would only refuse.
    #[error("{reason}")]
    Refused { status: u16, reason: String },
}

pub type Asked<T> = Result<T, JiraError>;

/// One site with one credential. Cheap to share behind an `Arc`; all methods may be called at the same time.
pub struct Jira {
    site: Arc<Site>,
}

impl Jira {
    /// Asks nobody. Without a flavour, the site is asked for it when it is first needed.
    /// Err: a credential of a kind that the flavour does not know, or no TLS on this machine.
    pub fn new(
        connection: ConnectionName,
        base_url: BaseUrl,
        auth: Auth,
        flavour: Option<Flavour>,
        to_markdown: ToMarkdown,
    ) -> Result<Self, JiraError> {
        Self::with_limits(connection, base_url, auth, flavour, to_markdown, Limits::default())
    }

    fn with_limits(
        connection: ConnectionName,
        base_url: BaseUrl,
        auth: Auth,
        flavour: Option<Flavour>,
        to_markdown: ToMarkdown,
        limits: Limits,
    ) -> Result<Self, JiraError> {
        let site = Site::new(connection, base_url, auth, flavour, to_markdown, limits)?;
        Ok(Self { site: Arc::new(site) })
    }

    /// One answer per want, in order. Concurrent callers share requests: one bulk read carries what all of them want.
    pub async fn issues(&self, wants: &[Want]) -> Vec<Asked<Sight>> {
        issues::issues(&self.site, wants).await
    }

    /// Whether a comment is an internal note, where its webhook did not say (service projects on Data Center).
    /// A comment that is no longer there, or not for our account, counts as internal, because nobody can say that it was public.
    /// An answer that was asked for before `after` does not serve.
    pub async fn comment_internal(&self, issue_id: &str, comment_id: &str, after: Instant) -> Asked<bool> {
        comment::internal(&self.site, issue_id, comment_id, after).await
    }

    /// An answer that was asked for before `after` does not serve.
    pub async fn privacy(&self, place: &Place, after: Instant) -> Asked<Privacy> {
        now::privacy(&self.site, place, after).await
    }

    /// `may_be_note`: where the comment itself does not say whether it is internal, that is asked for, too; else it counts as public.
    /// An answer that was asked for before `after` does not serve.
    pub async fn comment(&self, issue_id: &str, id: &str, may_be_note: bool, after: Instant) -> Asked<Talk> {
        now::comment(&self.site, issue_id, id, may_be_note, after).await
    }

    /// An answer that was asked for before `after` does not serve.
    pub async fn worklog(&self, issue_id: &str, id: &str, after: Instant) -> Asked<Talk> {
        now::worklog(&self.site, issue_id, id, after).await
    }

    /// One answer per lookup, in order. Callers at the same time share the requests; all together wait no longer than one may.
    /// Neither a path nor what Jira says of it is in a reason: both may hold text of a ticket.
    pub async fn lookups(&self, wants: &[Lookup]) -> Vec<Asked<Found>> {
        lookup::lookups(&self.site, wants).await
    }

    /// One answer per want, in order; `Refused` where Jira does not take the JQL. Each query is asked by itself, for many issues at once,
    /// and callers at the same time share the questions. What Jira does not show our account satisfies nothing.
    pub async fn matches(&self, wants: &[Match]) -> Vec<Asked<bool>> {
        jql::matches(&self.site, wants).await
    }

    /// Whether Jira takes the JQL; `Refused` says why not.
    pub async fn check_jql(&self, jql: &str) -> Asked<()> {
        jql::check(&self.site, jql, self.site.deadline()).await
    }

    /// What the site says of itself. Proves that Jira is there, not that our login is good.
    pub async fn server_info(&self) -> Asked<ServerInfo> {
        probe::server_info(&self.site, self.site.deadline()).await
    }

    /// Whom Jira takes us for: the proof of the login.
    pub async fn myself(&self) -> Asked<Myself> {
        probe::myself(&self.site, self.site.deadline()).await
    }

    /// Which of these permissions our account has; one of a project counts where we have it in any project.
    pub async fn my_permissions(&self, keys: &[&str]) -> Asked<BTreeMap<String, bool>> {
        probe::my_permissions(&self.site, keys, self.site.deadline()).await
    }

    /// Whether the project is there for our account.
    pub async fn sees_project(&self, key: &str) -> Asked<bool> {
        probe::sees_project(&self.site, key, self.site.deadline()).await
    }

    /// All fields of the site, in Jira's order.
    pub async fn fields(&self) -> Asked<Vec<Field>> {
        probe::fields(&self.site, self.site.deadline()).await
    }

    /// So many processes ask this site with the same credential: each takes its part of the rate budget.
    pub fn share_budget(&self, processes: u32) {
        self.site.http.budget().share_by(processes);
    }

    /// The part of the rate budget that is left, 0 to 1.
    pub fn budget_remaining(&self) -> f64 {
        self.site.http.budget().remaining()
    }
}

impl JiraError {
    fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { retry_after: None, reason: reason.into() }
    }
}
