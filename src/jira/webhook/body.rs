//! The body of a webhook: every member that some kind of event needs.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::jira::model::{
    Attachment, Board, Changelog, Comment, Filter, Id, Issue, IssueTypeEntity, Link, Project, Property, Shape, Sprint, Text, Told,
    Transition, User, Version, Whole, Worklog,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a, const BRIEF: bool> {
    #[serde(borrow)]
    pub webhook_event: Option<Told<'a>>,
    pub timestamp: Option<Whole>,
    #[serde(rename = "issue_event_type_name")]
    pub type_name: Option<Text<'a>>,
    pub user: Option<User<'a>>,
    pub issue: Option<Issue<'a, BRIEF>>,
    pub issue_id: Option<Id<'a>>,
    pub changelog: Option<Changelog<'a>>,
    pub transition: Option<Transition<'a>>,
    pub comment: Option<Comment<'a>>,
    pub worklog: Option<Worklog<'a>>,
    pub attachment: Option<Attachment<'a>>,
    pub issue_link: Option<Link<'a>>,
    pub sprint: Option<Sprint<'a>>,
    pub old_value: Option<Sprint<'a>>,
    pub board: Option<Board<'a>>,
    pub configuration: Option<Board<'a>>,
    pub version: Option<Version<'a>>,
    pub merged_to: Option<Version<'a>>,
    pub project: Option<Project<'a>>,
    pub issuetype: Option<IssueTypeEntity<'a>>,
    pub filter: Option<Filter<'a>>,
    pub property: Option<Property<'a>>,
    pub app: Option<Property<'a>>,
    /// Of a REST issue that came without an envelope.
    pub fields: Option<IgnoredAny>,
    /// Of Cloud's deletion of a user, which comes without an envelope as well.
    pub account_id: Option<Text<'a>>,
    pub username: Option<Text<'a>>,
}

impl<const BRIEF: bool> Shape for Body<'_, BRIEF> {
    type Read<'a> = Body<'a, BRIEF>;
}

impl<'a, const BRIEF: bool> Body<'a, BRIEF> {
    pub fn name(&self) -> Option<&str> {
        self.webhook_event.as_ref().and_then(Told::text)
    }

    pub fn type_name(&self) -> Option<&str> {
        self.type_name.as_ref().map(Text::as_str)
    }

    pub fn changelog_id(&self) -> Option<&str> {
        self.changelog.as_ref().and_then(Changelog::id)
    }

    /// The user of a deletion that has exactly the members `accountId` and `username`.
    pub fn bare_user(&self, text: &str) -> Option<User<'a>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Bare {
            #[serde(rename = "accountId")]
            _account_id: IgnoredAny,
            #[serde(rename = "username")]
            _username: IgnoredAny,
        }
        let account_id = self.account_id.clone()?;
        serde_json::from_str::<Bare>(text).ok()?;
        Some(User::only(account_id, self.username.clone()))
    }
}
