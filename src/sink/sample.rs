//! Deliveries of plainly fictional events, and an endpoint on a real socket, for the tests of the sinks.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::Enriched;
use crate::clock::Timestamp;
use crate::event::{Data, Delivered, Envelope, Event, EventId, Issue, Kind, Origin, PartitionKey, Secrecy};
use crate::setting::ConnectionName;
use crate::shutdown::Tasks;

fn connection() -> ConnectionName {
    "acme".parse().expect("a name")
}

pub fn id(number: u32) -> String {
    EventId::new(&connection(), &["issue", &number.to_string(), "created"]).to_string()
}

/// The id that a line of JSON carries.
pub fn id_in(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    value["id"].as_str().expect("an event has an id").to_owned()
}

pub fn enriched(number: u32) -> Enriched {
    let (connection, issue_id) = (connection(), number.to_string());
    let data = Data {
        kind: Kind::IssueCreated,
        origin: Origin::Webhook,
        occurred_at: Timestamp::from_ms(1_765_441_200_120),
        received_at: Timestamp::from_ms(1_765_441_200_480),
        jira: Delivered::default(),
        actor: None,
        project: None,
        issue: Some(Box::new(Issue { summary: Some("The kettle\nwhistles".to_owned()), ..Issue::only_id(&issue_id) })),
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: None,
    };
    let event = Event {
        id: EventId::known(&id(number)),
        source: "https://acme.atlassian.net".parse().expect("a base URL"),
        subject: format!("TEA-{number}"),
        partition_key: PartitionKey::issue(&connection, &issue_id),
        secrecy: Secrecy::default(),
        connection,
        data,
    };
    let raw = Bytes::from_static(br#"{"webhookEvent":"jira:issue_created"}"#);
    let envelope = Envelope { event: event.clone(), raw, target: None, traceparent: None, received: None, renewable: false };
    Enriched {
        envelope: Arc::new(envelope),
        event: Arc::new(event),
        rule: None,
        target: "out".into(),
        generation: 0,
        attempts: 1,
        seen: None,
        message: None,
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Somebody's server: remembers what it was asked and answers the same to everything; none: not at all.
pub struct Endpoint {
    pub url: String,
    pub port: u16,
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    calls: Mutex<Vec<Call>>,
    answer: Mutex<Option<Answer>>,
}

impl Endpoint {
    pub async fn start(answer: impl Into<Option<Answer>>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { calls: Mutex::default(), answer: Mutex::new(answer.into()) });
        let (tasks, app) = (Tasks::new(), axum::Router::new().fallback(take).with_state(Arc::clone(&shared)));
        let stopped = tasks.token().clone();
        tasks.spawn("endpoint", async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                served = async { axum::serve(listener, app).await } => served.expect("serving"),
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), port, shared, tasks }
    }

    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().expect("a lock") = Some(answer);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("a lock").clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, String) {
    shared.calls.lock().expect("a lock").push(Call { path: uri.path().to_owned(), headers, body: body.to_vec() });
    let answer = shared.answer.lock().expect("a lock").clone();
    let Some(answer) = answer else { return std::future::pending().await };
    let headers = answer.headers.iter().map(|(name, value)| ((*name).try_into().expect("a name"), value.parse().expect("a value")));
    (StatusCode::from_u16(answer.status).expect("a status"), headers.collect(), answer.body)
}
