//! What a client asks once: the server, itself, fields, projects, permissions, people, statuses, labels, boards and sprints.

use std::collections::BTreeSet;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use crate::simulate::catalogue::{ESTIMATE_FIELD, Kind, PROJECTS, Priority, Project, SPRINT_FIELD, Status};
use crate::simulate::people::{EVERYBODY, Person, WIRE};
use crate::simulate::settings::Flavour;
use crate::simulate::shape::{Form, time};
use crate::simulate::site::browses;

use super::{Api, Asked, Caller, page, refusal};

pub(super) struct FieldEntry {
    pub id: &'static str,
    pub name: &'static str,
    schema: (&'static str, Option<&'static str>),
    custom: Option<(&'static str, u64)>,
}

const fn system(id: &'static str, name: &'static str, kind: &'static str, items: Option<&'static str>) -> FieldEntry {
    FieldEntry { id, name, schema: (kind, items), custom: None }
}

pub(super) static FIELDS: [FieldEntry; 23] = [
    system("summary", "Summary", "string", None),
    system("description", "Description", "string", None),
    system("issuetype", "Issue Type", "issuetype", None),
    system("project", "Project", "project", None),
    system("status", "Status", "status", None),
    system("priority", "Priority", "priority", None),
    system("resolution", "Resolution", "resolution", None),
    system("resolutiondate", "Resolved", "datetime", None),
    system("assignee", "Assignee", "user", None),
    system("reporter", "Reporter", "user", None),
    system("creator", "Creator", "user", None),
    system("labels", "Labels", "array", Some("string")),
    system("components", "Components", "array", Some("component")),
    system("fixVersions", "Fix versions", "array", Some("version")),
    system("security", "Security Level", "securitylevel", None),
    system("created", "Created", "datetime", None),
    system("updated", "Updated", "datetime", None),
    system("duedate", "Due date", "date", None),
    system("comment", "Comment", "comments-page", None),
    system("worklog", "Log Work", "array", Some("worklog")),
    system("attachment", "Attachment", "array", Some("attachment")),
    FieldEntry {
        id: SPRINT_FIELD,
        name: "Sprint",
        schema: ("array", Some("json")),
        custom: Some(("com.pyxis.greenhopper.jira:gh-sprint", 10_020)),
    },
    FieldEntry {
        id: ESTIMATE_FIELD,
        name: "Story point estimate",
        schema: ("number", None),
        custom: Some(("com.pyxis.greenhopper.jira:jsw-story-points", 10_016)),
    },
];

/// Key, name, and whether it is of the whole site.
const PERMISSIONS: [(&str, &str, bool); 8] = [
    ("ADMINISTER", "Administer Jira", true),
    ("USER_PICKER", "Browse users and groups", true),
    ("BROWSE_PROJECTS", "Browse Projects", false),
    ("CREATE_ISSUES", "Create Issues", false),
    ("EDIT_ISSUES", "Edit Issues", false),
    ("ADD_COMMENTS", "Add Comments", false),
    ("TRANSITION_ISSUES", "Transition Issues", false),
    ("SERVICEDESK_AGENT", "Service Project Agent", false),
];

pub(super) async fn server_info(State(api): State<Api>) -> Json<Value> {
    let mut site = api.rest.site();
    let now = site.now();
    let (version, numbers, deployment, build) = match api.form {
        Form::Server => ("10.3.5", [10, 3, 5], "Server", 10_030_005),
        _ => ("1001.0.0-SNAPSHOT", [1001, 0, 0], "Cloud", 100_295),
    };
    let mut info = json!({
        "baseUrl": site.base,
        "version": version,
        "versionNumbers": numbers,
        "deploymentType": deployment,
        "buildNumber": build,
        "buildDate": "2025-12-01T10:00:00.000+0100",
        "serverTime": time(now),
        "scmInfo": "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567",
        "serverTitle": "Brightdesk (simulated)",
    });
    if api.form != Form::Server {
        info["displayUrl"] = json!(site.base);
    }
    Json(info)
}

pub(super) async fn myself(State(api): State<Api>) -> Json<Value> {
    let mut me = WIRE.json(&api.rest.site().base, api.form);
    if api.form != Form::Server {
        me["emailAddress"] = json!(api.rest.settings.account.email);
    }
    me["locale"] = json!("en_US");
    me["groups"] = json!({ "size": 1, "items": [] });
    me["applicationRoles"] = json!({ "size": 1, "items": [] });
    me["expand"] = json!("groups,applicationRoles");
    Json(me)
}

pub(super) async fn fields(State(api): State<Api>) -> Json<Value> {
    let entry = |field: &FieldEntry| {
        let mut schema = json!({ "type": field.schema.0 });
        if let Some(items) = field.schema.1 {
            schema["items"] = json!(items);
        }
        let mut clauses = vec![field.name.to_owned()];
        match field.custom {
            Some((custom, id)) => {
                (schema["custom"], schema["customId"]) = (json!(custom), json!(id));
                clauses.insert(0, format!("cf[{id}]"));
            }
            None => {
                schema["system"] = json!(field.id);
                clauses = vec![field.id.to_ascii_lowercase()];
            }
        }
        let mut json = json!({ "id": field.id, "name": field.name, "custom": field.custom.is_some(), "orderable": true, "navigable": true,
            "searchable": true, "clauseNames": clauses, "schema": schema });
        if api.form != Form::Server {
            json["key"] = json!(field.id);
        }
        json
    };
    Json(FIELDS.iter().map(entry).collect())
}

pub(super) async fn projects(State(api): State<Api>, Extension(caller): Extension<Caller>, Query(asked): Query<Asked>) -> Json<Value> {
    let keys: Vec<&str> = asked.all("keys").flat_map(|list| list.split(',')).collect();
    let base = api.rest.site().base.clone();
    let visible = PROJECTS.iter().filter(|project| api.browses(caller, project) && (keys.is_empty() || keys.contains(&project.key)));
    Json(page(visible.map(|project| project.whole(&base, api.form)).collect(), asked.page(50, 100), "values"))
}

pub(super) async fn project(State(api): State<Api>, Extension(caller): Extension<Caller>, Path(name): Path<String>) -> Response {
    let found = PROJECTS.iter().find(|project| project.key.eq_ignore_ascii_case(&name) || project.id.to_string() == name);
    match found.filter(|project| api.browses(caller, project)) {
        Some(project) => Json(project.whole(&api.rest.site().base, api.form)).into_response(),
        None => refusal(StatusCode::NOT_FOUND, &format!("No project could be found with key '{name}'.")),
    }
}

pub(super) async fn my_permissions(State(api): State<Api>, Query(asked): Query<Asked>) -> Response {
    let mut keys: Vec<&str> = asked.get("permissions").unwrap_or_default().split(',').filter(|key| !key.is_empty()).collect();
    if api.form == Form::Server {
        // Data Center does not ask which ones, and answers all.
        keys = PERMISSIONS.iter().map(|(key, ..)| *key).collect();
    }
    if keys.is_empty() {
        return refusal(StatusCode::BAD_REQUEST, "The 'permissions' query parameter is required.");
    }
    let account = &api.rest.settings.account;
    let site = api.rest.site();
    let project = asked.get("projectKey").or(asked.get("projectId"));
    let issue = asked.get("issueKey").or(asked.get("issueId"));
    let may = match (project, issue) {
        (_, Some(name)) => site.find(name).is_some_and(|issue| site.sees(account, issue)),
        (Some(name), None) => {
            PROJECTS.iter().any(|project| (project.key == name || project.id.to_string() == name) && browses(account, project))
        }
        (None, None) => PROJECTS.iter().any(|project| browses(account, project)),
    };
    let mut permissions = Map::new();
    let mut unknown = Map::new();
    for key in keys {
        match PERMISSIONS.iter().enumerate().find(|(_, (known, ..))| *known == key) {
            Some((id, (_, name, global))) => {
                let kind = if *global { "GLOBAL" } else { "PROJECT" };
                let have = if *global { key == "USER_PICKER" } else { may };
                permissions.insert(
                    key.to_owned(),
                    json!({ "id": id.to_string(), "key": key, "name": name, "type": kind, "description": "", "havePermission": have }),
                );
            }
            None => drop(unknown.insert(key.to_owned(), json!("Unrecognized permission"))),
        }
    }
    if !unknown.is_empty() {
        return (StatusCode::BAD_REQUEST, Json(json!({ "errorMessages": [], "errors": unknown }))).into_response();
    }
    Json(json!({ "permissions": permissions })).into_response()
}

pub(super) async fn user(State(api): State<Api>, Query(asked): Query<Asked>) -> Response {
    let is_meant = |person: &&&Person| match api.form {
        Form::Server => asked.get("username") == Some(person.login) || asked.get("key") == Some(person.id(Flavour::Datacenter)),
        _ => asked.get("accountId") == Some(person.account_id),
    };
    match EVERYBODY.iter().find(is_meant) {
        Some(person) => Json(person.json(&api.rest.site().base, api.form)).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "Specified user does not exist or you do not have required permissions"),
    }
}

pub(super) async fn statuses(State(api): State<Api>) -> Json<Value> {
    let base = api.rest.site().base.clone();
    Json(Status::ALL.iter().map(|status| status.json(&base, api.form)).collect())
}

pub(super) async fn priorities(State(api): State<Api>) -> Json<Value> {
    let base = api.rest.site().base.clone();
    Json(Priority::ALL.iter().map(|priority| priority.json(&base, api.form)).collect())
}

pub(super) async fn issue_types(State(api): State<Api>) -> Json<Value> {
    let base = api.rest.site().base.clone();
    Json(Kind::ALL.iter().map(|kind| kind.json(&base, api.form)).collect())
}

pub(super) async fn labels(State(api): State<Api>, Query(asked): Query<Asked>) -> Json<Value> {
    let labels: BTreeSet<String> = api.rest.site().issues.values().flat_map(|issue| issue.labels.iter().cloned()).collect();
    Json(page(labels.into_iter().map(Value::String).collect(), asked.page(1_000, 1_000), "values"))
}

pub(super) async fn boards(State(api): State<Api>, Query(asked): Query<Asked>) -> Json<Value> {
    let wanted = asked.get("projectKeyOrId");
    let base = api.rest.site().base.clone();
    let boards = api.boards().filter(|project| wanted.is_none_or(|name| name == project.key || name == project.id.to_string()));
    Json(page(boards.filter_map(|project| project.board_json(&base)).collect(), asked.page(50, 50), "values"))
}

pub(super) async fn board(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let base = api.rest.site().base.clone();
    match api.board(&id).and_then(|project| project.board_json(&base)) {
        Some(board) => Json(board).into_response(),
        None => no_such_board(),
    }
}

pub(super) async fn board_sprints(State(api): State<Api>, Path(id): Path<String>, Query(asked): Query<Asked>) -> Response {
    let Some(board) = api.board(&id).and_then(|project| project.board) else { return no_such_board() };
    let states: Vec<&str> = asked.all("state").flat_map(|list| list.split(',')).collect();
    let site = api.rest.site();
    let found = site.sprints.values().filter(|sprint| sprint.board == board && (states.is_empty() || states.contains(&sprint.state())));
    Json(page(found.map(|sprint| site.sprint_json(sprint)).collect(), asked.page(50, 50), "values")).into_response()
}

pub(super) async fn sprint(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let site = api.rest.site();
    let found = id.parse().ok().and_then(|id: u64| site.sprints.get(&id));
    match found.filter(|sprint| api.board(&sprint.board.to_string()).is_some()) {
        Some(sprint) => Json(site.sprint_json(sprint)).into_response(),
        None => refusal(StatusCode::NOT_FOUND, "Sprint does not exist or you do not have permission to view it."),
    }
}

fn no_such_board() -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "The requested board cannot be viewed because it either does not exist or you do not have permission to view it.",
    )
}

impl Api {
    pub(super) fn browses(&self, caller: Caller, project: &Project) -> bool {
        caller == Caller::Account && browses(&self.rest.settings.account, project)
    }

    fn boards(&self) -> impl Iterator<Item = &'static Project> {
        PROJECTS.into_iter().filter(|project| project.board.is_some() && browses(&self.rest.settings.account, project))
    }

    fn board(&self, id: &str) -> Option<&'static Project> {
        self.boards().find(|project| project.board.is_some_and(|board| board.to_string() == id))
    }
}
