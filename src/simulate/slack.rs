//! A small simulated Slack: `chat.postMessage` and `auth.test` for one token. It keeps messages and can refuse, rate limit and revoke.
//!
//! As with Slack a failure is HTTP 200 with `"ok": false`; only a rate limit is a status of its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::setting::Secret;

/// A message that Slack took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackMessage {
    pub channel: String,
    pub username: Option<String>,
    pub text: String,
    pub thread_ts: Option<String>,
    pub ts: String,
}

/// Who posts what names nobody.
const BOT: &str = "Ticketwire";

/// One line about it, as in `#docs            Docs bot: OPS-1 is on hold`.
impl fmt::Display for SlackMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {}: {}", self.channel, self.username.as_deref().unwrap_or(BOT), self.text)
    }
}

/// Channels that take nothing, with what Slack answers: by them a delivery becomes a dead letter.
const CLOSED_CHANNELS: [(&str, &str); 2] = [("no-such-channel", "channel_not_found"), ("archived", "is_archived")];

/// The latest messages that are kept, and that a slow listener may lag behind.
const MESSAGES_MAX: usize = 10_000;
const LISTENERS_LAG_MAX: usize = 1_024;

#[derive(Clone)]
pub struct Slack(Arc<Inner>);

struct Inner {
    token: Secret,
    clock: Clock,
    state: Mutex<SlackState>,
    news: broadcast::Sender<SlackMessage>,
}

#[derive(Default)]
struct SlackState {
    messages: VecDeque<SlackMessage>,
    last_ts: i64,
    refusals: VecDeque<String>,
    limits: u32,
    revoked: bool,
}

impl Slack {
    pub(crate) fn new(token: Secret, clock: Clock) -> Self {
        Self(Arc::new(Inner { token, clock, state: Mutex::default(), news: broadcast::Sender::new(LISTENERS_LAG_MAX) }))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/api/chat.postMessage", post(post_message))
            .route("/api/auth.test", get(auth_test).post(auth_test))
            .fallback(async || ok(json!({ "ok": false, "error": "unknown_method" })))
            .with_state(self.clone())
    }

    /// Messages from now on.
    pub fn listen(&self) -> broadcast::Receiver<SlackMessage> {
        self.0.news.subscribe()
    }

    pub fn messages(&self) -> Vec<SlackMessage> {
        self.state().messages.iter().cloned().collect()
    }

    /// The next message is refused with this error of Slack's, as in `channel_not_found`.
    pub fn refuse_next(&self, error: &str) {
        self.state().refusals.push_back(error.to_owned());
    }

    /// The next `count` messages are answered 429.
    pub fn limit_next(&self, count: u32) {
        self.state().limits = count;
    }

    /// From now on the token is worth nothing.
    pub fn revoke(&self) {
        self.state().revoked = true;
    }

    fn state(&self) -> MutexGuard<'_, SlackState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, headers: &HeaderMap) -> Option<&'static str> {
        let given =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        match given {
            None => Some("not_authed"),
            Some(token) if token != self.0.token.expose() => Some("invalid_auth"),
            Some(_) => self.state().revoked.then_some("token_revoked"),
        }
    }

    fn take(&self, asked: &Value) -> Response {
        let text = |name: &str| asked.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut state = self.state();
        if state.limits > 0 {
            state.limits -= 1;
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], Json(json!({ "ok": false, "error": "ratelimited" })))
                .into_response();
        }
        let has_blocks = asked.get("blocks").and_then(Value::as_array).is_some_and(|blocks| !blocks.is_empty());
        let channel = text("channel");
        let closed = channel.as_deref().and_then(closed);
        let error = match (state.refusals.pop_front().or(closed), channel, text("text")) {
            (Some(error), ..) => Some(error),
            (None, None, _) => Some("channel_not_found".to_owned()),
            (None, _, written) if written.as_deref().unwrap_or_default().is_empty() && !has_blocks => Some("no_text".to_owned()),
            (None, _, Some(written)) if written.chars().count() > 40_000 => Some("msg_too_long".to_owned()),
            _ => None,
        };
        if let Some(error) = error {
            return ok(json!({ "ok": false, "error": error }));
        }
        let now = self.0.clock.now().ms().saturating_mul(1_000);
        state.last_ts = now.max(state.last_ts + 1);
        let message = SlackMessage {
            channel: text("channel").unwrap_or_default(),
            username: text("username"),
            text: text("text").unwrap_or_default(),
            thread_ts: text("thread_ts"),
            ts: format!("{}.{:06}", state.last_ts / 1_000_000, state.last_ts % 1_000_000),
        };
        if state.messages.len() == MESSAGES_MAX {
            state.messages.pop_front();
        }
        state.messages.push_back(message.clone());
        let answer = json!({ "ok": true, "channel": channel_id(&message.channel), "ts": message.ts,
            "message": { "type": "message", "subtype": "bot_message", "bot_id": "B0SIMULATED", "text": message.text,
                "username": message.username, "ts": message.ts } });
        // Nobody may be listening.
        self.0.news.send(message).ok();
        ok(answer)
    }
}

/// Why the channel takes nothing.
fn closed(channel: &str) -> Option<String> {
    let name = channel.trim_start_matches('#');
    CLOSED_CHANNELS.iter().find(|(closed, _)| *closed == name).map(|(_, error)| (*error).to_owned())
}

async fn post_message(State(slack): State<Slack>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(error) = slack.refused(&headers) {
        return ok(json!({ "ok": false, "error": error }));
    }
    match serde_json::from_slice(&body) {
        Ok(asked) => slack.take(&asked),
        Err(_) => ok(json!({ "ok": false, "error": "invalid_json" })),
    }
}

async fn auth_test(State(slack): State<Slack>, headers: HeaderMap) -> Response {
    ok(match slack.refused(&headers) {
        Some(error) => json!({ "ok": false, "error": error }),
        None => json!({ "ok": true, "url": "https://brightdesk.slack.example/", "team": "Brightdesk", "user": "ticketwire",
            "team_id": "T0SIMULATED", "user_id": "U0SIMULATED", "bot_id": "B0SIMULATED" }),
    })
}

fn ok(answer: Value) -> Response {
    Json(answer).into_response()
}

/// Slack answers with the id of the channel, whatever it was called by.
fn channel_id(channel: &str) -> String {
    let name = channel.trim_start_matches('#');
    if name.starts_with('C') && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("C0{}", name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), ""))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn call(slack: &Slack, token: &str, body: &str) -> (StatusCode, Value) {
        let request =
            Request::post("/api/chat.postMessage").header("authorization", format!("Bearer {token}")).body(Body::from(body.to_owned()));
        let answer = slack.router().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn messages_are_kept_and_failures_look_like_slacks() {
        let slack = Slack::new(Secret::new("xoxb-1"), Clock::system());
        let mut news = slack.listen();
        let message = r##"{"channel":"#docs","username":"Tickets","text":"hello"}"##;
        let (_, answer) = call(&slack, "xoxb-1", message).await;
        assert_eq!((&answer["ok"], &answer["channel"]), (&json!(true), &json!("C0DOCS")));
        assert_eq!(news.recv().await.unwrap().to_string(), format!("{:<16} Tickets: hello", "#docs"));

        for (token, body, error) in [
            ("other", message, "invalid_auth"),
            ("xoxb-1", "{}", "channel_not_found"),
            ("xoxb-1", r#"{"channel":"C1","text":""}"#, "no_text"),
            ("xoxb-1", r##"{"channel":"#no-such-channel","text":"hello"}"##, "channel_not_found"),
            ("xoxb-1", r##"{"channel":"#archived","text":"hello"}"##, "is_archived"),
            ("xoxb-1", "channel", "invalid_json"),
        ] {
            assert_eq!(call(&slack, token, body).await.1, json!({ "ok": false, "error": error }), "{body}");
        }
        slack.refuse_next("is_archived");
        assert_eq!(call(&slack, "xoxb-1", message).await.1["error"], "is_archived");
        slack.limit_next(1);
        assert_eq!(call(&slack, "xoxb-1", message).await.0, StatusCode::TOO_MANY_REQUESTS);
        let (_, second) = call(&slack, "xoxb-1", message).await;
        assert!(second["ts"].as_str() > answer["ts"].as_str(), "{second}");
        slack.revoke();
        assert_eq!(call(&slack, "xoxb-1", message).await.1["error"], "token_revoked");
        assert_eq!(slack.messages().len(), 2);
    }
}
