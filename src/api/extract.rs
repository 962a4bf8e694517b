//! What a request asks for, read so that a mistake in it is answered with a problem.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The query.
pub(super) struct QueryParams<T>(pub(super) T);

/// The body, JSON whatever its type is called; an empty one has no members.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|err| Problem::new(err.status(), err.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|err| Problem::new(err.status(), err.body_text()))?;
        let text = if body.is_empty() { b"{}" } else { &body[..] };
        let parsed = serde_json::from_slice(text);
        parsed.map(Self).map_err(|err| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body cannot be read: {err}")))
    }
}
