//! Kinds: always `entity.verb`, a closed set. What Jira calls otherwise is `event.unrecognized`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $(#[serde(rename = $text)] $variant,)*
        }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$variant => $text,)*
                }
            }
        }
    };
}

kinds! {
    IssueCreated = "issue.created",
    IssueUpdated = "issue.updated",
    IssueDeleted = "issue.deleted",
    IssueSnapshot = "issue.snapshot",
    CommentCreated = "comment.created",
    CommentUpdated = "comment.updated",
    CommentDeleted = "comment.deleted",
    WorklogCreated = "worklog.created",
    WorklogUpdated = "worklog.updated",
    WorklogDeleted = "worklog.deleted",
    AttachmentCreated = "attachment.created",
    AttachmentDeleted = "attachment.deleted",
    LinkCreated = "link.created",
    LinkDeleted = "link.deleted",
    SprintCreated = "sprint.created",
    SprintUpdated = "sprint.updated",
    SprintStarted = "sprint.started",
    SprintClosed = "sprint.closed",
    SprintDeleted = "sprint.deleted",
    BoardCreated = "board.created",
    BoardUpdated = "board.updated",
    BoardConfigured = "board.configured",
    BoardDeleted = "board.deleted",
    VersionCreated = "version.created",
    VersionUpdated = "version.updated",
    VersionReleased = "version.released",
    VersionUnreleased = "version.unreleased",
    VersionMoved = "version.moved",
    VersionMerged = "version.merged",
    VersionDeleted = "version.deleted",
    ProjectCreated = "project.created",
    ProjectUpdated = "project.updated",
    ProjectTrashed = "project.trashed",
    ProjectRestored = "project.restored",
    ProjectArchived = "project.archived",
    ProjectUnarchived = "project.unarchived",
    ProjectDeleted = "project.deleted",
    UserCreated = "user.created",
    UserUpdated = "user.updated",
    UserDeleted = "user.deleted",
    FilterCreated = "filter.created",
    FilterUpdated = "filter.updated",
    FilterDeleted = "filter.deleted",
    IssuetypeCreated = "issuetype.created",
    IssuetypeUpdated = "issuetype.updated",
    IssuetypeDeleted = "issuetype.deleted",
    PropertySet = "property.set",
    PropertyDeleted = "property.deleted",
    OptionChanged = "option.changed",
    AppAccessBlocked = "app.access_blocked",
    AppContainerAccessBlocked = "app.container_access_blocked",
    AppExpressionFailed = "app.expression_failed",
    ReportRow = "report.row",
    Unrecognized = "event.unrecognized",
}

impl Kind {
    pub fn entity(self) -> &'static str {
        self.as_str().split_once('.').map_or("", |(entity, _)| entity)
    }

    pub fn verb(self) -> &'static str {
        self.as_str().split_once('.').map_or("", |(_, verb)| verb)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_entity_and_verb() {
        for kind in Kind::ALL {
            assert_eq!(format!("{}.{}", kind.entity(), kind.verb()), kind.to_string());
        }
    }
}
