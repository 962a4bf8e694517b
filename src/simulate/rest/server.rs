//! What Data Center answers otherwise: version 2 alone, searches by `startAt` with a total, all projects at once, comments' properties.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulate::catalogue::{HELP, PROJECTS};

use super::search::{matching, search};
use super::{Api, Asked, Caller, catalogue, issue, login_needed, refusal};

/// The site's own limit of a page, whatever was asked for.
const PAGE_MAX: usize = 1_000;
const EVERYTHING: &str = "project in (DOCS, OPS, HELP)";
/// Where the service desk keeps whether a comment is an internal note.
const NOTE: &str = "sd.public.comment";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wanted {
    jql: String,
    start_at: usize,
    max_results: usize,
    fields: Vec<String>,
    expand: Vec<String>,
    validate_query: Value,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { jql: String::new(), start_at: 0, max_results: 50, fields: Vec::new(), expand: Vec::new(), validate_query: Value::Bool(true) }
    }
}

pub(super) fn router(api: Api) -> Router {
    let closed = Router::new()
        .route("/myself", get(catalogue::myself))
        .route("/field", get(catalogue::fields))
        .route("/mypermissions", get(catalogue::my_permissions))
        .route("/user", get(catalogue::user))
        .route("/status", get(catalogue::statuses))
        .route("/priority", get(catalogue::priorities))
        .route("/issuetype", get(catalogue::issue_types))
        .route_layer(middleware::from_fn(login_needed));
    Router::new()
        .route("/serverInfo", get(catalogue::server_info))
        .route("/project", get(projects))
        .route("/project/{key}", get(catalogue::project))
        .route("/issue/{issue}", get(issue::one))
        .route("/issue/{issue}/comment", get(issue::comments))
        .route("/issue/{issue}/comment/{comment}", get(issue::comment))
        .route("/issue/{issue}/worklog", get(issue::worklogs))
        .route("/issue/{issue}/worklog/{worklog}", get(issue::worklog))
        .route("/issue/{issue}/watchers", get(issue::watchers))
        .route("/comment/{comment}/properties/{key}", get(comment_property))
        .route("/search", get(by_query).post(by_body))
        .merge(closed)
        .with_state(api)
}

async fn projects(State(api): State<Api>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let base = api.rest.site().base.clone();
    Json(PROJECTS.iter().filter(|project| api.browses(caller, project)).map(|project| project.whole(&base, api.form)).collect())
}

/// Comments of a service desk alone have the property.
async fn comment_property(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((comment, key)): Path<(String, String)>,
) -> Response {
    let site = api.rest.site();
    let Ok(id) = comment.parse::<u64>() else {
        return refusal(StatusCode::BAD_REQUEST, "The comment ID is invalid.");
    };
    let mut seen = site.issues.values().filter(|issue| api.sees(caller, &site, issue));
    let found = seen.find_map(|issue| Some((issue, issue.comments.get(&id).filter(|comment| api.reads(comment))?)));
    match found {
        Some((issue, comment)) if issue.project == &HELP && key == NOTE => {
            Json(json!({ "key": NOTE, "value": { "internal": comment.internal } })).into_response()
        }
        Some(_) => refusal(StatusCode::NOT_FOUND, &format!("The property {key} for the comment {comment} does not exist.")),
        None => refusal(StatusCode::NOT_FOUND, &format!("Can not find a comment for the id: {comment}.")),
    }
}

async fn by_query(State(api): State<Api>, Extension(caller): Extension<Caller>, Query(asked): Query<Asked>) -> Response {
    let listed = |name| asked.all(name).flat_map(|list| list.split(',')).map(|part| part.trim().to_owned()).collect();
    let (start_at, max_results) = asked.page(50, PAGE_MAX);
    let wanted = Wanted {
        jql: asked.get("jql").unwrap_or_default().to_owned(),
        start_at,
        max_results,
        fields: listed("fields"),
        expand: listed("expand"),
        validate_query: json!(asked.get("validateQuery").unwrap_or("true")),
    };
    answer(&api, caller, &wanted)
}

async fn by_body(State(api): State<Api>, Extension(caller): Extension<Caller>, Json(wanted): Json<Wanted>) -> Response {
    answer(&api, caller, &wanted)
}

fn answer(api: &Api, caller: Caller, wanted: &Wanted) -> Response {
    let mut site = api.rest.site();
    let bounded = match wanted.jql.trim() {
        "" => EVERYTHING.to_owned(),
        order if order.to_ascii_lowercase().starts_with("order ") => format!("{EVERYTHING} {order}"),
        jql => jql.to_owned(),
    };
    let is_lenient = ["false", "none", "warn"].contains(&wanted.validate_query.to_string().trim_matches('"'));
    let search = match search(&mut site, &bounded, is_lenient) {
        Ok(search) => search,
        Err(text) => return refusal(StatusCode::BAD_REQUEST, &text),
    };
    let found = matching(api, caller, &site, &search);
    let most = wanted.max_results.min(PAGE_MAX);
    let shown = found.iter().skip(wanted.start_at).take(most);
    let issues: Vec<Value> = shown.map(|(_, issue)| api.issue(&site, issue, &wanted.fields, &wanted.expand)).collect();
    Json(json!({ "expand": "names,schema", "startAt": wanted.start_at, "maxResults": most, "total": found.len(), "issues": issues }))
        .into_response()
}
