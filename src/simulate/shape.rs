//! The JSON of the site's things, in the forms Jira uses: on Cloud in webhooks, in REST v2 (wiki texts) and in REST v3 (documents); on
//! Data Center one everywhere, with wiki texts.

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;

use super::adf;
use super::catalogue::{ESTIMATE_FIELD, SPRINT_FIELD};
use super::people::TIME_ZONE;
use super::settings::Flavour;
use super::site::{Attachment, Comment, History, Issue, Site, Sprint, Version, Worklog};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Webhook,
    Rest2,
    Rest3,
    /// Data Center's, in webhooks and REST alike.
    Server,
}

impl Form {
    /// The version in the URLs of this form.
    pub fn api(self) -> &'static str {
        match self {
            Self::Webhook | Self::Rest2 | Self::Server => "2",
            Self::Rest3 => "3",
        }
    }

    pub fn text(self, wiki: &str) -> Value {
        match self {
            Self::Webhook | Self::Rest2 | Self::Server => json!(wiki),
            Self::Rest3 => adf::document(wiki),
        }
    }
}

/// As Jira writes times, in the zone of the site: `2025-12-11T09:20:00.120+0100`.
pub(crate) fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.ms()).unwrap_or_default();
    let zone = jiff::tz::TimeZone::get(TIME_ZONE).unwrap_or(jiff::tz::TimeZone::UTC);
    at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.3f%z").to_string()
}

impl Site {
    /// The form of webhooks.
    pub(crate) fn told(&self) -> Form {
        match self.flavour {
            Flavour::Cloud => Form::Webhook,
            Flavour::Datacenter => Form::Server,
        }
    }

    pub(crate) fn issue_json(&self, issue: &Issue, form: Form) -> Value {
        json!({
            "id": issue.id.to_string(),
            "self": format!("{}/rest/api/{}/issue/{}", self.base, form.api(), issue.id),
            "key": issue.key,
            "fields": self.fields(issue, form),
        })
    }

    /// All fields of an issue but its comments and worklogs, which only REST answers, and the webhooks of Data Center tell.
    pub(crate) fn fields(&self, issue: &Issue, form: Form) -> Map<String, Value> {
        let base = self.base.as_str();
        let spent: u64 = issue.worklogs.values().map(|worklog| worklog.seconds).sum();
        let spent = if spent == 0 { Value::Null } else { json!(spent) };
        let mut fields = self.reduced_fields(issue, form);
        let more = json!({
            "statuscategorychangedate": time(issue.created),
            "timespent": spent,
            "timeestimate": null,
            "fixVersions": issue.fix_version.and_then(|id| self.versions.get(&id)).map(|version| vec![self.version_json(version, form)]).unwrap_or_default(),
            "versions": [],
            "components": [],
            "resolution": issue.resolved.map(|_| json!({ "self": format!("{base}/rest/api/{}/resolution/10000", form.api()),
                "id": "10000", "description": "", "name": "Done" })),
            "resolutiondate": issue.resolved.map(time),
            "labels": issue.labels,
            "description": form.text(&issue.description),
            "environment": null,
            "duedate": null,
            "security": issue.restricted.then(|| json!({ "self": format!("{base}/rest/api/{}/securitylevel/10100", form.api()),
                "id": "10100", "description": "", "name": "Staff only" })),
            "creator": issue.reporter.json(base, form),
            "reporter": issue.reporter.json(base, form),
            "created": time(issue.created),
            "updated": time(issue.updated),
            "attachment": issue.attachments.values().map(|attachment| self.attachment_json(attachment, form)).collect::<Vec<_>>(),
            "issuelinks": self.links_json(issue, form),
            "subtasks": [],
            "workratio": -1,
            "votes": { "self": format!("{base}/rest/api/{}/issue/{}/votes", form.api(), issue.key), "votes": 0, "hasVoted": false },
            "watches": { "self": format!("{base}/rest/api/{}/issue/{}/watchers", form.api(), issue.key), "watchCount": 1, "isWatching": false },
            SPRINT_FIELD: issue.sprint.and_then(|id| self.sprints.get(&id)).map(|sprint| vec![sprint_field(sprint)]),
            ESTIMATE_FIELD: null,
        });
        fields.extend(more.as_object().cloned().unwrap_or_default());
        if form == Form::Server {
            fields.remove("statuscategorychangedate");
            fields
                .insert(SPRINT_FIELD.into(), json!(issue.sprint.and_then(|id| self.sprints.get(&id)).map(|sprint| [sprint_text(sprint)])));
        }
        fields
    }

    /// The six fields that Cloud puts into comment events.
    pub(crate) fn reduced_fields(&self, issue: &Issue, form: Form) -> Map<String, Value> {
        let base = self.base.as_str();
        let fields = json!({
            "summary": issue.summary,
            "issuetype": issue.kind.json(base, form),
            "project": issue.project.json(base, form),
            "assignee": issue.assignee.map(|person| person.json(base, form)),
            "priority": issue.priority.json(base, form),
            "status": issue.status.json(base, form),
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    pub(crate) fn comment_json(&self, issue: &Issue, comment: &Comment, form: Form) -> Value {
        let mut json = json!({
            "self": format!("{}/rest/api/{}/issue/{}/comment/{}", self.base, form.api(), issue.id, comment.id),
            "id": comment.id.to_string(),
            "author": comment.author.json(&self.base, form),
            "body": form.text(&comment.text),
            "updateAuthor": comment.editor.json(&self.base, form),
            "created": time(comment.created),
            "updated": time(comment.updated),
        });
        if comment.restricted {
            json["visibility"] = json!({ "type": "role", "value": "Staff" });
        }
        // Data Center says neither: whether a comment is an internal note stands in a property of it.
        if form != Form::Server {
            json["jsdPublic"] = json!(!comment.internal);
            if comment.restricted {
                json["visibility"]["identifier"] = json!("Staff");
            }
        }
        json
    }

    pub(crate) fn worklog_json(&self, issue: &Issue, worklog: &Worklog, form: Form) -> Value {
        let author = worklog.author.json(&self.base, form);
        json!({
            "self": format!("{}/rest/api/{}/issue/{}/worklog/{}", self.base, form.api(), issue.id, worklog.id),
            "author": author,
            "updateAuthor": author,
            "comment": form.text(worklog.text),
            "created": time(worklog.created),
            "updated": time(worklog.created),
            "started": time(worklog.created),
            "timeSpent": format!("{}m", worklog.seconds / 60),
            "timeSpentSeconds": worklog.seconds,
            "id": worklog.id.to_string(),
            "issueId": issue.id.to_string(),
        })
    }

    pub(crate) fn attachment_json(&self, attachment: &Attachment, form: Form) -> Value {
        let api = format!("{}/rest/api/{}/attachment", self.base, form.api());
        let content = match form {
            Form::Server => format!("{}/secure/attachment/{}/{}", self.base, attachment.id, attachment.name.replace(' ', "+")),
            _ => format!("{api}/content/{}", attachment.id),
        };
        json!({
            "self": format!("{api}/{}", attachment.id),
            "id": attachment.id.to_string(),
            "filename": attachment.name,
            "author": attachment.author.json(&self.base, form),
            "created": time(attachment.created),
            "size": attachment.bytes,
            "mimeType": attachment.mime_type,
            "content": content,
        })
    }

    pub(crate) fn version_json(&self, version: &Version, form: Form) -> Value {
        let mut json = json!({
            "self": format!("{}/rest/api/{}/version/{}", self.base, form.api(), version.id),
            "id": version.id.to_string(),
            "name": version.name,
            "archived": false,
            "released": version.released.is_some(),
            "projectId": version.project.id,
        });
        if let Some(released) = version.released {
            json["releaseDate"] = json!(time(released).get(..10));
        }
        json
    }

    /// A sprint as the agile endpoints and the sprint webhooks show it.
    pub(crate) fn sprint_json(&self, sprint: &Sprint) -> Value {
        let mut json = json!({
            "id": sprint.id,
            "self": format!("{}/rest/agile/1.0/sprint/{}", self.base, sprint.id),
            "state": sprint.state(),
            "name": sprint.name,
        });
        for (name, at) in [("startDate", sprint.start), ("endDate", sprint.end), ("completeDate", sprint.complete)] {
            if let Some(at) = at {
                json[name] = json!(at.to_string());
            }
        }
        json["originBoardId"] = json!(sprint.board);
        json["goal"] = json!("");
        json
    }

    fn links_json(&self, issue: &Issue, form: Form) -> Vec<Value> {
        let mut links = Vec::new();
        for link in self.links.values() {
            let (direction, other) = match issue.id {
                id if id == link.source => ("outwardIssue", link.destination),
                id if id == link.destination => ("inwardIssue", link.source),
                _ => continue,
            };
            let Some(other) = self.issues.get(&other) else { continue };
            let mut json = json!({
                "id": link.id.to_string(),
                "self": format!("{}/rest/api/{}/issueLink/{}", self.base, form.api(), link.id),
                "type": { "id": "10003", "name": "Relates", "inward": "relates to", "outward": "relates to",
                    "self": format!("{}/rest/api/{}/issueLinkType/10003", self.base, form.api()) },
            });
            json[direction] = json!({ "id": other.id.to_string(), "key": other.key,
                "self": format!("{}/rest/api/{}/issue/{}", self.base, form.api(), other.id),
                "fields": { "summary": other.summary, "status": other.status.json(&self.base, form),
                    "priority": other.priority.json(&self.base, form), "issuetype": other.kind.json(&self.base, form) } });
            links.push(json);
        }
        links
    }
}

impl History {
    /// With its items; webhooks also name the accounts of user fields.
    pub fn json(&self, form: Form) -> Value {
        let items: Vec<Value> = self
            .items
            .iter()
            .map(|item| {
                let mut json = json!({ "field": item.field, "fieldtype": if item.custom { "custom" } else { "jira" } });
                if let Some(id) = item.field_id.filter(|_| form != Form::Server) {
                    json["fieldId"] = json!(id);
                }
                json["from"] = json!(item.from);
                json["fromString"] = json!(item.from_text);
                json["to"] = json!(item.to);
                json["toString"] = json!(item.to_text);
                if item.of_person && form == Form::Webhook {
                    json["tmpFromAccountId"] = json!(item.from);
                    json["tmpToAccountId"] = json!(item.to);
                }
                json
            })
            .collect();
        json!({ "id": self.id.to_string(), "items": items })
    }

    /// As the changelog endpoint answers.
    pub fn whole(&self, base: &str, form: Form) -> Value {
        let mut json = self.json(form);
        json["author"] = self.author.json(base, form);
        json["created"] = json!(time(self.created));
        json
    }
}

/// A sprint inside an issue of Data Center: one text.
fn sprint_text(sprint: &Sprint) -> String {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "<null>".to_owned(), time);
    format!(
        "com.atlassian.greenhopper.service.sprint.Sprint@{:x}[id={},rapidViewId={},state={},name={},startDate={},endDate={},completeDate={},\
         activatedDate={},sequence={},goal=,synced=false,autoStartStop=false]",
        sprint.id + 0x1f2e_3d00,
        sprint.id,
        sprint.board,
        sprint.state().to_ascii_uppercase(),
        sprint.name,
        time(sprint.start),
        time(sprint.end),
        time(sprint.complete),
        time(sprint.start),
        sprint.id,
    )
}

/// A sprint inside an issue of Cloud: the board is `boardId` here.
fn sprint_field(sprint: &Sprint) -> Value {
    let mut json = json!({ "id": sprint.id, "name": sprint.name, "state": sprint.state(), "boardId": sprint.board, "goal": "" });
    for (name, at) in [("startDate", sprint.start), ("endDate", sprint.end), ("completeDate", sprint.complete)] {
        if let Some(at) = at {
            json[name] = json!(at.to_string());
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_jira_writes_them() {
        for (ms, expected) in [
            (1_765_441_200_120, "2025-12-11T09:20:00.120+0100"),
            (1_781_000_000_000, "2026-06-09T12:13:20.000+0200"),
            (0, "1970-01-01T01:00:00.000+0100"),
        ] {
            assert_eq!(time(Timestamp::from_ms(ms)), expected);
        }
    }
}
