//! How a set of issues is read: in bulk where the site can, one by one where it cannot or where the bulk left a doubt.
//!
//! Not visible is said only of an issue that Jira left out or denied while our login was proven good.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::http::{Answer, Request};
use super::limits::SINGLE_READS_MAX;
use super::site::Site;
use super::{Asked, Flavour, JiraError, SeenIssue, Sight};
use crate::jira::model::issue_from_rest;

/// All custom fields are wanted, and no lists that have events of their own.
const FIELDS: [&str; 6] = ["*all", "-comment", "-worklog", "-attachment", "-issuelinks", "-subtasks"];

pub(super) type Answers = HashMap<String, Asked<Remembered>>;

/// What Jira said of an issue, and when it was asked.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub asked: Instant,
    pub sight: Sight,
    pub bytes: u32,
}

/// What one bulk answer says.
#[derive(Default)]
pub(super) struct Bulk {
    pub(super) seen: HashMap<String, Remembered>,
    /// Asked again one by one: what the answer says of them proves nothing.
    doubtful: BTreeSet<String>,
    /// The answer was not about all that was asked for.
    cut: bool,
}

/// What is asked for as an id goes into paths and JQL.
pub(super) fn is_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One answer for every id.
pub(super) async fn read(site: &Arc<Site>, flavour: Flavour, ids: &BTreeSet<String>, deadline: Instant) -> Answers {
    let (mut answers, mut singly, mut parts) = (Answers::new(), Vec::new(), vec![ids.clone()]);
    while let Some(ids) = parts.pop() {
        match bulk(site, flavour, &ids, deadline).await {
            Ok(Bulked::Read(bulk, asked)) => {
                let (settled, left) = sort(site, flavour, &ids, bulk, asked, deadline).await;
                answers.extend(settled);
                singly.extend(left);
            }
            Ok(Bulked::Impossible) => singly.extend(ids),
            Ok(Bulked::TooLarge) if ids.len() > 1 => {
                site.reader.ask_for_at_most(ids.len() / 2);
                parts.extend(halves(ids));
            }
            Ok(Bulked::TooLarge) => answers.extend(ids.into_iter().map(|id| (id, Err(too_large(site))))),
            Err(err) => answers.extend(ids.into_iter().map(|id| (id, Err(err.clone())))),
        }
    }
    let reads = singly.into_iter().map(|id| {
        let site = Arc::clone(site);
        async move {
            let answer = single(&site, flavour, &id, deadline).await;
            (id, answer)
        }
    });
    let mut reads = stream::iter(reads).buffer_unordered(SINGLE_READS_MAX);
    while let Some((id, answer)) = reads.next().await {
        answers.insert(id, answer);
    }
    answers
}

fn halves(mut ids: BTreeSet<String>) -> [BTreeSet<String>; 2] {
    let middle = ids.iter().nth(ids.len() / 2).cloned().unwrap_or_default();
    let rest = ids.split_off(&middle);
    [ids, rest]
}

/// What the bulk answer settles, and what is left to be read one by one.
async fn sort(
    site: &Site,
    flavour: Flavour,
    ids: &BTreeSet<String>,
    mut bulk: Bulk,
    asked: Instant,
    deadline: Instant,
) -> (Answers, Vec<String>) {
    let (mut answers, mut singly, mut left_out) = (Answers::new(), Vec::new(), Vec::new());
    for id in ids {
        if let Some(seen) = bulk.seen.remove(id) {
            answers.insert(id.clone(), Ok(seen));
        } else if bulk.cut || flavour == Flavour::Datacenter || bulk.doubtful.contains(id) {
            // A search goes by an index, which may lag behind: an issue it does not know may be there.
            singly.push(id.clone());
        } else {
            left_out.push(id.clone());
        }
    }
    if !left_out.is_empty() {
        let unseen = site.login_is_good(deadline).await.map(|()| not_visible(asked));
        answers.extend(left_out.into_iter().map(|id| (id, unseen.clone())));
    }
    (answers, singly)
}

/// How a bulk read went.
enum Bulked {
    Read(Bulk, Instant),
    TooLarge,
    /// This site has no bulk read, or refused this one.
    Impossible,
}

async fn bulk(site: &Site, flavour: Flavour, ids: &BTreeSet<String>, deadline: Instant) -> Asked<Bulked> {
    // The usual single want costs the same either way, but one issue needs no index and no second look.
    if ids.len() == 1 && flavour == Flavour::Datacenter {
        return Ok(Bulked::Impossible);
    }
    let request = match flavour {
        Flavour::Cloud => {
            Request::post(Endpoint::Bulkfetch, "/rest/api/3/issue/bulkfetch", json!({ "issueIdsOrKeys": ids, "fields": FIELDS }))
        }
        Flavour::Datacenter => {
            let list = ids.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            let body = json!({
                "jql": format!("id in ({list})"), "validateQuery": false, "fields": FIELDS, "startAt": 0, "maxResults": ids.len(),
            });
            Request::post(Endpoint::Search, "/rest/api/2/search", body)
        }
    };
    let answer = site.http.call(request, deadline).await?;
    if !answer.status.is_success() {
        tracing::debug!(connection = %site.connection(), status = answer.status.as_u16(), "no bulk read: reading issues one by one");
        return Ok(Bulked::Impossible);
    }
    if answer.is_too_large() {
        return Ok(Bulked::TooLarge);
    }
    let asked = answer.asked;
    Ok(Bulked::Read(read_bulk(site, answer).await?, asked))
}

async fn single(site: &Site, flavour: Flavour, id: &str, deadline: Instant) -> Asked<Remembered> {
    let path = match flavour {
        Flavour::Cloud => format!("/rest/api/3/issue/{id}"),
        Flavour::Datacenter => format!("/rest/api/2/issue/{id}"),
    };
    let fields = FIELDS.join(",");
    let request = Request { query: &[("fields", &fields)], ..Request::get(Endpoint::Issue, &path) };
    let answer = site.http.call(request, deadline).await?;
    match answer.status.as_u16() {
        200..300 if answer.is_too_large() => Err(too_large(site)),
        200..300 => {
            let asked = answer.asked;
            let mut bulk = read_bulk(site, answer).await?;
            bulk.seen.remove(id).filter(|seen| seen.asked == asked).ok_or_else(|| unreadable(site))
        }
        403 | 404 if answer.is_json => {
            site.login_is_good(deadline).await?;
            Ok(not_visible(answer.asked))
        }
        400..500 if answer.is_json => {
            site.login_is_good(deadline).await?;
            Err(answer.refused(site.connection()))
        }
        400..500 => Err(site.stopped()),
        _ => Err(answer.refused(site.connection())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkSaid<'a> {
    #[serde(borrow)]
    issues: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    issue_errors: Vec<IssueError>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct IssueError {
    #[serde(default)]
    id: Value,
}

/// A bulk answer, or an issue alone. Away from the threads that carry the road, because a hundred issues take milliseconds.
pub(super) async fn read_bulk(site: &Site, answer: Answer) -> Asked<Bulk> {
    let (base_url, to_markdown) = (site.http.base_url().clone(), site.to_markdown);
    let parse = move || {
        let said: BulkSaid<'_> = serde_json::from_slice(&answer.body).ok()?;
        let whole = serde_json::from_slice::<&RawValue>(&answer.body).ok()?;
        let total = said.total.unwrap_or(0);
        let issues = said.issues.unwrap_or_else(|| vec![whole]);
        let mut bulk = Bulk { cut: total > issues.len() as u64, ..Bulk::default() };
        bulk.doubtful =
            said.issue_errors.iter().map(|error| error.id.as_str().map_or_else(|| error.id.to_string(), str::to_owned)).collect();
        for json in issues {
            if let Some((issue, project, secrecy)) = issue_from_rest(json.get(), &base_url, to_markdown) {
                let bytes = u32::try_from(json.get().len()).unwrap_or(u32::MAX);
                let id = issue.id.clone();
                let seen = Arc::new(SeenIssue { issue, project, secrecy, asked_at: answer.asked_at, asked: answer.asked });
                bulk.seen.insert(id, Remembered { asked: answer.asked, sight: Sight::Seen(seen), bytes });
            } else {
                // Whose it was is not known, so that nothing can be said of those that are missing.
                bulk.cut = true;
            }
        }
        Some(bulk)
    };
    tokio::task::spawn_blocking(parse).await.ok().flatten().ok_or_else(|| unreadable(site))
}

fn not_visible(asked: Instant) -> Remembered {
    Remembered { asked, sight: Sight::NotVisible, bytes: 0 }
}

/// It will be as large when it is asked for again.
fn too_large(site: &Site) -> JiraError {
    JiraError::Refused { status: 200, reason: format!("an issue of connection `{}` is larger than 32 MiB", site.connection()) }
}

fn unreadable(site: &Site) -> JiraError {
    JiraError::unavailable(format!("Jira of connection `{}` gave an answer that cannot be read", site.connection()))
}
