//! A gate before a simulated service: lets calls through, answers them itself, or is shut so that connections are refused.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use ticketwire::shutdown::Tasks;
use tokio::net::TcpListener;

const BODY_MAX: usize = 1 << 20;

/// What the gate says itself: the status, the seconds of `Retry-After`, the body.
pub type Reply = (u16, Option<u32>, Value);
type Answer = dyn Fn(&str, &Value) -> Option<Reply> + Send + Sync;

#[derive(Clone)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    open: Arc<Mutex<Option<Tasks>>>,
}

struct Shared {
    target: String,
    client: reqwest::Client,
    answer: Mutex<Arc<Answer>>,
}

impl Gate {
    pub async fn before(target: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", super::free_port())).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
        let shared = Arc::new(Shared { target, client, answer: Mutex::new(Arc::new(|_, _| None)) });
        let gate = Self { address, shared, open: Arc::default() };
        gate.listen(listener);
        gate
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on calls are answered by this, from path and body; none: they go through.
    pub fn answer(&self, answer: impl Fn(&str, &Value) -> Option<Reply> + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    pub fn let_through(&self) {
        self.answer(|_, _| None);
    }

    /// Connections are refused from now on.
    pub async fn shut(&self) {
        let tasks = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        assert!(tasks.expect("an open gate").stop(Duration::from_secs(10)).await, "the gate does not shut");
    }

    pub async fn open(&self) {
        self.listen(TcpListener::bind(self.address).await.expect("its port"));
    }

    fn listen(&self, listener: TcpListener) {
        let tasks = Tasks::new();
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&self.shared));
        let token = tasks.token().clone();
        tasks.spawn("gate", async move {
            axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await.expect("it serves");
        });
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
    }
}

async fn pass(State(gate): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_MAX).await.expect("a small body");
    let asked = serde_json::from_slice(&bytes).unwrap_or_default();
    let answer = Arc::clone(&*gate.answer.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some((status, retry_after, body)) = answer(parts.uri.path(), &asked) {
        let mut response = axum::Json(body).into_response();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        return response;
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut through = gate.client.request(parts.method, format!("{}{path}", gate.target)).body(bytes);
    for name in ["authorization", "content-type", "accept"] {
        if let Some(value) = parts.headers.get(name) {
            through = through.header(name, value);
        }
    }
    let Ok(answer) = through.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| ["content-type", "retry-after"].contains(&name.as_str())) {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap_or_default())).expect("a response")
}
