//! What Jira calls an event, and what we call it.

use crate::event::Kind;

/// The kind of an event by its `webhookEvent`; nothing where the name is not known. The set has grown several times.
pub(super) fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "jira:issue_created" => Kind::IssueCreated,
        "jira:issue_updated" | "jira:worklog_updated" => Kind::IssueUpdated,
        "jira:issue_deleted" => Kind::IssueDeleted,
        "comment_created" => Kind::CommentCreated,
        "comment_updated" => Kind::CommentUpdated,
        "comment_deleted" => Kind::CommentDeleted,
        "worklog_created" => Kind::WorklogCreated,
        "worklog_updated" => Kind::WorklogUpdated,
        "worklog_deleted" => Kind::WorklogDeleted,
        "attachment_created" => Kind::AttachmentCreated,
        "attachment_deleted" => Kind::AttachmentDeleted,
        "issuelink_created" => Kind::LinkCreated,
        "issuelink_deleted" => Kind::LinkDeleted,
        "issue_property_set" => Kind::PropertySet,
        "issue_property_deleted" => Kind::PropertyDeleted,
        "sprint_created" => Kind::SprintCreated,
        "sprint_updated" => Kind::SprintUpdated,
        "sprint_started" => Kind::SprintStarted,
        "sprint_closed" => Kind::SprintClosed,
        "sprint_deleted" => Kind::SprintDeleted,
        "board_created" => Kind::BoardCreated,
        "board_updated" => Kind::BoardUpdated,
        "board_configuration_changed" => Kind::BoardConfigured,
        "board_deleted" => Kind::BoardDeleted,
        "jira:version_created" => Kind::VersionCreated,
        "jira:version_updated" => Kind::VersionUpdated,
        "jira:version_released" => Kind::VersionReleased,
        "jira:version_unreleased" => Kind::VersionUnreleased,
        "jira:version_moved" => Kind::VersionMoved,
        "jira:version_merged" => Kind::VersionMerged,
        "jira:version_deleted" => Kind::VersionDeleted,
        "project_created" => Kind::ProjectCreated,
        "project_updated" => Kind::ProjectUpdated,
        "project_soft_deleted" => Kind::ProjectTrashed,
        "project_restored_deleted" => Kind::ProjectRestored,
        "project_archived" => Kind::ProjectArchived,
        "project_restored_archived" => Kind::ProjectUnarchived,
        "project_deleted" => Kind::ProjectDeleted,
        "user_created" => Kind::UserCreated,
        "user_updated" => Kind::UserUpdated,
        "user_deleted" => Kind::UserDeleted,
        "filter_created" => Kind::FilterCreated,
        "filter_updated" => Kind::FilterUpdated,
        "filter_deleted" => Kind::FilterDeleted,
        "issuetype_created" => Kind::IssuetypeCreated,
        "issuetype_updated" => Kind::IssuetypeUpdated,
        "issuetype_deleted" => Kind::IssuetypeDeleted,
        "app_access_to_objects_blocked" => Kind::AppAccessBlocked,
        "app_access_to_objects_in_container_blocked" => Kind::AppContainerAccessBlocked,
        "jira_expression_evaluation_failed" => Kind::AppExpressionFailed,
        name => return option(name).map(|_| Kind::OptionChanged),
    })
}

/// Which setting of the site an `option_<setting>_changed` is about.
pub(super) fn option(name: &str) -> Option<&str> {
    name.strip_prefix("option_")?.strip_suffix("_changed").filter(|setting| !setting.is_empty())
}

/// What the name of the issue event says of the comment or worklog that the event carries.
pub(super) fn verb(type_name: Option<&str>) -> Option<Verb> {
    Some(match type_name? {
        "issue_commented" | "issue_worklogged" => Verb::Created,
        "issue_comment_edited" | "issue_worklog_updated" => Verb::Updated,
        "issue_comment_deleted" | "issue_worklog_deleted" => Verb::Deleted,
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Created,
    Updated,
    Deleted,
}

impl Verb {
    /// The verb that the webhook of the comment or worklog itself would have had.
    pub fn told(type_name: Option<&str>, as_created: bool) -> Self {
        verb(type_name).unwrap_or(if as_created { Self::Created } else { Self::Updated })
    }

    pub fn of_comment(self) -> Kind {
        match self {
            Self::Created => Kind::CommentCreated,
            Self::Updated => Kind::CommentUpdated,
            Self::Deleted => Kind::CommentDeleted,
        }
    }

    pub fn of_worklog(self) -> Kind {
        match self {
            Self::Created => Kind::WorklogCreated,
            Self::Updated => Kind::WorklogUpdated,
            Self::Deleted => Kind::WorklogDeleted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_kinds() {
        for (name, expected) in [
            ("jira:issue_updated", Some(Kind::IssueUpdated)),
            ("board_configuration_changed", Some(Kind::BoardConfigured)),
            ("option_timetracking_provider_changed", Some(Kind::OptionChanged)),
            ("option_changed", None),
            ("option__changed", None),
            ("connect_addon_enabled", None),
            ("project_app_disabled", None),
            ("issue_created", None),
            ("", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
        assert_eq!(option("option_voting_changed"), Some("voting"));
    }
}
