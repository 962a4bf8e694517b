//! What rules look up by paths of their own: read only, inside the budget, and once for all who want the same.
//!
//! An answer serves an event only if it was asked for after that event was received. Nothing here repeats a path or Jira's words.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use moka::Entry;
use moka::future::Cache;
use moka::ops::compute::Op;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::http::{Answer, Request};
use super::limits::{LOOKUP_BYTES_MAX, LOOKUP_BYTES_REMEMBERED, LOOKUPS_AT_ONCE};
use super::read::is_id;
use super::site::Site;
use super::{Asked, Found, JiraError, Lookup};
use crate::event::Person;
use crate::jira::model::{User, person};
use crate::setting::PathSuffix;

const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// What an entry weighs at least, so that many small ones are bounded too.
const WEIGHT_MIN: usize = 1024;

/// What Jira said, and when it was asked.
#[derive(Debug, Clone)]
pub(super) struct Told {
    asked: Instant,
    /// Err: a "no" that stays one: the status, and why.
    answer: Result<Found, (u16, String)>,
    bytes: usize,
}

pub(super) fn memory() -> Cache<PathSuffix, Told> {
    Cache::builder()
        .max_capacity(LOOKUP_BYTES_REMEMBERED)
        .weigher(|_, told: &Told| u32::try_from(told.bytes.max(WEIGHT_MIN)).unwrap_or(u32::MAX))
        .time_to_live(REMEMBERED_FOR)
        .build()
}

pub(super) async fn lookups(site: &Site, wants: &[Lookup]) -> Vec<Asked<Found>> {
    let deadline = Instant::now() + site.limits.call;
    let asked: Vec<_> = wants.iter().map(|want| one(site, want, deadline)).collect();
    stream::iter(asked).buffered(LOOKUPS_AT_ONCE).collect().await
}

/// The path of an issue's watchers, the same on Cloud and Data Center. None: this is no id.
pub fn watchers_of(issue_id: &str) -> Option<PathSuffix> {
    is_id(issue_id).then(|| format!("/rest/api/2/issue/{issue_id}/watchers").parse().ok()).flatten()
}

/// The people of such an answer.
pub fn people(answer: &Value) -> Vec<Person> {
    let listed = answer.get("watchers").and_then(Value::as_array).into_iter().flatten();
    let read = |user: &Value| person(serde_json::from_str::<User<'_>>(&user.to_string()).ok().as_ref());
    listed.filter_map(read).collect()
}

async fn one(site: &Site, want: &Lookup, deadline: Instant) -> Asked<Found> {
    match timeout_at(deadline, shared(site, want, deadline)).await {
        Ok(told) => told?.answer.map_err(|(status, reason)| JiraError::Refused { status, reason }),
        Err(_) => Err(JiraError::unavailable(format!("Jira of connection `{}` did not answer in time", site.connection()))),
    }
}

/// The memory lets one at a time ask for a path: whoever comes meanwhile finds the answer, and asks anew only where it is too old for him.
async fn shared(site: &Site, want: &Lookup, deadline: Instant) -> Asked<Told> {
    if let Some(told) = site.lookups.get(&want.path).await.filter(|told| told.asked >= want.after) {
        return Ok(told);
    }
    let decide = |known: Option<Entry<PathSuffix, Told>>| async move {
        if known.is_some_and(|entry| entry.value().asked >= want.after) {
            return Ok::<_, JiraError>(Op::Nop);
        }
        let deadline = deadline.min(Instant::now() + site.limits.read);
        Ok(Op::Put(ask(site, &want.path, deadline).await?))
    };
    let result = site.lookups.entry_by_ref(&want.path).and_try_compute_with(decide).await?;
    result.into_entry().map(Entry::into_value).ok_or_else(|| unreadable(site))
}

async fn ask(site: &Site, path: &PathSuffix, deadline: Instant) -> Asked<Told> {
    let answer = site.http.call(Request::get(Endpoint::Lookup, path.as_str()), deadline).await?;
    let (asked, bytes, status) = (answer.asked, answer.body.len(), answer.status.as_u16());
    let refused = |why: String| Err((status, format!("Jira of connection `{}` {why}", site.connection())));
    let told = match status {
        200..300 if bytes > LOOKUP_BYTES_MAX => refused("gave an answer that is larger than 1 MiB".into()),
        200..300 if bytes == 0 => Ok(None),
        200..300 if answer.is_json => match read(site, answer).await? {
            Some(found) => Ok(Some(found)),
            None => refused("gave an answer that nobody can read".into()),
        },
        // "Not there" means what it says only while our login is good.
        403 | 404 if answer.is_json => {
            site.login_is_good(deadline).await?;
            Ok(None)
        }
        403 | 404 => return Err(site.stopped()),
        400..500 => refused(format!("answered {status}")),
        300..400 => return Err(odd(site, &format!("{status}, a redirect"))),
        200..300 => return Err(odd(site, "with something that is not JSON")),
        _ => return Err(odd(site, &status.to_string())),
    };
    Ok(Told { asked, answer: told, bytes })
}

/// None: it is JSON that no retry makes readable, such as what nests too deep. Away from the threads that carry the road: a megabyte takes
/// milliseconds.
async fn read(site: &Site, answer: Answer) -> Asked<Option<Arc<Value>>> {
    let parse = move || match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value) => Some(Some(Arc::new(value))),
        Err(_) => serde_json::from_slice::<&RawValue>(&answer.body).is_ok().then_some(None),
    };
    tokio::task::spawn_blocking(parse).await.ok().flatten().ok_or_else(|| unreadable(site))
}

fn odd(site: &Site, what: &str) -> JiraError {
    JiraError::unavailable(format!("Jira of connection `{}` answered {what}", site.connection()))
}

fn unreadable(site: &Site) -> JiraError {
    JiraError::unavailable(format!("Jira of connection `{}` gave an answer that cannot be read", site.connection()))
}
