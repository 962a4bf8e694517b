//! The paths of the admin listener.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::Access;
use super::operations::{OperationError, Operations, Outcome, Selection};
use super::problem::Problem;

/// What a listing gives at once unless asked for less.
const LIMIT: usize = 1_000;
/// Orders are small.
const BODY_MAX: usize = 64 * 1024;

type Shared = Arc<dyn Operations>;

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).min(LIMIT)
    }
}

#[derive(Default, Deserialize)]
struct Reason {
    reason: Option<String>,
}

pub fn router(operations: Shared, access: Arc<Access>) -> Router {
    let closed = Router::new()
        .route("/events", get(events))
        .route("/issues/{key}/trace", get(trace))
        .route("/dead-letters", get(dead_letters))
        .route("/dead-letters/retry", post(retry_dead))
        .route("/dead-letters/drop", post(drop_dead))
        .route("/dead-letters/{id}", get(dead_letter))
        .route("/sinks", get(sinks))
        .route("/sinks/{name}", get(sink))
        .route("/sinks/{name}/pause", post(pause))
        .route("/sinks/{name}/resume", post(resume))
        .route("/queue", get(queue))
        .route("/rules", get(rules))
        .route("/connections", get(connections))
        .method_not_allowed_fallback(|| async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource does not take that method") })
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no such resource") })
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(access, guard));
    Router::new()
        .nest("/api/v1", closed)
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "nothing is here") })
        .with_state(operations)
}

/// Stands before every path of the API, known or not.
async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn metrics(State(operations): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], operations.metrics().await).into_response()
}

async fn readyz(State(operations): State<Shared>) -> Response {
    let readiness = operations.readiness().await;
    let status = if readiness.parts.iter().all(|part| part.ready) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn trace(State(operations): State<Shared>, Path(key): Path<String>) -> Response {
    answer(operations.trace(&key).await)
}

async fn events(State(operations): State<Shared>, Query(page): Query<Page>) -> Response {
    answer(operations.events(page.limit()).await)
}

async fn dead_letters(State(operations): State<Shared>, Query(page): Query<Page>) -> Response {
    answer(operations.dead_letters(page.limit()).await)
}

async fn dead_letter(State(operations): State<Shared>, Path(id): Path<String>) -> Response {
    answer(operations.dead_letter(&id).await)
}

async fn retry_dead(State(operations): State<Shared>, Json(which): Json<Selection>) -> Response {
    answer(counted(operations.retry_dead(&which).await, &which))
}

async fn drop_dead(State(operations): State<Shared>, Json(which): Json<Selection>) -> Response {
    answer(counted(operations.drop_dead(&which).await, &which))
}

async fn sinks(State(operations): State<Shared>) -> Response {
    answer(operations.sinks().await)
}

async fn sink(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    let found = operations.sinks().await.and_then(|sinks| {
        let found = sinks.into_iter().find(|sink| sink.name.as_str() == name);
        found.ok_or_else(|| OperationError::NotFound(format!("no sink is called `{name}`")))
    });
    answer(found)
}

async fn pause(State(operations): State<Shared>, Path(name): Path<String>, reason: Option<Json<Reason>>) -> Response {
    let reason = reason.and_then(|Json(body)| body.reason).unwrap_or_else(|| "paused by hand".into());
    answer(operations.pause_sink(&name, &reason).await)
}

async fn resume(State(operations): State<Shared>, Path(name): Path<String>) -> Response {
    answer(operations.resume_sink(&name).await)
}

async fn queue(State(operations): State<Shared>) -> Response {
    answer(operations.queue().await)
}

async fn rules(State(operations): State<Shared>) -> Response {
    answer(operations.rules().await)
}

async fn connections(State(operations): State<Shared>) -> Response {
    answer(operations.connections().await)
}

/// Of ids that were named at least one must have been there; of all, none is an answer too.
fn counted(outcome: Outcome<u64>, which: &Selection) -> Outcome<Value> {
    let count = outcome?;
    match which {
        Selection::Ids(ids) if count == 0 && !ids.is_empty() => Err(OperationError::NotFound("no dead letter has such an id".into())),
        Selection::Ids(_) | Selection::All(_) => Ok(json!({ "count": count })),
    }
}

fn answer<T: Serialize>(outcome: Outcome<T>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(OperationError::NotFound(why)) => Problem::new(StatusCode::NOT_FOUND, why).into_response(),
        Err(OperationError::Unavailable(why)) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}
