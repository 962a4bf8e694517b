//! The receiver's listener and its answers: `POST /hooks/{connection}` and `POST /hooks/{connection}/{token}`, nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode, header};
use axum::middleware::AddExtension;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use axum_server::accept::Accept;
use axum_server::service::SendService;
use axum_server::tls_rustls::RustlsAcceptor;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::rt::TokioTimer;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admit::{Admission, Claim, Known, NotAdmitted, Source};
use super::body::{self, BodyError, Budget};
use super::connections::Places;
use super::origin::Origins;
use super::settings::Settings;
use super::tls::Tls;
use super::verify::NotProven;
use crate::clock::Clock;
use crate::event::{EventId, ToMarkdown};
use crate::jira::Headers;
use crate::queue::Queue;
use crate::setting::ConnectionName;
use crate::telemetry::{Entrance, Span};

/// What a sender is told to wait while nothing can be stored.
const RETRY_AFTER_SECONDS: &str = "5";
/// What a connection may make us hold before its headers are read.
const READ_BUFFER: usize = 64 * 1024;
/// Delivery headers are kept up to this length: they end in the event.
const HEADER_MAX: usize = 256;

/// Everything behind the receiver's listener.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    current: RwLock<Current>,
    admission: Arc<Admission>,
    settings: Settings,
    budget: Budget,
}

impl Shared {
    fn current(&self, connection: &str) -> (Option<Arc<Known>>, Arc<Origins>) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.sources.get(connection).cloned(), current.origins.clone())
    }
}

/// What a reload exchanges.
struct Current {
    sources: BTreeMap<ConnectionName, Arc<Known>>,
    origins: Arc<Origins>,
}

impl Current {
    fn new(sources: Vec<Source>, settings: &Settings) -> Self {
        Self { sources: sources.into_iter().map(known).collect(), origins: Arc::new(Origins::of(settings)) }
    }
}

impl Receiver {
    pub fn new(sources: Vec<Source>, queue: Arc<dyn Queue>, clock: Clock, to_markdown: ToMarkdown, settings: Settings) -> Self {
        Self(Arc::new(Shared {
            current: RwLock::new(Current::new(sources, &settings)),
            admission: Arc::new(Admission::new(queue, clock, to_markdown)),
            budget: Budget::new(settings.bytes_in_flight),
            settings,
        }))
    }

    /// From now on these connections with these proofs, and these addresses; what is in hand ends as it began.
    pub fn exchange(&self, sources: Vec<Source>, settings: &Settings) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Current::new(sources, settings);
    }
}

fn known(source: Source) -> (ConnectionName, Arc<Known>) {
    let metrics = Entrance::new(source.connection.as_str());
    (source.connection.clone(), Arc::new(Known { source, metrics }))
}

/// The routes of one connection, which know who is connected.
type Connected = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// The answer to a body that is stored.
#[derive(Serialize)]
struct Accepted {
    event_ids: Vec<EventId>,
}

pub fn router(receiver: Receiver) -> Router {
    Router::new()
        .route("/hooks/{connection}", post(hook).fallback(wrong_method))
        .route("/hooks/{connection}/{token}", post(hook_with_token).fallback(wrong_method))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "nothing is here") })
        .with_state(receiver)
}

/// Serves until the token fires, then finishes what is in hand within the deadline. With `tls` nothing else than that.
pub async fn serve(
    listener: std::net::TcpListener,
    receiver: Receiver,
    tls: Option<Tls>,
    stop: CancellationToken,
    deadline: Duration,
) -> std::io::Result<()> {
    let places = Places::new(receiver.0.settings.connections_max);
    match tls {
        // A place first: who only shakes hands takes one too.
        Some(tls) => {
            let secured = RustlsAcceptor::new(tls.config).handshake_timeout(receiver.0.settings.header_timeout.0).acceptor(places);
            serve_by(secured, listener, receiver, stop, deadline).await
        }
        None => serve_by(places, listener, receiver, stop, deadline).await,
    }
}

async fn serve_by<A>(
    acceptor: A,
    listener: std::net::TcpListener,
    receiver: Receiver,
    stop: CancellationToken,
    deadline: Duration,
) -> std::io::Result<()>
where
    A: Accept<
            TcpStream,
            Connected,
            Stream: AsyncRead + AsyncWrite + Unpin + Send,
            Service: SendService<Request<Incoming>> + Send,
            Future: Send,
        >,
    A: Clone + Send + Sync + 'static,
{
    listener.set_nonblocking(true)?;
    let handle = axum_server::Handle::new();
    let header_timeout = receiver.0.settings.header_timeout.0;
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle.clone()).http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .ignore_invalid_headers(true)
        .max_buf_size(READ_BUFFER);
    let serving = server.serve(router(receiver).into_make_service_with_connect_info::<SocketAddr>());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => {
            handle.graceful_shutdown(Some(deadline));
            serving.await
        }
    }
}

async fn hook(State(receiver): State<Receiver>, Path(connection): Path<String>, request: Request<Body>) -> Response {
    answer(&receiver.0, &connection, None, request).await
}

async fn hook_with_token(
    State(receiver): State<Receiver>,
    Path((connection, token)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    answer(&receiver.0, &connection, Some(token), request).await
}

async fn wrong_method(State(receiver): State<Receiver>, Path(place): Path<BTreeMap<String, String>>) -> Response {
    if let Some(known) = place.get("connection").and_then(|connection| receiver.0.current(connection).0) {
        known.metrics.request("refused");
    }
    refuse(StatusCode::METHOD_NOT_ALLOWED, "send it with POST")
}

/// Counts a request once, also where the sender goes away before its answer.
struct Counting<'a> {
    known: &'a Known,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.known.metrics.request(self.outcome);
        self.known.metrics.duration(self.started.elapsed());
    }
}

async fn answer(receiver: &Shared, connection: &str, token: Option<String>, request: Request<Body>) -> Response {
    let (known, origins) = receiver.current(connection);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let may_send = origins.may_send(peer, request.headers());
    let Some(known) = known else {
        return refuse(StatusCode::NOT_FOUND, "no such connection");
    };
    let mut counting = Counting { known: &known, started: Instant::now(), outcome: "too_slow" };
    let span = Span::receive(known.source.connection.as_str());
    let (outcome, response) =
        if may_send { take(receiver, &known, token, request, &span).await } else { turned_away(&known.source, NotProven::Address) };
    counting.outcome = outcome;
    span.answered(response.status().as_u16());
    response
}

async fn take(
    receiver: &Shared,
    known: &Arc<Known>,
    token: Option<String>,
    request: Request<Body>,
    span: &Span,
) -> (&'static str, Response) {
    let (source, metrics) = (&known.source, &known.metrics);
    let (parts, body) = request.into_parts();
    let claim = claim(&parts.headers, token);
    // Strangers get neither time nor memory for a body.
    if let Err(why) = source.verifier.check_before_body(claim.credentials()) {
        return turned_away(source, why);
    }
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let held = match body::read(body, announced, receiver.settings.max_body, receiver.settings.body_timeout.0, &receiver.budget).await {
        Ok(held) => held,
        Err(err) => return not_read(&err, source),
    };
    match receiver.admission.admit(known, held.bytes.clone(), claim, span).await {
        Ok(ids) => {
            span.events(ids.len());
            metrics.body(held.bytes.len());
            metrics.received(receiver.admission.clock.now().ms());
            ("accepted", Json(Accepted { event_ids: ids }).into_response())
        }
        Err(NotAdmitted::NotProven(why)) => not_proven(source, why),
        Err(NotAdmitted::NotStored(why)) => {
            tracing::warn!(connection = %source.connection, "a webhook for `{}` cannot be stored: {why}", source.connection);
            ("unavailable", unavailable("it cannot be stored now"))
        }
    }
}

fn not_proven(source: &Source, why: NotProven) -> (&'static str, Response) {
    tracing::warn!(connection = %source.connection, "a webhook for `{}` is refused: {why}", source.connection);
    let mut response = refuse(StatusCode::UNAUTHORIZED, &why.to_string());
    if source.verifier.wants_basic() {
        // Some senders give their password only when they are asked for it.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"ticketwire\""));
    }
    ("refused", response)
}

/// The answer to a request whose head alone shows that the sender is not proven. Its body is not read.
fn turned_away(source: &Source, why: NotProven) -> (&'static str, Response) {
    let (outcome, response) = not_proven(source, why);
    (outcome, close(response))
}

fn not_read(err: &BodyError, source: &Source) -> (&'static str, Response) {
    tracing::debug!(connection = %source.connection, ?err, "a body for `{}` was not read", source.connection);
    match err {
        BodyError::TooLarge => ("too_large", close(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than `receiver.max_body`"))),
        BodyError::TooSlow | BodyError::Gone => ("too_slow", close(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))),
        BodyError::Busy => ("unavailable", close(unavailable("too many bodies at a time"))),
    }
}

fn claim(headers: &HeaderMap, token: Option<String>) -> Claim {
    let text = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty() && value.len() <= HEADER_MAX).then(|| value.to_owned())
    };
    Claim {
        signature: headers.get(HeaderName::from_static("x-hub-signature")).map(|value| Bytes::copy_from_slice(value.as_bytes())),
        token,
        authorization: headers.get(header::AUTHORIZATION).map(|value| Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers {
            identifier: text("x-atlassian-webhook-identifier"),
            retry: text("x-atlassian-webhook-retry").and_then(|count| count.parse().ok()).unwrap_or(0),
            flow: text("x-atlassian-webhook-flow").map(|flow| flow.to_lowercase()),
        },
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn unavailable(why: &str) -> Response {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

/// What is left of the body is not read: the connection cannot be used again.
fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::super::settings::Proof;
    use super::super::verify::Verifier;
    use super::*;
    use crate::event::{LaneCount, Markup};
    use crate::queue::memory::Memory;
    use crate::setting::Secret;

    fn receiver() -> Receiver {
        let proof = Proof { secrets: vec![Secret::new("hush")], token: Some(Secret::new("token")), basic: None };
        let base_url = "https://acme.example".parse().expect("a base URL");
        let source = Source { connection: "acme".parse().expect("a name"), base_url, verifier: Verifier::new(&proof) };
        let queue = Arc::new(Memory::new(LaneCount::default(), 1));
        Receiver::new(vec![source], queue, Clock::system(), |_: Markup<'_>| String::new(), Settings::default())
    }

    fn request(method: &str, token: &str, signature: Option<&str>, body: Body) -> Request<Body> {
        let request = Request::builder().method(method).uri(format!("/hooks/acme/{token}")).header("content-length", 25 << 20);
        signature
            .into_iter()
            .fold(request, |request, signature| request.header("x-hub-signature", signature))
            .body(body)
            .expect("a request")
    }

    /// The time does not pass: whoever waited for the body would answer 408.
    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_turned_away_before_the_body() {
        let unsent = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let formed = format!("sha256={}", "0".repeat(64));
        for (token, signature, status) in [
            ("wrong", Some(formed.as_str()), 401),
            ("token", None, 401),
            ("token", Some("sha1=00"), 401),
            ("token", Some("nonsense"), 401),
            ("token", Some(formed.as_str()), 408),
        ] {
            let answer = router(receiver()).oneshot(request("POST", token, signature, unsent())).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{token} {signature:?}");
            assert_eq!(answer.headers().get(header::CONNECTION).map(|value| value.as_bytes()), Some(b"close".as_slice()), "{token}");
        }
    }

    #[tokio::test]
    async fn another_method_is_refused() {
        for method in ["GET", "HEAD", "PUT"] {
            let answer = router(receiver()).oneshot(request(method, "token", None, Body::empty())).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
    }
}
