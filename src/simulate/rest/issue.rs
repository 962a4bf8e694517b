//! Reading issues: one, many at once, their changelogs, comments, worklogs and watchers.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::simulate::site::{Comment, Issue, Site};

use super::catalogue::FIELDS;
use super::{Api, Asked, Caller, page, refusal};

/// Jira's own bound of a bulk fetch.
const BULK_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bulk {
    issue_ids_or_keys: Vec<Value>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    expand: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ids {
    ids: Vec<Value>,
}

pub(super) async fn one(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let wanted: Vec<String> = asked.all("fields").flat_map(|list| list.split(',')).map(|field| field.trim().to_owned()).collect();
    let expand: Vec<String> = asked.all("expand").flat_map(|list| list.split(',')).map(str::to_owned).collect();
    let site = api.rest.site();
    match api.issue_of(caller, &site, &name) {
        Ok(issue) => Json(api.issue(&site, issue, &wanted, &expand)).into_response(),
        Err(refused) => refused,
    }
}

pub(super) async fn bulk(State(api): State<Api>, Extension(caller): Extension<Caller>, Json(asked): Json<Bulk>) -> Response {
    let most = if asked.expand.iter().any(|name| name == "changelog") { 40 } else { BULK_MAX };
    if asked.issue_ids_or_keys.is_empty() || asked.issue_ids_or_keys.len() > most {
        return refusal(StatusCode::BAD_REQUEST, &format!("The number of issueIdsOrKeys must be between 1 and {most}."));
    }
    let site = api.rest.site();
    let names: Vec<String> = asked.issue_ids_or_keys.iter().map(plain).collect();
    let mut found: Vec<&Issue> = names.iter().filter_map(|name| site.find(name)).filter(|issue| api.sees(caller, &site, issue)).collect();
    found.sort_by_key(|issue| issue.id);
    found.dedup_by_key(|issue| issue.id);
    let issues: Vec<Value> = found.into_iter().map(|issue| api.issue(&site, issue, &asked.fields, &asked.expand)).collect();
    Json(json!({ "issues": issues, "issueErrors": [] })).into_response()
}

pub(super) async fn changelog(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    let histories = issue.histories.iter().map(|history| history.whole(&site.base, api.form)).collect();
    Json(page(histories, asked.page(100, 100), "values")).into_response()
}

pub(super) async fn comments(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let newest_first = match asked.get("orderBy") {
        None | Some("created" | "+created") => false,
        Some("-created") => true,
        Some(_) => return refusal(StatusCode::BAD_REQUEST, "The orderBy parameter must be one of created, +created and -created."),
    };
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    let mut comments = api.comments(&site, issue);
    if newest_first {
        comments.reverse();
    }
    Json(page(comments, asked.page(100, 100), "comments")).into_response()
}

pub(super) async fn comment(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, comment)): Path<(String, String)>,
) -> Response {
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    let found = comment.parse().ok().and_then(|id: u64| issue.comments.get(&id)).filter(|comment| api.reads(comment));
    match found {
        Some(comment) => Json(site.comment_json(issue, comment, api.form)).into_response(),
        None => refusal(StatusCode::NOT_FOUND, &format!("Can not find a comment for the id: {comment}.")),
    }
}

pub(super) async fn worklogs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    Json(page(api.worklogs(&site, issue), asked.page(5_000, 5_000), "worklogs")).into_response()
}

pub(super) async fn worklog(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path((name, worklog)): Path<(String, String)>,
) -> Response {
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    match worklog.parse().ok().and_then(|id: u64| issue.worklogs.get(&id)) {
        Some(worklog) => Json(site.worklog_json(issue, worklog, api.form)).into_response(),
        None => refusal(StatusCode::NOT_FOUND, &format!("Cannot find worklog with id: '{worklog}'.")),
    }
}

/// Whoever reported an issue watches it.
pub(super) async fn watchers(State(api): State<Api>, Extension(caller): Extension<Caller>, Path(name): Path<String>) -> Response {
    let site = api.rest.site();
    let issue = match api.issue_of(caller, &site, &name) {
        Ok(issue) => issue,
        Err(refused) => return refused,
    };
    let me = format!("{}/rest/api/{}/issue/{}/watchers", site.base, api.form.api(), issue.key);
    let watchers = [issue.reporter.json(&site.base, api.form)];
    Json(json!({ "self": me, "isWatching": false, "watchCount": watchers.len(), "watchers": watchers })).into_response()
}

pub(super) async fn comment_list(State(api): State<Api>, Extension(caller): Extension<Caller>, Json(asked): Json<Ids>) -> Response {
    if asked.ids.is_empty() || asked.ids.len() > 1_000 {
        return refusal(StatusCode::BAD_REQUEST, "The number of ids must be between 1 and 1000.");
    }
    let wanted: Vec<String> = asked.ids.iter().map(plain).collect();
    let site = api.rest.site();
    let mut found = Vec::new();
    for issue in site.issues.values().filter(|issue| api.sees(caller, &site, issue)) {
        let of_issue = issue.comments.values().filter(|comment| wanted.contains(&comment.id.to_string()) && api.reads(comment));
        found.extend(of_issue.map(|comment| site.comment_json(issue, comment, api.form)));
    }
    Json(page(found, (0, 1_000), "values")).into_response()
}

impl Api {
    /// An issue with the fields wanted: none named means all.
    pub(super) fn issue(&self, site: &Site, issue: &Issue, wanted: &[String], expand: &[String]) -> Value {
        let mut json = site.issue_json(issue, self.form);
        json["expand"] = json!("renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations");
        let mut fields = match json["fields"].take() {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let (comments, worklogs) = (self.comments(site, issue), self.worklogs(site, issue));
        let count = comments.len();
        fields.insert("comment".into(), page(comments, (0, count), "comments"));
        fields.insert("worklog".into(), page(worklogs, (0, 20), "worklogs"));
        if let Some(Value::Array(links)) = fields.get_mut("issuelinks") {
            links.retain(|link| self.sees_ends(site, link));
        }
        fields.retain(|name, _| is_wanted(name, wanted));
        json["fields"] = Value::Object(fields);
        if expand.iter().any(|name| name == "names") {
            json["names"] = FIELDS.iter().map(|field| (field.id.to_owned(), json!(field.name))).collect::<Map<_, _>>().into();
        }
        if expand.iter().any(|name| name == "changelog") {
            let newest_first = issue.histories.iter().rev().take(100).map(|history| history.whole(&site.base, self.form)).collect();
            let mut changelog = page(newest_first, (0, 100), "histories");
            changelog["total"] = json!(issue.histories.len());
            json["changelog"] = changelog;
        }
        json
    }

    fn sees_ends(&self, site: &Site, link: &Value) -> bool {
        let mut ends = ["outwardIssue", "inwardIssue"].into_iter().filter_map(|side| link[side]["id"].as_str());
        ends.all(|id| site.find(id).is_some_and(|issue| site.sees(&self.rest.settings.account, issue)))
    }

    fn comments(&self, site: &Site, issue: &Issue) -> Vec<Value> {
        issue.comments.values().filter(|comment| self.reads(comment)).map(|comment| site.comment_json(issue, comment, self.form)).collect()
    }

    fn worklogs(&self, site: &Site, issue: &Issue) -> Vec<Value> {
        issue.worklogs.values().map(|worklog| site.worklog_json(issue, worklog, self.form)).collect()
    }

    pub(super) fn reads(&self, comment: &Comment) -> bool {
        self.rest.settings.account.sees_restricted || !(comment.restricted || comment.internal)
    }
}

fn is_wanted(name: &str, wanted: &[String]) -> bool {
    if wanted.iter().any(|field| field.strip_prefix('-') == Some(name)) {
        return false;
    }
    let mut named = wanted.iter().filter(|field| !field.starts_with('-') && !field.is_empty()).peekable();
    named.peek().is_none() || named.any(|field| field == name || field == "*all" || field == "*navigable")
}

/// Ids come as texts or numbers.
fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
