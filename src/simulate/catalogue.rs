//! What administrators set up once: projects, statuses, issue types, priorities, boards, and their JSON.

use serde_json::{Value, json};

use super::people::MIRA;
use super::shape::Form;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Project {
    pub id: u64,
    pub key: &'static str,
    pub name: &'static str,
    pub kind: &'static str,
    /// The scrum board; a service desk has none.
    pub board: Option<u64>,
}

pub(crate) static DOCS: Project = Project { id: 10000, key: "DOCS", name: "Documentation", kind: "software", board: Some(1) };
pub(crate) static OPS: Project = Project { id: 10001, key: "OPS", name: "Operations", kind: "software", board: Some(2) };
pub(crate) static HELP: Project = Project { id: 10002, key: "HELP", name: "Help desk", kind: "service_desk", board: None };
pub(crate) static PROJECTS: [&Project; 3] = [&DOCS, &OPS, &HELP];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    ToDo,
    InProgress,
    OnHold,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Story,
    Task,
    Bug,
    Request,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    High,
    Medium,
    Low,
}

pub(crate) const SPRINT_FIELD: &str = "customfield_10020";
pub(crate) const ESTIMATE_FIELD: &str = "customfield_10016";

impl Status {
    pub const ALL: [Self; 4] = [Self::ToDo, Self::InProgress, Self::OnHold, Self::Done];

    pub fn id(self) -> &'static str {
        match self {
            Self::ToDo => "10000",
            Self::InProgress => "3",
            Self::OnHold => "10005",
            Self::Done => "10002",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::ToDo => "To Do",
            Self::InProgress => "In Progress",
            Self::OnHold => "On Hold",
            Self::Done => "Done",
        }
    }

    pub fn json(self, base: &str, form: Form) -> Value {
        let (id, key, colour, name) = match self {
            Self::ToDo => (2, "new", "blue-gray", "To Do"),
            Self::InProgress | Self::OnHold => (4, "indeterminate", "yellow", "In Progress"),
            Self::Done => (3, "done", "green", "Done"),
        };
        let rest = format!("{base}/rest/api/{}", form.api());
        json!({
            "self": format!("{rest}/status/{}", self.id()),
            "description": "",
            "iconUrl": format!("{base}/images/icons/statuses/generic.png"),
            "name": self.name(),
            "id": self.id(),
            "statusCategory": { "self": format!("{rest}/statuscategory/{id}"), "id": id, "key": key, "colorName": colour, "name": name },
        })
    }
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Story, Self::Task, Self::Bug, Self::Request];

    pub fn id(self) -> &'static str {
        match self {
            Self::Story => "10001",
            Self::Task => "10002",
            Self::Bug => "10004",
            Self::Request => "10010",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Story => "Story",
            Self::Task => "Task",
            Self::Bug => "Bug",
            Self::Request => "Service Request",
        }
    }

    pub fn json(self, base: &str, form: Form) -> Value {
        let mut json = json!({
            "self": format!("{base}/rest/api/{}/issuetype/{}", form.api(), self.id()),
            "id": self.id(),
            "description": "",
            "iconUrl": format!("{base}/images/icons/issuetypes/{}.svg", self.id()),
            "name": self.name(),
            "subtask": false,
            "avatarId": 10300,
        });
        if form != Form::Server {
            json["hierarchyLevel"] = json!(0);
        }
        json
    }
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    pub fn id(self) -> &'static str {
        match self {
            Self::High => "2",
            Self::Medium => "3",
            Self::Low => "4",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::High => "High",
            Self::Medium => "Medium",
            Self::Low => "Low",
        }
    }

    pub fn json(self, base: &str, form: Form) -> Value {
        json!({
            "self": format!("{base}/rest/api/{}/priority/{}", form.api(), self.id()),
            "iconUrl": format!("{base}/images/icons/priorities/{}.svg", self.name().to_lowercase()),
            "name": self.name(),
            "id": self.id(),
        })
    }
}

impl Project {
    /// As it stands inside an issue.
    pub fn json(&self, base: &str, form: Form) -> Value {
        let mut json = json!({
            "self": format!("{base}/rest/api/{}/project/{}", form.api(), self.id),
            "id": self.id.to_string(),
            "key": self.key,
            "name": self.name,
            "projectTypeKey": self.kind,
            "avatarUrls": { "48x48": format!("{base}/projectavatar/{}.png", self.id) },
        });
        if form != Form::Server {
            json["simplified"] = json!(false);
        }
        json
    }

    /// As the project endpoints answer.
    pub fn whole(&self, base: &str, form: Form) -> Value {
        let mut project = self.json(base, form);
        project["expand"] = json!("description,lead,issueTypes,url,projectKeys");
        if form != Form::Server {
            project["style"] = json!("classic");
            project["isPrivate"] = json!(false);
        }
        project["lead"] = MIRA.json(base, form);
        if let Some(lead) = project["lead"].as_object_mut() {
            lead.remove("timeZone");
        }
        project
    }

    pub fn board_json(&self, base: &str) -> Option<Value> {
        let id = self.board?;
        Some(json!({
            "id": id,
            "self": format!("{base}/rest/agile/1.0/board/{id}"),
            "name": format!("{} board", self.name),
            "type": "scrum",
            "location": { "projectId": self.id, "displayName": format!("{} ({})", self.name, self.key), "projectName": self.name,
                "projectKey": self.key, "projectTypeKey": self.kind, "name": format!("{} ({})", self.name, self.key) },
        }))
    }
}
