//! The closed set of what is asked of Jira, and the labels of metrics made from it.

use http::StatusCode;

use super::limits::{ANSWER_BYTES_MAX, LOOKUP_BYTES_MAX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Bulkfetch,
    Search,
    Issue,
    Comment,
    CommentProperty,
    ServerInfo,
    Myself,
    MyPermissions,
    Project,
    Field,
    /// A path of a rule's own.
    Lookup,
    /// A JQL of a rule's own.
    Jql,
}

impl Endpoint {
    /// About certain issues, not about the site.
    pub(super) fn is_about_issues(self) -> bool {
        match self {
            Self::Bulkfetch | Self::Search | Self::Issue | Self::Comment | Self::CommentProperty | Self::Lookup | Self::Jql => true,
            Self::ServerInfo | Self::Myself | Self::MyPermissions | Self::Project | Self::Field => false,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bulkfetch => "bulkfetch",
            Self::Search => "search",
            Self::Issue => "issue",
            Self::Comment => "comment",
            Self::CommentProperty => "comment_property",
            Self::ServerInfo => "server_info",
            Self::Myself => "myself",
            Self::MyPermissions => "my_permissions",
            Self::Project => "project",
            Self::Field => "field",
            Self::Lookup => "lookup",
            Self::Jql => "jql",
        }
    }

    /// Its path is ours. What another path answers says nothing of the site where it is odd, and its words may be a ticket's.
    pub(super) fn is_ours(self) -> bool {
        self != Self::Lookup
    }

    /// Somebody else thought of what is asked: it may be slow by nature, as a search is.
    pub(super) fn may_be_slow(self) -> bool {
        matches!(self, Self::Lookup | Self::Jql)
    }

    pub(super) fn answer_bytes_max(self) -> usize {
        if self.is_ours() { ANSWER_BYTES_MAX } else { LOOKUP_BYTES_MAX }
    }
}

/// The label `code`: what Jira is known to answer, else its class.
pub(super) fn code(status: StatusCode) -> &'static str {
    const KNOWN: [(u16, &str); 13] = [
        (200, "200"),
        (302, "302"),
        (400, "400"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (405, "405"),
        (410, "410"),
        (429, "429"),
        (500, "500"),
        (502, "502"),
        (503, "503"),
        (504, "504"),
    ];
    let status = status.as_u16();
    if let Some((_, label)) = KNOWN.iter().find(|(known, _)| *known == status) {
        return label;
    }
    match status / 100 {
        1 | 2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
