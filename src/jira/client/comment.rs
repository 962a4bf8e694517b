//! Whether a comment is an internal note: a property of the comment, where the webhook does not say it.

use std::time::Duration;

use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::http::Request;
use super::read::is_id;
use super::site::Site;
use super::{Asked, JiraError};

const COMMENTS_REMEMBERED: u64 = 10_000;
/// It can be changed later, though hardly anybody does.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    value: Value,
}

impl Property {
    /// Others may write it, too: whatever does not say that it is public is taken for internal.
    fn is_internal(&self) -> bool {
        self.value.get("internal") != Some(&Value::Bool(false))
    }
}

/// What Cloud says of the comment itself; Data Center does not.
#[derive(Deserialize)]
struct Comment {
    #[serde(rename = "jsdPublic", default)]
    public: Option<bool>,
}

/// An answer, and when it was asked for.
pub(super) type Told = (Instant, bool);

pub(super) fn memory() -> Cache<String, Told> {
    Cache::builder().max_capacity(COMMENTS_REMEMBERED).time_to_live(REMEMBERED_FOR).build()
}

/// What was asked for before `after` does not serve: the note may have been made internal since.
pub(super) async fn internal(site: &Site, issue_id: &str, comment_id: &str, after: Instant) -> Asked<bool> {
    if !is_id(issue_id) || !is_id(comment_id) {
        return Err(JiraError::Refused { status: 0, reason: "the id of an issue or comment is not a number".into() });
    }
    let deadline = Instant::now() + site.limits.call;
    let key = format!("{issue_id}:{comment_id}");
    loop {
        if site.comments.get(&key).await.is_some_and(|(asked_at, _)| asked_at < after) {
            site.comments.invalidate(&key).await;
        }
        let asked_at = Instant::now();
        let asked = async { Ok::<_, JiraError>((asked_at, ask(site, issue_id, comment_id, asked_at + site.limits.read).await?)) };
        match timeout_at(deadline, site.comments.try_get_with_by_ref(&key, asked)).await {
            // Somebody had asked before, and the answer came only now.
            Ok(Ok((asked_at, _))) if asked_at < after => {}
            Ok(answer) => return answer.map(|(_, internal)| internal).map_err(|err| err.as_ref().clone()),
            Err(_) => return Err(JiraError::unavailable(format!("Jira of connection `{}` did not answer in time", site.connection()))),
        }
    }
}

/// What the property of the comment says of it. None: there is no such property, or no such comment.
pub(super) async fn property(site: &Site, comment_id: &str, deadline: Instant) -> Asked<Option<bool>> {
    let path = format!("/rest/api/2/comment/{comment_id}/properties/sd.public.comment");
    let answer = site.http.call(Request::get(Endpoint::CommentProperty, &path), deadline).await?;
    match answer.status.as_u16() {
        404 => site.login_is_good(deadline).await.map(|()| None),
        403 if answer.is_json => site.login_is_good(deadline).await.map(|()| Some(true)),
        403 => Err(site.stopped()),
        _ => Ok(Some(answer.parse::<Property>(site.connection())?.is_internal())),
    }
}

async fn ask(site: &Site, issue_id: &str, comment_id: &str, deadline: Instant) -> Asked<bool> {
    if let Some(internal) = property(site, comment_id, deadline).await? {
        return Ok(internal);
    }
    // No property means public only while the comment itself is there and does not say otherwise: of one that is gone nobody can tell.
    let comment = format!("/rest/api/2/issue/{issue_id}/comment/{comment_id}");
    let answer = site.http.call(Request::get(Endpoint::Comment, &comment), deadline).await?;
    match answer.status.as_u16() {
        200 => Ok(answer.parse::<Comment>(site.connection())?.public == Some(false)),
        403 | 404 if answer.is_json => Ok(true),
        403 | 404 => Err(site.stopped()),
        _ => Err(answer.refused(site.connection())),
    }
}
