//! `search/jql`: pages by token, ids only unless fields are asked for, no total; its predecessor `search` is gone.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulate::site::{Issue, Site};

use super::jql::{Order, Search, SortKey};
use super::{Api, Asked, Caller, refusal};

const RECONCILED_MAX: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wanted {
    jql: String,
    fields: Vec<String>,
    expand: Option<String>,
    max_results: Option<usize>,
    next_page_token: Option<String>,
    /// Accepted as Jira does; what is found here is never behind.
    reconcile_issues: Vec<u64>,
}

pub(super) async fn by_query(State(api): State<Api>, Extension(caller): Extension<Caller>, Query(asked): Query<Asked>) -> Response {
    let wanted = Wanted {
        jql: asked.get("jql").unwrap_or_default().to_owned(),
        fields: asked.all("fields").flat_map(|list| list.split(',')).map(|field| field.trim().to_owned()).collect(),
        expand: asked.get("expand").map(str::to_owned),
        max_results: asked.get("maxResults").and_then(|text| text.parse().ok()),
        next_page_token: asked.get("nextPageToken").map(str::to_owned),
        reconcile_issues: asked.all("reconcileIssues").filter_map(|id| id.parse().ok()).collect(),
    };
    answer(&api, caller, &wanted)
}

pub(super) async fn by_body(State(api): State<Api>, Extension(caller): Extension<Caller>, Json(wanted): Json<Wanted>) -> Response {
    answer(&api, caller, &wanted)
}

pub(super) async fn count(State(api): State<Api>, Extension(caller): Extension<Caller>, Json(wanted): Json<Wanted>) -> Response {
    let mut site = api.rest.site();
    match search(&mut site, &wanted.jql, false) {
        Ok(search) => Json(json!({ "count": matching(&api, caller, &site, &search).len() })).into_response(),
        Err(text) => refusal(StatusCode::BAD_REQUEST, &text),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Parsing {
    queries: Vec<String>,
}

/// Without the structure of those that are right.
pub(super) async fn parse(State(api): State<Api>, Json(asked): Json<Parsing>) -> Response {
    let mut site = api.rest.site();
    let mut queries = Vec::new();
    for jql in &asked.queries {
        queries.push(match search(&mut site, jql, false) {
            Ok(_) => json!({ "query": jql }),
            Err(text) => json!({ "query": jql, "errors": [text] }),
        });
    }
    Json(json!({ "queries": queries })).into_response()
}

pub(super) async fn removed() -> Response {
    refusal(
        StatusCode::GONE,
        "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration guideline is available at \
         https://developer.atlassian.com/changelog/#CHANGE-2046",
    )
}

fn answer(api: &Api, caller: Caller, wanted: &Wanted) -> Response {
    if caller == Caller::Anonymous {
        return Json(json!({ "issues": [], "isLast": true })).into_response();
    }
    if wanted.reconcile_issues.len() > RECONCILED_MAX {
        return refusal(StatusCode::BAD_REQUEST, "Too many issues to reconcile: at most 50 are accepted.");
    }
    let mut site = api.rest.site();
    let search = match search(&mut site, &wanted.jql, false) {
        Ok(search) => search,
        Err(text) => return refusal(StatusCode::BAD_REQUEST, &text),
    };
    let mut found = matching(api, caller, &site, &search);
    if let Some(token) = &wanted.next_page_token {
        let Some(last) = read_token(token) else {
            return refusal(StatusCode::BAD_REQUEST, "The provided next page token is invalid or expired.");
        };
        found.retain(|(key, _)| is_after(search.order, *key, last));
    }
    let most = wanted.max_results.unwrap_or(50).clamp(1, if wanted.fields.is_empty() { 5_000 } else { 100 });
    let more = found.len() > most;
    found.truncate(most);
    let expand: Vec<String> = wanted.expand.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    let issues: Vec<Value> = found
        .iter()
        .map(|(_, issue)| match wanted.fields.is_empty() {
            true => json!({ "id": issue.id.to_string() }),
            false => api.issue(&site, issue, &wanted.fields, &expand),
        })
        .collect();
    let mut answer = json!({ "issues": issues, "isLast": !more });
    if let (true, Some((last, _))) = (more, found.last()) {
        answer["nextPageToken"] = json!(write_token(*last));
    }
    Json(answer).into_response()
}

/// A lenient one takes issues that are not there for no issue.
pub(super) fn search(site: &mut Site, jql: &str, is_lenient: bool) -> Result<Search, String> {
    let now = site.now();
    Search::parse(jql, now, |name| site.find(name).map(|issue| issue.id).or(is_lenient.then_some(0)))
}

pub(super) fn matching<'a>(api: &Api, caller: Caller, site: &'a Site, search: &Search) -> Vec<(SortKey, &'a Issue)> {
    let visible = site.issues.values().filter(|issue| api.sees(caller, site, issue) && search.matches(issue));
    let mut found: Vec<(SortKey, &Issue)> = visible.map(|issue| (search.order.key(issue), issue)).collect();
    found.sort_by_key(|(key, _)| *key);
    if search.order.descending {
        found.reverse();
    }
    found
}

fn is_after(order: Order, key: SortKey, last: SortKey) -> bool {
    if order.descending { key < last } else { key > last }
}

/// The place after which the next page begins, so that a row that moves meanwhile is seen again rather than lost.
fn write_token((value, id): SortKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{value}:{id}"))
}

fn read_token(token: &str) -> Option<SortKey> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (value, id) = text.split_once(':')?;
    Some((value.parse().ok()?, id.parse().ok()?))
}
