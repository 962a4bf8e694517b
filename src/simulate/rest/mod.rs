//! The REST API of the site: who asks, how often, and where each path leads. Errors look like Jira's.
//!
//! On Cloud a wrong login is an anonymous one: it finds no issue (404) and nothing in searches; what needs a login is 401. Data Center
//! refuses a wrong login everywhere, and tells what is hidden (403) from what is not there (404).

mod catalogue;
mod issue;
mod jql;
mod search;
mod server;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::setting::Secret;

use super::people::WIRE;
use super::settings::{Flavour, Settings};
use super::shape::Form;
use super::site::{Issue, Site};

#[derive(Clone)]
pub(crate) struct Rest {
    site: Arc<Mutex<Site>>,
    settings: Arc<Settings>,
    pace: Arc<Mutex<Pace>>,
}

/// One version of the API.
#[derive(Clone)]
struct Api {
    rest: Rest,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Anonymous,
    Account,
}

struct Pace {
    second: Instant,
    requests: u32,
}

/// The query of a request; names may repeat.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
struct Asked(Vec<(String, String)>);

impl Rest {
    pub fn new(site: Arc<Mutex<Site>>, settings: Arc<Settings>) -> Self {
        let pace = Pace { second: Instant::now(), requests: 0 };
        Self { site, settings, pace: Arc::new(Mutex::new(pace)) }
    }

    pub fn router(&self) -> Router {
        let of = |form| Api { rest: self.clone(), form };
        let router = match self.settings.flavour {
            Flavour::Cloud => Router::new()
                .nest("/rest/api/2", cloud(of(Form::Rest2)))
                .nest("/rest/api/3", cloud(of(Form::Rest3)))
                .nest("/rest/agile/1.0", agile(of(Form::Rest3))),
            Flavour::Datacenter => {
                Router::new().nest("/rest/api/2", server::router(of(Form::Server))).nest("/rest/agile/1.0", agile(of(Form::Server)))
            }
        };
        router.fallback(no_such_path).layer(middleware::from_fn_with_state(self.clone(), admit))
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this request is one too many.
    fn is_limited(&self) -> bool {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.second.elapsed() >= Duration::from_secs(1) {
            (pace.second, pace.requests) = (Instant::now(), 0);
        }
        pace.requests += 1;
        self.settings.requests_per_second.is_some_and(|most| pace.requests > most)
    }

    fn caller(&self, headers: &HeaderMap) -> Caller {
        let account = &self.settings.account;
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let basic = |user: &str, secret: &Secret| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", secret.expose())));
        let is_right = match self.settings.flavour {
            Flavour::Cloud => given == basic(&account.email, &account.api_token),
            Flavour::Datacenter => {
                given == format!("Bearer {}", account.api_token.expose()) || given == basic(WIRE.login, &account.password)
            }
        };
        if is_right { Caller::Account } else { Caller::Anonymous }
    }
}

impl Api {
    fn sees(&self, caller: Caller, site: &Site, issue: &Issue) -> bool {
        caller == Caller::Account && site.sees(&self.rest.settings.account, issue)
    }

    /// The issue of this id or key; Err: what Jira answers to who may not see it.
    #[expect(clippy::result_large_err, reason = "it is an answer, and given at once")]
    fn issue_of<'a>(&self, caller: Caller, site: &'a Site, name: &str) -> Result<&'a Issue, Response> {
        let found = site.find(name);
        if let Some(issue) = found.filter(|issue| self.sees(caller, site, issue)) {
            return Ok(issue);
        }
        Err(match (self.form, found, caller) {
            (Form::Server, Some(_), Caller::Anonymous) => {
                refusal(StatusCode::UNAUTHORIZED, "You do not have the permission to see the specified issue.")
            }
            (Form::Server, Some(_), Caller::Account) => {
                refusal(StatusCode::FORBIDDEN, "You do not have the permission to see the specified issue.")
            }
            (Form::Server, None, _) => refusal(StatusCode::NOT_FOUND, "Issue Does Not Exist"),
            _ => refusal(StatusCode::NOT_FOUND, "Issue does not exist or you do not have permission to see it."),
        })
    }
}

impl Asked {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where the page begins and how long it may be.
    fn page(&self, usual: usize, most: usize) -> (usize, usize) {
        let number = |name| self.get(name).and_then(|text| text.parse::<usize>().ok());
        (number("startAt").unwrap_or(0), number("maxResults").unwrap_or(usual).min(most))
    }
}

fn cloud(api: Api) -> Router {
    let closed = Router::new()
        .route("/myself", get(catalogue::myself))
        .route("/field", get(catalogue::fields))
        .route("/mypermissions", get(catalogue::my_permissions))
        .route("/user", get(catalogue::user))
        .route("/status", get(catalogue::statuses))
        .route("/priority", get(catalogue::priorities))
        .route("/issuetype", get(catalogue::issue_types))
        .route("/label", get(catalogue::labels))
        .route_layer(middleware::from_fn(login_needed));
    Router::new()
        .route("/serverInfo", get(catalogue::server_info))
        .route("/project/search", get(catalogue::projects))
        .route("/project/{key}", get(catalogue::project))
        .route("/issue/bulkfetch", post(issue::bulk))
        .route("/issue/{issue}", get(issue::one))
        .route("/issue/{issue}/changelog", get(issue::changelog))
        .route("/issue/{issue}/comment", get(issue::comments))
        .route("/issue/{issue}/comment/{comment}", get(issue::comment))
        .route("/issue/{issue}/worklog", get(issue::worklogs))
        .route("/issue/{issue}/worklog/{worklog}", get(issue::worklog))
        .route("/issue/{issue}/watchers", get(issue::watchers))
        .route("/comment/list", post(issue::comment_list))
        .route("/search/jql", get(search::by_query).post(search::by_body))
        .route("/search/approximate-count", post(search::count))
        .route("/jql/parse", post(search::parse))
        .route("/search", get(search::removed).post(search::removed))
        .merge(closed)
        .with_state(api)
}

fn agile(api: Api) -> Router {
    Router::new()
        .route("/board", get(catalogue::boards))
        .route("/board/{board}", get(catalogue::board))
        .route("/board/{board}/sprint", get(catalogue::board_sprints))
        .route("/sprint/{sprint}", get(catalogue::sprint))
        .route_layer(middleware::from_fn(login_needed))
        .with_state(api)
}

/// The rate first, then the login.
async fn admit(State(rest): State<Rest>, mut request: Request, next: Next) -> Response {
    if rest.is_limited() {
        let of_flavour = match rest.settings.flavour {
            Flavour::Cloud => ("RateLimit-Reason", "jira-burst-based"),
            Flavour::Datacenter => ("X-RateLimit-Interval-Seconds", "1"),
        };
        let headers = [
            ("Retry-After", "1".to_owned()),
            (of_flavour.0, of_flavour.1.to_owned()),
            ("X-RateLimit-Limit", rest.settings.requests_per_second.unwrap_or(0).to_string()),
            ("X-RateLimit-Remaining", "0".to_owned()),
        ];
        return (headers, refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded.")).into_response();
    }
    let caller = rest.caller(request.headers());
    let failed = caller == Caller::Anonymous && request.headers().contains_key(header::AUTHORIZATION);
    request.extensions_mut().insert(caller);
    let mut answer = match rest.settings.flavour {
        Flavour::Datacenter if failed => refusal(StatusCode::UNAUTHORIZED, "Client must be authenticated to access this resource."),
        _ => next.run(request).await,
    };
    if failed {
        answer.headers_mut().insert("x-seraph-loginreason", header::HeaderValue::from_static("AUTHENTICATED_FAILED"));
    }
    answer
}

async fn login_needed(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    match caller {
        Caller::Account => next.run(request).await,
        Caller::Anonymous => refusal(StatusCode::UNAUTHORIZED, "Client must be authenticated to access this resource."),
    }
}

async fn no_such_path(request: Request) -> Response {
    let problem = json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": format!("No static resource {}.", request.uri().path()) });
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

/// The body of most of Jira's refusals.
fn refusal(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "errorMessages": [text], "errors": {} }))).into_response()
}

/// A page in the style with `startAt`; `name` is what the list is called.
fn page(all: Vec<Value>, (start, most): (usize, usize), name: &str) -> Value {
    let total = all.len();
    let part: Vec<Value> = all.into_iter().skip(start).take(most).collect();
    let mut page = json!({ "startAt": start, "maxResults": most, "total": total });
    if name == "values" {
        page["isLast"] = json!(start + part.len() >= total);
    }
    page[name] = Value::Array(part);
    page
}

#[cfg(test)]
mod tests;
