//! A Jira of 1,000 issues, as far as the client asks it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::setting::BaseUrl;
use crate::shutdown::Tasks;

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub at: Instant,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
}

type Whim = Box<dyn Fn(&Call) -> Option<Response> + Send>;
type Ignored = Box<dyn Fn(&Call) -> bool + Send>;

#[derive(Default)]
struct Inside {
    calls: Mutex<Vec<Call>>,
    hidden: Mutex<HashSet<String>>,
    whim: Mutex<Option<Whim>>,
    ignored: Mutex<Option<Ignored>>,
    held: watch::Sender<bool>,
}

pub(super) struct Server {
    url: String,
    inside: Arc<Inside>,
    _tasks: Tasks,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jira", listener.local_addr().expect("an address"));
        let inside = Arc::new(Inside::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inside));
        let tasks = Tasks::new();
        tasks.spawn("server", async move { axum::serve(listener, router).await.expect("a server") });
        Self { url, inside, _tasks: tasks }
    }

    pub(super) fn base_url(&self) -> BaseUrl {
        self.url.parse().expect("a base URL")
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.inside.calls.lock().unwrap().clone()
    }

    /// The paths asked for behind `/jira/rest/api`, and how often.
    pub(super) fn paths(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {}", call.method, call.path.trim_start_matches("/jira/rest/api"))).collect()
    }

    pub(super) fn hide(&self, id: u32) {
        self.inside.hidden.lock().unwrap().insert(id.to_string());
    }

    /// Some: answers this instead of the truth.
    pub(super) fn misbehave(&self, whim: impl Fn(&Call) -> Option<Response> + Send + 'static) {
        *self.inside.whim.lock().unwrap() = Some(Box::new(whim));
    }

    /// Never answers to these.
    pub(super) fn ignore(&self, ignored: impl Fn(&Call) -> bool + Send + 'static) {
        *self.inside.ignored.lock().unwrap() = Some(Box::new(ignored));
    }

    pub(super) fn behave(&self) {
        *self.inside.whim.lock().unwrap() = None;
    }

    /// Answers nobody until released.
    pub(super) fn hold(&self, held: bool) {
        self.inside.held.send_replace(held);
    }
}

pub(super) fn status(code: u16) -> Response {
    let body = json!({ "errorMessages": ["It is so."], "errors": {} });
    (StatusCode::from_u16(code).expect("a status"), Json(body)).into_response()
}

pub(super) fn with_header(mut response: Response, name: &'static str, value: &'static str) -> Response {
    response.headers_mut().insert(name, value.parse().expect("a value"));
    response
}

pub(super) fn page() -> Response {
    ([("content-type", "text/html")], Body::from("<html><title>Log in</title></html>")).into_response()
}

async fn answer(State(inside): State<Arc<Inside>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let call = Call {
        at: Instant::now(),
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    inside.calls.lock().unwrap().push(call.clone());
    let mut held = inside.held.subscribe();
    held.wait_for(|held| !held).await.expect("the server lives");
    let is_ignored = inside.ignored.lock().unwrap().as_ref().is_some_and(|ignored| ignored(&call));
    if is_ignored {
        std::future::pending::<()>().await;
    }
    let whim = inside.whim.lock().unwrap().as_ref().and_then(|whim| whim(&call));
    whim.unwrap_or_else(|| truth(&inside, &call))
}

fn truth(inside: &Inside, call: &Call) -> Response {
    let visible = |id: &str| id.parse::<u32>().is_ok_and(|id| (1..=1000).contains(&id)) && !inside.hidden.lock().unwrap().contains(id);
    let path = call.path.trim_start_matches("/jira/rest/api/");
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [_, "serverInfo"] => Json(json!({ "version": "9.12.5", "versionNumbers": [9, 12, 5], "deploymentType": "Server" })).into_response(),
        [_, "myself"] => Json(json!({ "accountId": "5b10", "displayName": "Hub", "timeZone": "Europe/Berlin" })).into_response(),
        [_, "issue", "bulkfetch"] => {
            let ids = call.body["issueIdsOrKeys"].as_array().expect("ids");
            let found: Vec<Value> = ids.iter().filter_map(Value::as_str).filter(|id| visible(id)).map(issue).collect();
            Json(json!({ "issues": found, "issueErrors": [] })).into_response()
        }
        [_, "search"] => {
            let jql = call.body["jql"].as_str().expect("JQL");
            let list = jql.trim_start_matches("id in (").trim_end_matches(')');
            let found: Vec<Value> = list.split(',').filter(|id| visible(id)).map(issue).collect();
            Json(json!({ "startAt": 0, "maxResults": 100, "total": found.len(), "issues": found })).into_response()
        }
        [_, "issue", id] if visible(id) => Json(issue(id)).into_response(),
        _ => status(404),
    }
}

fn issue(id: &str) -> Value {
    json!({ "id": id, "key": format!("OPS-{id}"), "self": "https://elsewhere.invalid", "fields": {
        "summary": format!("Issue {id}"), "description": "text", "security": null,
        "status": { "id": "3", "name": "Open", "statusCategory": { "key": "new" } },
        "project": { "id": "10000", "key": "OPS", "name": "Operations", "projectTypeKey": "software" },
        "updated": "2026-11-22T10:00:00.000+0000", "customfield_10020": [1, 2],
    } })
}
