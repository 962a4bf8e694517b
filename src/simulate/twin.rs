//! What Data Center tells differently: a comment or worklog comes alone, without its issue, and once more as an update of the issue.
//!
//! Its issues carry all their comments, whoever may read them, and its transitions are called as in the classic workflow.

use serde_json::{Value, json};

use crate::clock::Timestamp;

use super::body::{Body, lane};
use super::catalogue::Status;
use super::people::Person;
use super::settings::Flavour;
use super::shape::Form;
use super::site::{Comment, Issue, Site, Worklog};

/// The second telling is stamped a little later.
const LATER: std::time::Duration = std::time::Duration::from_millis(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Talk {
    Created,
    Updated,
    Deleted,
}

impl Talk {
    fn event(self) -> &'static str {
        match self {
            Self::Created => "comment_created",
            Self::Updated => "comment_updated",
            Self::Deleted => "comment_deleted",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Created => "issue_commented",
            Self::Updated => "issue_comment_edited",
            Self::Deleted => "issue_comment_deleted",
        }
    }
}

/// Cloud calls every transition generic.
pub(super) fn transition_name(flavour: Flavour, from: Status, to: Status) -> &'static str {
    match (flavour, from, to) {
        (Flavour::Cloud, ..) => "issue_generic",
        (_, _, Status::Done) => "issue_resolved",
        (_, Status::Done, _) => "issue_reopened",
        (_, _, Status::InProgress) => "issue_work_started",
        (_, Status::InProgress, Status::ToDo) => "issue_work_stopped",
        _ => "issue_generic",
    }
}

impl Site {
    /// An issue as webhooks tell it.
    pub(super) fn issue_told(&self, issue: &Issue) -> Value {
        let form = self.told();
        let mut json = self.issue_json(issue, form);
        if form == Form::Server {
            let comments: Vec<Value> = issue.comments.values().map(|comment| self.comment_json(issue, comment, form)).collect();
            let worklogs: Vec<Value> = issue.worklogs.values().map(|worklog| self.worklog_json(issue, worklog, form)).collect();
            let count = comments.len();
            json["fields"]["comment"] = json!({ "comments": comments, "maxResults": count, "total": count, "startAt": 0 });
            let shown: Vec<&Value> = worklogs.iter().take(20).collect();
            json["fields"]["worklog"] = json!({ "startAt": 0, "maxResults": 20, "total": worklogs.len(), "worklogs": shown });
        }
        json
    }

    /// What somebody did to a comment of an issue: one body on Cloud, two on Data Center.
    ///
    /// The second one of a deletion names no comment, so that nobody can see what it repeats: it counts by itself.
    pub(super) fn comment_told(&mut self, talk: Talk, actor: &Person, id: u64, comment: &Comment, at: Timestamp) -> Vec<Body> {
        if self.flavour == Flavour::Cloud {
            return self.issues.get(&id).map(|issue| self.comment_event(talk.event(), issue, comment, at)).into_iter().collect();
        }
        let Some(issue) = self.issues.get_mut(&id) else { return Vec::new() };
        issue.updated = at;
        let Some(issue) = self.issues.get(&id) else { return Vec::new() };
        let (form, user) = (self.told(), actor.json(&self.base, self.told()));
        let told = self.comment_json(issue, comment, form);
        let mut alone = json!({ "comment": told });
        let mut with_issue = json!({ "issue_event_type_name": talk.type_name(), "user": user, "issue": self.issue_told(issue) });
        if talk != Talk::Created {
            alone["user"] = user;
        }
        if talk != Talk::Deleted {
            with_issue["comment"] = told;
        }
        let alone = Body::new(talk.event(), lane(issue), at, alone);
        let with_issue = Body::new("jira:issue_updated", lane(issue), at.plus(LATER), with_issue);
        vec![alone, if talk == Talk::Deleted { with_issue } else { with_issue.twin() }]
    }

    /// The second telling of logged work.
    pub(super) fn worklog_twin(&self, actor: &Person, issue: &Issue, worklog: &Worklog) -> Body {
        let members = json!({
            "issue_event_type_name": "issue_worklogged",
            "user": actor.json(&self.base, self.told()),
            "issue": self.issue_told(issue),
            "worklog": self.worklog_json(issue, worklog, self.told()),
        });
        Body::new("jira:issue_updated", lane(issue), worklog.created.plus(LATER), members).twin()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::Clock;

    const BEGIN_MS: i64 = 1_765_441_200_120;

    fn acts(count: i64) -> Vec<Vec<Body>> {
        let clock = Clock::at(Timestamp::from_ms(BEGIN_MS));
        let mut site = Site::new("http://jira.example", Flavour::Datacenter, 3, clock.clone());
        let act = |number| {
            clock.set(Timestamp::from_ms(BEGIN_MS + number * 250));
            site.act().bodies
        };
        (1..=count).map(act).collect()
    }

    fn names(json: &Value) -> Vec<&str> {
        json.as_object().unwrap().keys().map(String::as_str).filter(|name| !["timestamp", "webhookEvent"].contains(name)).collect()
    }

    #[test]
    fn nothing_is_told_as_only_cloud_tells_it() {
        let mut types = BTreeSet::new();
        for body in acts(2_000).into_iter().flatten() {
            let text = body.json.to_string();
            for name in [
                "accountId",
                "accountid",
                "accountType",
                "fieldId",
                "tmpTo",
                "jsdPublic",
                "\"type\":\"doc\"",
                "identifier",
                "hierarchyLevel",
            ] {
                assert!(!text.contains(name), "{name}: {text}");
            }
            assert!(!text.contains("712020:"), "an account id: {text}");
            let type_name = body.json["issue_event_type_name"].as_str().unwrap_or_default().to_owned();
            let expected: &[&str] = match (body.event, type_name.as_str()) {
                ("jira:issue_created", _) | ("jira:issue_updated", "issue_comment_deleted") => &["issue_event_type_name", "user", "issue"],
                ("jira:issue_updated", "issue_commented" | "issue_comment_edited") => {
                    &["issue_event_type_name", "user", "issue", "comment"]
                }
                ("jira:issue_updated", "issue_worklogged") => &["issue_event_type_name", "user", "issue", "worklog"],
                ("jira:issue_updated", _) => &["issue_event_type_name", "user", "issue", "changelog"],
                ("jira:issue_deleted", _) => &["user", "issue"],
                ("comment_created", _) => &["comment"],
                ("comment_updated" | "comment_deleted", _) => &["comment", "user"],
                ("worklog_created", _) => &["worklog"],
                _ => &[],
            };
            assert!(expected.is_empty() || names(&body.json) == expected, "{text}");
            if body.json["issue"].is_object() {
                let comments = &body.json["issue"]["fields"]["comment"];
                assert_eq!(comments["total"], json!(comments["comments"].as_array().unwrap().len()), "{text}");
            }
            types.insert(type_name);
        }
        let classic = ["issue_resolved", "issue_reopened", "issue_work_started", "issue_work_stopped", "issue_generic", "issue_worklogged"];
        assert!(classic.iter().all(|name| types.contains(*name)), "{types:?}");
    }

    #[test]
    fn what_is_told_twice_is_told_alike() {
        let mut told = BTreeSet::new();
        for bodies in acts(2_000) {
            let [first, second] = bodies.as_slice() else { continue };
            for thing in ["comment", "worklog"] {
                if first.json[thing].is_null() {
                    continue;
                }
                assert!(first.json["issue"].is_null() && !first.is_twin, "{}", first.json);
                let is_deleted = first.event == "comment_deleted";
                assert_eq!(second.is_twin, !is_deleted);
                assert_eq!(second.json[thing], if is_deleted { Value::Null } else { first.json[thing].clone() });
                let own = format!("/issue/{}/{thing}/", second.json["issue"]["id"].as_str().unwrap());
                assert!(first.json[thing]["self"].as_str().unwrap().contains(&own), "the issue is known by the address alone");
                told.insert(first.event);
            }
        }
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["comment_created", "comment_deleted", "comment_updated", "worklog_created"]);
    }
}
