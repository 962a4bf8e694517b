//! The paths of the admin listener, as the table of endpoints names them, and how each is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit::{self, AuditNote, with_audit_note};
use super::auth::AdminAuth;
use super::extract::{JsonBody, QueryParams};
use super::operations::{OperationError, Operations, Outcome};
use super::problem::Problem;
use super::views::{Counted, DeadQuery, EventQuery, Page, ReplayOrder, Selection, ShadowQuery};
use super::{endpoints, openapi};

/// What a listing gives at once unless asked for less.
const LIMIT: usize = 1_000;
/// Events are shown with what became of each, which takes a look at every rule.
const EVENTS_LIMIT: usize = 100;
/// Orders are small.
const BODY_MAX: usize = 1024 * 1024;
/// Whoever listens to a stream knows by it that we are there.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) type Shared = Arc<dyn Operations>;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Limited {
    /// At most so many; 1,000 is the most.
    limit: Option<usize>,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct EventPage {
    /// Where the page begins, as the `Link` of the one before it says.
    cursor: Option<String>,
    /// At most so many; 100 where it is not given, 1,000 is the most.
    limit: Option<usize>,
    #[serde(flatten)]
    which: EventQuery,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct LetterPage {
    /// Where the page begins, as the `Link` of the one before it says.
    cursor: Option<String>,
    /// At most so many; 1,000 is the most.
    limit: Option<usize>,
    #[serde(flatten)]
    which: DeadQuery,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct ShadowPage {
    /// Where the page begins, as the `Link` of the one before it says.
    cursor: Option<String>,
    /// At most so many; 1,000 is the most.
    limit: Option<usize>,
    #[serde(flatten)]
    which: ShadowQuery,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct WithRaw {
    /// With Jira's own body.
    #[serde(default)]
    raw: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
pub(super) struct Reason {
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pruning {
    /// Only tell which they are.
    #[serde(default)]
    dry_run: bool,
}

pub fn router(operations: Shared, auth: Arc<AdminAuth>) -> Router {
    let (mut open, mut closed) = (Router::new(), Router::new());
    for endpoint in endpoints::all() {
        match endpoint.path.strip_prefix(endpoints::API_PREFIX) {
            Some(path) => closed = closed.route(path, endpoint.route),
            None => open = open.route(endpoint.path, endpoint.route),
        }
    }
    let closed = closed
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take that method") })
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no such resource") })
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(auth, authenticate));
    open.nest(endpoints::API_PREFIX, closed)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "nothing is here") })
        .with_state(operations)
}

/// Stands before every path of the API, known or not. What is not only a look is written down: who, what, and how it ended.
async fn authenticate(State(auth): State<Arc<AdminAuth>>, request: Request, next: Next) -> Response {
    let token = match auth.check(request.headers()) {
        Ok(token) => token,
        Err(problem) => return problem.into_response(),
    };
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), format!("{}{}", endpoints::API_PREFIX, request.uri().path()));
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let order = response.extensions().get::<AuditNote>().filter(|order| !order.0.is_empty());
    let order = order.map(|AuditNote(order)| format!(": {order}")).unwrap_or_default();
    let what = format!("admin token {token}: {method} {path}, answered {status}{order}");
    tracing::info!(target: "ticketwire::audit", token, %method, path, status, "{what}");
    response
}

pub(super) async fn metrics(State(operations): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], operations.metrics().await).into_response()
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(operations): State<Shared>) -> Response {
    let readiness = operations.readiness().await;
    let status = if readiness.parts.iter().all(|part| part.ready) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

pub(super) async fn openapi() -> Response {
    Json(openapi::document()).into_response()
}

pub(super) async fn trace(State(operations): State<Shared>, Path(key): Path<String>) -> Response {
    answer(operations.trace(&key).await)
}

pub(super) async fn events(State(operations): State<Shared>, QueryParams(page): QueryParams<EventPage>) -> Response {
    let limit = page.limit.unwrap_or(EVENTS_LIMIT).clamp(1, LIMIT);
    paged(operations.events(&page.which, page.cursor.as_deref(), limit).await, "events", limit, &page.which)
}

pub(super) async fn event(State(operations): State<Shared>, Path(id): Path<String>, QueryParams(with): QueryParams<WithRaw>) -> Response {
    answer(operations.event(&id, with.raw).await)
}

pub(super) async fn tail(
    State(operations): State<Shared>,
    QueryParams(which): QueryParams<EventQuery>,
    headers: header::HeaderMap,
) -> Response {
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let events = match operations.tail(which, after).await {
        Ok(events) => events,
        Err(err) => return Problem::from(err).into_response(),
    };
    let told = events.map(|(mark, row)| {
        let event = Event::default().id(mark.to_string()).json_data(&row);
        // A row of ours is always written.
        Ok::<_, Infallible>(event.unwrap_or_else(|err| Event::default().comment(err.to_string())))
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

pub(super) async fn dead_letters(State(operations): State<Shared>, QueryParams(page): QueryParams<LetterPage>) -> Response {
    let limit = page.limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    paged(operations.dead_letters(&page.which, page.cursor.as_deref(), limit).await, "dead-letters", limit, &page.which)
}

pub(super) async fn dead_letter(State(operations): State<Shared>, Path(id): Path<String>) -> Response {
    answer(operations.dead_letter(&id).await)
}

pub(super) async fn retry_dead(State(operations): State<Shared>, JsonBody(which): JsonBody<Selection>) -> Response {
    with_audit_note(audit::selection(&which), answer(counted(operations.retry_dead(&which).await, &which)))
}

pub(super) async fn drop_dead(State(operations): State<Shared>, JsonBody(which): JsonBody<Selection>) -> Response {
    with_audit_note(audit::selection(&which), answer(counted(operations.drop_dead(&which).await, &which)))
}

/// 202: the lanes' workers take it up, and `replays/{id}` says how far they are.
pub(super) async fn order_replay(State(operations): State<Shared>, JsonBody(order): JsonBody<ReplayOrder>) -> Response {
    let answered = match operations.order_replay(&order).await {
        Ok(replay) => {
            let place = [(header::LOCATION, format!("{}/replays/{}", endpoints::API_PREFIX, replay.id))];
            (StatusCode::ACCEPTED, place, Json(replay)).into_response()
        }
        Err(err) => Problem::from(err).into_response(),
    };
    with_audit_note(audit::replay(&order), answered)
}

pub(super) async fn replays(State(operations): State<Shared>, QueryParams(page): QueryParams<Limited>) -> Response {
    answer(operations.replays(page.limit.unwrap_or(LIMIT).min(LIMIT)).await)
}

pub(super) async fn replay(State(operations): State<Shared>, Path(id): Path<String>) -> Response {
    answer(operations.replay(&id).await)
}

pub(super) async fn stop_replay(State(operations): State<Shared>, Path(id): Path<String>) -> Response {
    answer(operations.stop_replay(&id).await)
}

pub(super) async fn sinks(State(operations): State<Shared>) -> Response {
    answer(operations.sinks().await)
}

pub(super) async fn sink(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    let found = operations.sinks().await.and_then(|sinks| {
        let found = sinks.into_iter().find(|sink| sink.name.as_str() == name);
        found.ok_or_else(|| OperationError::NotFound(format!("no sink is called `{name}`")))
    });
    answer(found)
}

pub(super) async fn shadows(
    State(operations): State<Shared>,
    Path(name): Path<String>,
    QueryParams(page): QueryParams<ShadowPage>,
) -> Response {
    let limit = page.limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let shadows = operations.shadows(&name, &page.which, page.cursor.as_deref(), limit).await;
    paged(shadows, &format!("sinks/{name}/shadows"), limit, &page.which)
}

pub(super) async fn pause(State(operations): State<Shared>, Path(name): Path<String>, JsonBody(why): JsonBody<Reason>) -> Response {
    let reason = why.reason.as_deref();
    let order = audit::members(&[("reason", reason.map(|_| "given".to_owned()))]);
    with_audit_note(order, answer(operations.pause_sink(&name, reason).await))
}

pub(super) async fn resume(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    answer(operations.resume_sink(&name).await)
}

pub(super) async fn queue(State(operations): State<Shared>) -> Response {
    answer(operations.queue().await)
}

pub(super) async fn prune(State(operations): State<Shared>, JsonBody(how): JsonBody<Pruning>) -> Response {
    with_audit_note(format!("dry_run={}", how.dry_run), answer(operations.prune_queue(how.dry_run).await))
}

pub(super) async fn rules(State(operations): State<Shared>) -> Response {
    answer(operations.rules().await)
}

pub(super) async fn enable_rule(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    answer(operations.switch_rule(&name, true).await)
}

pub(super) async fn disable_rule(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    answer(operations.switch_rule(&name, false).await)
}

pub(super) async fn connections(State(operations): State<Shared>) -> Response {
    answer(operations.connections().await)
}

/// Of ids that were named at least one must have been there; of all, none is an answer too.
fn counted(outcome: Outcome<u64>, which: &Selection) -> Outcome<Counted> {
    let count = outcome?;
    match which {
        Selection::Ids(ids) if count == 0 && !ids.is_empty() => Err(OperationError::NotFound("no dead letter has such an id".into())),
        Selection::Ids(_) | Selection::Matching(_) | Selection::All(_) => Ok(Counted { count }),
    }
}

/// The rows as a list; the next page is named by a header (RFC 8288), so that a list stays a list.
fn paged<T: Serialize, Q: Serialize>(outcome: Outcome<Page<T>>, resource: &str, limit: usize, which: &Q) -> Response {
    let page = match outcome {
        Ok(page) => page,
        Err(err) => return Problem::from(err).into_response(),
    };
    let Some(next) = page.next else { return Json(page.rows).into_response() };
    let mut query = format!("limit={limit}&cursor={}", utf8_percent_encode(&next, NON_ALPHANUMERIC));
    let members = serde_json::to_value(which).unwrap_or_default();
    for (name, value) in members.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        query.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }
    let link = format!("<{}/{resource}?{query}>; rel=\"next\"", endpoints::API_PREFIX);
    ([(header::LINK, link)], Json(page.rows)).into_response()
}

fn answer<T: Serialize>(outcome: Outcome<T>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(err) => Problem::from(err).into_response(),
    }
}

impl From<OperationError> for Problem {
    fn from(err: OperationError) -> Self {
        let status = match err {
            OperationError::NotFound(_) => StatusCode::NOT_FOUND,
            OperationError::Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OperationError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, err.to_string())
    }
}
