//! Bodies for scenarios that need certain ones: an invented issue and what happens to it, each step later than the one before.

use serde_json::{Value, json};

use ticketwire::clock::Timestamp;

const BEGIN_MS: i64 = 1_765_441_200_000;
const SITE: &str = "https://brightdesk.example";

pub struct Story {
    pub id: u64,
    pub key: String,
    project: &'static str,
    pub summary: String,
    pub security: Option<&'static str>,
    steps: u64,
    at: i64,
}

impl Story {
    pub fn new(number: u64, project: &'static str) -> Self {
        let at = BEGIN_MS + i64::try_from(number).expect("a small number");
        let summary = format!("story {number}");
        Self { id: 100_000 + number, key: format!("{project}-{number}"), project, summary, security: None, steps: 0, at }
    }

    pub fn created(&mut self) -> Value {
        self.step();
        self.event("jira:issue_created", json!({ "issue_event_type_name": "issue_created", "user": person(), "issue": self.issue() }))
    }

    pub fn renamed(&mut self, summary: &str) -> Value {
        let item = json!({ "field": "summary", "fieldId": "summary", "fieldtype": "jira", "from": null, "fromString": self.summary,
            "to": null, "toString": summary });
        self.summary = summary.to_owned();
        self.updated("issue_updated", &item)
    }

    pub fn updated(&mut self, type_name: &str, item: &Value) -> Value {
        self.step();
        let changelog = json!({ "id": self.number().to_string(), "items": [item] });
        let members = json!({ "issue_event_type_name": type_name, "user": person(), "issue": self.issue(), "changelog": changelog });
        self.event("jira:issue_updated", members)
    }

    pub fn deleted(&mut self) -> Value {
        self.step();
        self.event("jira:issue_deleted", json!({ "user": person(), "issue": self.issue() }))
    }

    /// As Cloud tells of it: with an issue of few fields.
    pub fn commented(&mut self, text: &str) -> Value {
        self.step();
        let mut issue = self.issue();
        let fields = issue["fields"].as_object_mut().expect("fields");
        fields.retain(|name, _| ["summary", "issuetype", "project", "assignee", "priority", "status"].contains(&name.as_str()));
        self.event("comment_created", json!({ "comment": self.comment(text), "issue": issue }))
    }

    /// As Data Center tells of it: twice, once without the issue.
    pub fn commented_twice(&mut self, text: &str) -> [Value; 2] {
        self.step();
        let comment = self.comment(text);
        let twin = json!({ "issue_event_type_name": "issue_commented", "user": person(), "issue": self.issue(), "comment": comment });
        [self.event("comment_created", json!({ "comment": comment })), self.event("jira:issue_updated", twin)]
    }

    pub fn comment(&self, text: &str) -> Value {
        let at = stamp(self.at);
        json!({ "self": format!("{SITE}/rest/api/2/issue/{}/comment/{}", self.id, self.number()), "id": self.number().to_string(),
            "author": person(), "updateAuthor": person(), "body": text, "created": at, "updated": at, "jsdPublic": true })
    }

    pub fn issue(&self) -> Value {
        let level =
            self.security.map(|name| json!({ "self": format!("{SITE}/rest/api/2/securitylevel/10010"), "id": "10010", "name": name }));
        json!({ "id": self.id.to_string(), "self": format!("{SITE}/rest/api/2/issue/{}", self.id), "key": self.key, "fields": {
            "summary": self.summary, "description": "An invented story", "labels": ["invented"], "security": level, "assignee": null,
            "issuetype": { "id": "10002", "name": "Task", "subtask": false }, "priority": { "id": "3", "name": "Medium" },
            "project": { "id": "10000", "key": self.project, "name": "Operations", "projectTypeKey": "software" },
            "status": { "id": "10000", "name": "To Do", "statusCategory": { "id": 2, "key": "new", "name": "To Do" } },
            "reporter": person(), "creator": person(), "created": stamp(BEGIN_MS), "updated": stamp(self.at),
        } })
    }

    fn step(&mut self) {
        self.steps += 1;
        self.at += 1_500;
    }

    /// Unlike that of any other step of any story.
    fn number(&self) -> u64 {
        self.id * 10_000 + self.steps
    }

    fn event(&self, name: &str, members: Value) -> Value {
        let mut body = json!({ "timestamp": self.at, "webhookEvent": name });
        let Value::Object(members) = members else { unreachable!("members are an object") };
        body.as_object_mut().expect("an object").extend(members);
        body
    }
}

/// The body as a second webhook of the site sends it: its members in another order, and the numbers of the webhooks that matched.
pub fn second_webhook(body: &Value) -> Value {
    let members = body.as_object().expect("an object").iter().rev();
    let mut other: serde_json::Map<String, Value> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    other.insert("matchedWebhookIds".into(), json!([1000]));
    Value::Object(other)
}

fn person() -> Value {
    json!({ "accountId": "712020:invented-jane", "accountType": "atlassian", "displayName": "Jane Invented", "active": true,
        "emailAddress": "jane@people.example" })
}

fn stamp(ms: i64) -> String {
    Timestamp::from_ms(ms).to_string().replace('Z', "+0000")
}
