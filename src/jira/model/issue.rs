//! An issue of a webhook or of a REST answer, and what an event says of it.

use serde::Deserialize;

use super::fields::Fields;
use super::repair;
use super::scalar::{Id, Text, at, filled, known};
use crate::event::{self, Secrecy, ToMarkdown};
use crate::setting::BaseUrl;

/// In brief only what identifies it and what says who may see it is read.
#[derive(Debug, Deserialize)]
pub(crate) struct Issue<'a, const BRIEF: bool = false> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    key: Option<Text<'a>>,
    fields: Option<Fields<'a, BRIEF>>,
}

repair::shape!(Issue);

/// What is needed to tell of an issue besides the issue.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) base_url: &'a BaseUrl,
    pub(crate) to_markdown: ToMarkdown,
}

impl<const BRIEF: bool> Issue<'_, BRIEF> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    /// Nothing where it has no id. Partial unless it has what every whole issue has.
    pub(crate) fn issue(&self, site: Site<'_>) -> Option<event::Issue> {
        let mut issue = event::Issue::only_id(self.id()?);
        issue.key = filled(self.key.as_ref());
        match &self.fields {
            Some(fields) if BRIEF => issue.updated_at = at(fields.updated),
            Some(fields) => fields.fill(&mut issue, site.to_markdown),
            None => {}
        }
        if !BRIEF {
            issue.url = issue.key.as_deref().map(|key| site.base_url.browse(key));
        }
        Some(issue)
    }

    pub(crate) fn project(&self) -> Option<event::Project> {
        self.fields.as_ref()?.project.as_ref()?.project()
    }

    pub(crate) fn secrecy(&self) -> Secrecy {
        let Some(fields) = &self.fields else { return Secrecy::default() };
        let project_private = fields.project.as_ref().is_some_and(super::Project::private);
        Secrecy { level_known: fields.security.is_some(), project_private }
    }
}

/// One issue of a REST answer, version 2 or 3, as JSON text. It is never partial, and no security level means none, because both were asked
/// for. Nothing where it is not an issue with an id.
pub(crate) fn issue_from_rest(
    json: &str,
    base_url: &BaseUrl,
    to_markdown: ToMarkdown,
) -> Option<(event::Issue, Option<event::Project>, Secrecy)> {
    repair::read::<Issue<'_>, _>(json, |read| {
        let mut issue = read.issue(Site { base_url, to_markdown })?;
        issue.partial = false;
        Some((issue, read.project(), Secrecy { level_known: true, ..read.secrecy() }))
    })
    .ok()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Markup;

    fn shown(markup: Markup<'_>) -> String {
        match markup {
            Markup::Wiki(text) => text.to_owned(),
            Markup::Document(text) => format!("document of {} bytes", text.len()),
        }
    }

    fn read(json: &str) -> Option<(event::Issue, Option<event::Project>, Secrecy)> {
        issue_from_rest(json, &"https://acme.example/jira".parse().expect("a base URL"), shown)
    }

    #[test]
    fn a_rest_issue_is_whole_and_its_level_is_known() {
        let (issue, project, secrecy) = read(
            r#"{"id":"10012","key":"DOCS-41","self":"https://api.example/10012","fields":{"summary":"Explain","description":{"type":"doc"},
                "project":{"id":"10000","key":"DOCS","name":"Documentation","projectTypeKey":"business","isPrivate":true},
                "issuetype":{"id":"10001","name":"Story","subtask":false},"labels":["guide"],"parent":{"id":"10001","key":"DOCS-1"},
                "reporter":{"accountId":"557058:1a2b","accountType":"atlassian","displayName":"Jane Doe"},
                "status":{"id":"3","name":"On Hold","statusCategory":{"key":"indeterminate"}},"duedate":"2025-12-24",
                "updated":"2025-12-11T09:20:00.120+0100","customfield_10020":[{"id":12,"name":"Sprint 4","state":"active","boardId":2}]}}"#,
        )
        .expect("an issue");
        assert!(!issue.partial);
        assert_eq!(issue.url.as_deref(), Some("https://acme.example/jira/browse/DOCS-41"));
        assert_eq!(issue.body.as_deref(), Some("document of 14 bytes"));
        assert_eq!(issue.due_on.as_deref(), Some("2025-12-24"));
        assert_eq!(issue.parent.map(|parent| parent.id).as_deref(), Some("10001"));
        assert_eq!(issue.sprints.len(), 1);
        assert_eq!(issue.custom.text(), r#"{"customfield_10020":[{"id":12,"name":"Sprint 4","state":"active","boardId":2}]}"#);
        assert_eq!(project.map(|project| project.kind), Some(event::ProjectKind::Business));
        assert_eq!(secrecy, Secrecy { level_known: true, project_private: true });
    }

    #[test]
    fn fields_of_a_wrong_type_are_left_out() {
        let (issue, project, _) =
            read(r#"{"id":7,"key":1,"fields":{"summary":[],"labels":["a",7,"b"],"project":"x","security":{}}}"#).expect("an issue");
        assert_eq!((issue.id.as_str(), issue.key, issue.summary, project), ("7", None, None, None));
        assert_eq!(issue.labels, ["a", "b"]);
        assert_eq!(issue.security, Some(event::Named { id: None, name: None }));
        for bad in ["", "[]", "null", "{}", r#"{"id":""}"#, "not json"] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert!(read(r#"{"id":"7"}"#).is_some_and(|(issue, _, secrecy)| !issue.partial && secrecy.level_known));
    }
}
