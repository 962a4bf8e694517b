//! The bodies of webhooks as Jira sends them: envelope, issue, changelog, comment and the rest. What Data Center tells twice stands in `twin`.

use serde_json::{Value, json};

use crate::clock::Timestamp;

use super::people::Person;
use super::settings::Flavour;
use super::site::{Attachment, Comment, History, Issue, Link, Site, Sprint, Version, Worklog};

/// One body. It stands for one happening: nobody puts a change and a comment together here, though a Data Center may.
#[derive(Debug, Clone)]
pub struct Body {
    pub event: &'static str,
    /// Tells once more what another body of the same action told: no happening of its own.
    pub is_twin: bool,
    /// What must stay in order: the issue, or the entity that is none of an issue's.
    pub lane: String,
    pub flow: Flow,
    pub json: Value,
}

/// Jira's own word for how urgent a delivery is: `Secondary` is the fallout of something larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Primary,
    Secondary,
}

impl Flow {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "Primary",
            Self::Secondary => "Secondary",
        }
    }
}

impl Body {
    pub(super) fn new(event: &'static str, lane: String, at: Timestamp, members: Value) -> Self {
        let mut json = json!({ "timestamp": at.ms(), "webhookEvent": event });
        if let (Some(json), Value::Object(members)) = (json.as_object_mut(), members) {
            json.extend(members);
        }
        Self { event, is_twin: false, lane, flow: Flow::Primary, json }
    }

    pub(super) fn twin(self) -> Self {
        Self { is_twin: true, ..self }
    }

    pub(super) fn secondary(self) -> Self {
        Self { flow: Flow::Secondary, ..self }
    }

    /// Whether a second webhook of the site would send it too.
    pub(super) fn has_copy(&self) -> bool {
        self.event.starts_with("jira:issue_") || self.event.starts_with("comment_")
    }
}

pub(super) fn lane(issue: &Issue) -> String {
    format!("issue/{}", issue.id)
}

impl Site {
    /// The history of a creation is told on Cloud only.
    pub(super) fn issue_created(&self, actor: &Person, issue: &Issue, history: &History) -> Body {
        let mut members = json!({
            "issue_event_type_name": "issue_created",
            "user": actor.json(&self.base, self.told()),
            "issue": self.issue_told(issue),
        });
        if self.flavour == Flavour::Cloud {
            members["changelog"] = history.json(self.told());
        }
        Body::new("jira:issue_created", lane(issue), history.created, members)
    }

    pub(super) fn issue_updated(&self, type_name: &str, issue: &Issue, history: &History) -> Body {
        Body::new(
            "jira:issue_updated",
            lane(issue),
            history.created,
            json!({
                "issue_event_type_name": type_name,
                "user": history.author.json(&self.base, self.told()),
                "issue": self.issue_told(issue),
                "changelog": history.json(self.told()),
            }),
        )
    }

    pub(super) fn issue_deleted(&self, actor: &Person, issue: &Issue, at: Timestamp) -> Body {
        Body::new(
            "jira:issue_deleted",
            lane(issue),
            at,
            json!({
                "user": actor.json(&self.base, self.told()),
                "issue": self.issue_told(issue),
            }),
        )
    }

    /// Comment events of Cloud have no `user`, and an issue of six fields.
    pub(super) fn comment_event(&self, event: &'static str, issue: &Issue, comment: &Comment, at: Timestamp) -> Body {
        Body::new(
            event,
            lane(issue),
            at,
            json!({
                "comment": self.comment_json(issue, comment, self.told()),
                "issue": {
                    "id": issue.id.to_string(),
                    "self": format!("{}/rest/api/2/{}", self.base, issue.id),
                    "key": issue.key,
                    "fields": self.reduced_fields(issue, self.told()),
                },
            }),
        )
    }

    /// Worklog events have neither `user` nor `issue`.
    pub(super) fn worklog_event(&self, event: &'static str, issue: &Issue, worklog: &Worklog) -> Body {
        Body::new(event, lane(issue), worklog.created, json!({ "worklog": self.worklog_json(issue, worklog, self.told()) }))
    }

    pub(super) fn attachment_event(&self, event: &'static str, issue: &Issue, attachment: &Attachment) -> Body {
        Body::new(event, lane(issue), attachment.created, json!({ "attachment": self.attachment_json(attachment, self.told()) }))
    }

    /// All ids of a link are numbers, and there are no keys.
    pub(super) fn link_event(&self, event: &'static str, link: &Link, at: Timestamp) -> Body {
        Body::new(
            event,
            format!("issue/{}", link.source),
            at,
            json!({ "issueLink": {
            "id": link.id,
            "sourceIssueId": link.source,
            "destinationIssueId": link.destination,
            "issueLinkType": { "id": 10003, "name": "Relates", "outwardName": "relates to", "inwardName": "relates to",
                "isSubTaskLinkType": false, "isSystemLinkType": false },
            "systemLink": false,
        } }),
        )
    }

    pub(super) fn sprint_event(&self, event: &'static str, sprint: &Sprint, old: Option<&Sprint>, at: Timestamp) -> Body {
        let mut members = json!({ "sprint": self.sprint_json(sprint) });
        if let Some(old) = old {
            members["oldValue"] = self.sprint_json(old);
        }
        Body::new(event, format!("sprint/{}", sprint.id), at, members)
    }

    pub(super) fn version_event(&self, event: &'static str, version: &Version, at: Timestamp) -> Body {
        Body::new(event, format!("version/{}", version.id), at, json!({ "version": self.version_json(version, self.told()) }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::clock::Clock;

    const ISSUE: &[&str] = &["timestamp", "webhookEvent", "issue_event_type_name", "user", "issue", "changelog"];
    const COMMENT: &[&str] = &["timestamp", "webhookEvent", "comment", "issue"];

    /// The top-level members that Jira documents or was seen to send.
    fn members(event: &str) -> &'static [&'static str] {
        match event {
            "jira:issue_created" | "jira:issue_updated" => ISSUE,
            "jira:issue_deleted" => &["timestamp", "webhookEvent", "user", "issue"],
            "comment_created" | "comment_updated" | "comment_deleted" => COMMENT,
            "worklog_created" => &["timestamp", "webhookEvent", "worklog"],
            "attachment_created" => &["timestamp", "webhookEvent", "attachment"],
            "issuelink_created" | "issuelink_deleted" => &["timestamp", "webhookEvent", "issueLink"],
            "sprint_created" | "sprint_started" | "sprint_closed" => &["timestamp", "webhookEvent", "sprint"],
            "sprint_updated" => &["timestamp", "webhookEvent", "sprint", "oldValue"],
            "jira:version_released" | "jira:version_created" => &["timestamp", "webhookEvent", "version"],
            other => panic!("an event that nobody expects: {other}"),
        }
    }

    fn acts(count: i64) -> Vec<Body> {
        let clock = Clock::at(Timestamp::from_ms(1_765_441_200_120));
        let mut site = Site::new("http://jira.example", Flavour::Cloud, 3, clock.clone());
        let acts = (1..=count).flat_map(|number| {
            clock.set(Timestamp::from_ms(1_765_441_200_120 + number * 250));
            site.act().bodies
        });
        acts.collect()
    }

    #[test]
    fn every_body_has_the_documented_members() {
        let mut seen = BTreeSet::new();
        let mut last_change = 0;
        for body in acts(3_000) {
            let json = &body.json;
            let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names, members(body.event), "{json}");
            assert_eq!(json["webhookEvent"], body.event);
            assert!(json["timestamp"].as_i64().unwrap() > 1_765_441_200_120);
            if let Some(change) = json["changelog"]["id"].as_str() {
                let change: u64 = change.parse().unwrap();
                assert!(change > last_change, "{json}");
                last_change = change;
                assert!(!json["changelog"]["items"].as_array().unwrap().is_empty());
            }
            match names.contains(&"comment") {
                true => assert_eq!(json["issue"]["fields"].as_object().unwrap().len(), 6, "{json}"),
                false if names.contains(&"issue") => assert!(json["issue"]["fields"]["description"].is_string(), "{json}"),
                false => {}
            }
            if body.event == "comment_created" {
                assert_eq!(json["comment"]["created"], json["comment"]["updated"]);
            }
            if body.event == "sprint_updated" {
                assert_eq!((&json["sprint"]["state"], &json["oldValue"]["state"]), (&json!("active"), &json!("future")));
            }
            if body.event == "issuelink_deleted" {
                assert_eq!(body.flow, Flow::Secondary, "links go only with their issue");
            }
            seen.insert(body.event);
        }
        assert_eq!(seen.len(), 16, "{seen:?}");
    }

    #[test]
    fn the_first_actions_show_what_matters() {
        let bodies = acts(8);
        let short: Vec<String> = bodies
            .iter()
            .map(|body| {
                let json = &body.json;
                let change = json["changelog"]["items"].as_array().and_then(|items| items.last()).map(|item| item["toString"].to_string());
                format!("{} {} {}", body.event, json["issue"]["key"].as_str().unwrap_or("-"), change.unwrap_or("-".into()))
            })
            .collect();
        insta::assert_snapshot!(short.join("\n"), @r#"
        jira:issue_updated DOCS-4 "On Hold"
        jira:issue_created OPS-7 "Office printer prints only in magenta"
        comment_created OPS-7 -
        jira:issue_created OPS-8 "Salaries visible in the invoice export"
        comment_created HELP-2 -
        jira:issue_updated OPS-9 "OPS-9"
        jira:issue_deleted DOCS-6 -
        worklog_created - -
        jira:issue_updated OPS-7 "30001"
        "#);
        assert_eq!(bodies[3].json["issue"]["fields"]["security"]["name"], "Staff only");
        assert_eq!(bodies[4].json["comment"]["jsdPublic"], false);
    }

    /// Two bodies with one identity would be one event, and nobody's counts would agree.
    #[test]
    fn no_two_bodies_have_the_same_identity() {
        let mut identities = BTreeMap::new();
        for body in acts(3_000) {
            let json = &body.json;
            let entity = ["comment", "worklog", "attachment", "issueLink", "sprint", "version", "issue"]
                .into_iter()
                .find(|name| !json[name].is_null());
            let id = &json[entity.unwrap()]["id"];
            let detail = match body.event {
                "jira:issue_updated" => json["changelog"]["id"].clone(),
                "comment_updated" => json!(json["comment"]["updated"].as_str().unwrap().get(..19)),
                "sprint_updated" => json["timestamp"].clone(),
                _ => Value::Null,
            };
            let identity = format!("{} {id} {detail}", body.event);
            if let Some(other) = identities.insert(identity.clone(), json.clone()) {
                panic!("{identity}: {other} and {json}");
            }
        }
    }
}
