//! Traces: one webhook is one trace from the door to every sink, nothing private is in it, and a collector that is away is no trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::Value;
use ticketwire::shutdown::Tasks;
use tokio::net::TcpListener;

use crate::stage::{ADMIN_TOKEN, SECRET, Scene, Stage, Story, listen, quoted, signature, until};

const LIMIT: Duration = Duration::from_secs(40);
const TOKEN: &str = "Bearer traces-shibboleth-12%20";
const HTTP_SECRET: &str = "whsec_c2hpYmJvbGV0aC1vZi10aGUtZW5kcG9pbnQ=";
const QUERY: &str = "query-shibboleth-44";
const TEAM: &str = "[rule.talk]\nwhen = 'event.kind == \"comment.created\"'\nsend = [{ to = \"team\" }]\n";
/// It waits for the sinks in hand and for the collector, but for nothing that is away.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A collector, and an endpoint for events beside it.
struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Taken {
    requests: Vec<(HeaderMap, ExportTraceServiceRequest)>,
    events: Vec<(HeaderMap, Value)>,
}

impl Collector {
    async fn open() -> Self {
        let (taken, tasks) = (Arc::<Mutex<Taken>>::default(), Tasks::new());
        let router = axum::Router::new().route("/otlp/v1/traces", post(take)).route("/in", post(take_event)).with_state(taken.clone());
        let address = listen(router, &tasks).await;
        Self { address, taken, tasks }
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.taken().requests.iter().map(|(_, request)| request.clone()).collect::<Vec<_>>();
        let resources = requests.into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    taken.lock().unwrap_or_else(PoisonError::into_inner).requests.push((headers, request));
}

async fn take_event(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) {
    let event = serde_json::from_slice(&body).expect("JSON");
    taken.lock().unwrap_or_else(PoisonError::into_inner).events.push((headers, event));
}

fn said(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Said| match value {
        Said::StringValue(text) => text.clone(),
        Said::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |said: &opentelemetry_proto::tonic::common::v1::AnyValue| said.value.as_ref().map(text).unwrap_or_default();
    span.attributes.iter().map(|said| (said.key.as_str(), said.value.as_ref().map(value).unwrap_or_default())).collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

fn configure(stage: &Stage, scene: &Scene, collector: &Collector) {
    let endpoint = format!(
        "[sink.endpoint]\ntype = \"http\"\nurl = \"http://{}/in?key={QUERY}\"\nsecret = {HTTP_SECRET:?}\nallow_private = true\n\
         clearance = {{ security_levels = [\"*\"], restricted_comments = true, internal_comments = true }}\n",
        collector.address
    );
    let traces = format!("[traces]\nendpoint = \"http://{}/otlp\"\nheaders = {{ authorization = {} }}\n", collector.address, quoted(TOKEN));
    stage.configure(&format!("{}{}{}{endpoint}{traces}{TEAM}", scene.asking(), super::DATA_SINKS, scene.workspace("team", false)));
}

/// A comment of which the webhook says too little for the guard: Jira is asked.
async fn comment(scene: &Scene) -> Value {
    for _ in 0..400 {
        let bodies = scene.simulation.act().await.bodies;
        if let Some(body) = bodies.into_iter().find(|body| body.event == "comment_created") {
            return body.json;
        }
    }
    panic!("nobody commented");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_webhook_is_one_trace_from_the_door_to_every_sink() {
    let (stage, scene, collector) = (Stage::new(), Scene::set().await, Collector::open().await);
    configure(&stage, &scene, &collector);
    let service = stage.serve().await;
    let body = comment(&scene).await;
    let bytes = body.to_string();
    let signature = signature(SECRET, bytes.as_bytes());
    let path = format!("/hooks/acme?user={QUERY}");
    let answer = stage.try_post(&path, bytes.as_bytes(), &[("X-Hub-Signature", &signature)]).await.expect("an answer");
    assert_eq!((answer.status, answer.ids.len()), (200, 1));
    stage.drained(&["events", "tickets", "team", "endpoint"], LIMIT).await;
    let (took, code) = service.terminate().await;
    assert!(code == 0 && took < STOP_MAX, "{code} after {took:?}");

    let spans = collector.spans();
    let (door, publish) = (one(&spans, "webhook receive"), one(&spans, "queue publish"));
    let traces: BTreeSet<&[u8]> = spans.iter().map(|span| span.trace_id.as_slice()).collect();
    assert_eq!(traces.len(), 1, "one trace, and nothing beside it: {spans:#?}");
    assert_eq!((door.kind(), publish.kind()), (SpanKind::Server, SpanKind::Producer));
    assert!(door.parent_span_id.is_empty() && publish.parent_span_id == door.span_id);
    let expected = [("connection", "acme"), ("events", "1"), ("http.response.status_code", "200")];
    assert_eq!(said(door), expected.map(|(name, value)| (name, value.to_owned())).into());

    let delivers: Vec<&Span> = spans.iter().filter(|span| span.name == "deliver").collect();
    let sinks: BTreeMap<String, &&Span> = delivers.iter().map(|span| (said(span)["sink"].clone(), span)).collect();
    assert_eq!(sinks.keys().collect::<Vec<_>>(), ["endpoint", "events", "team", "tickets"]);
    let key = body["issue"]["key"].as_str().expect("a key");
    for (sink, span) in &sinks {
        let mut said = said(span);
        assert!(span.kind() == SpanKind::Consumer && span.parent_span_id == publish.span_id, "{span:#?}");
        assert!(said.remove("lane").is_some_and(|lane| lane.parse::<u16>().is_ok()));
        let outcome = said.remove("outcome").expect("an outcome");
        assert!(outcome == "delivered" || (sink == "team" && outcome == "withheld"), "{sink}: {outcome}");
        let id = answer.ids[0].as_str();
        let rest = [("attempt", "1"), ("event.id", id), ("event.kind", "comment.created"), ("issue.key", key), ("sink", sink.as_str())];
        assert_eq!(said, rest.map(|(name, value)| (name, value.to_owned())).into());
    }
    let asked: Vec<&Span> = spans.iter().filter(|span| span.name == "jira request").collect();
    assert!(!asked.is_empty() && spans.len() == 2 + delivers.len() + asked.len(), "{spans:#?}");
    for span in asked {
        // The guard of one sink and the ticket store want the same issue: the request is a part of whichever came first.
        let waits = delivers.iter().find(|deliver| deliver.span_id == span.parent_span_id).expect("somebody waits for it");
        assert!(["team", "tickets"].contains(&said(waits)["sink"].as_str()) && said(span)["http.response.status_code"] == "200");
        assert!(waits.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= waits.end_time_unix_nano);
    }

    let traceparent = format!("00-{}-{}-01", hex::encode(&door.trace_id), hex::encode(&publish.span_id));
    assert_eq!(stage.lines(super::EVENTS)[0]["traceparent"], traceparent);
    let taken = collector.taken();
    let (headers, event) = taken.events.first().expect("the endpoint got it");
    assert_eq!((event["traceparent"].as_str(), headers["traceparent"].as_bytes()), (Some(traceparent.as_str()), traceparent.as_bytes()));
    assert_private(&taken, &scene, &body);
    let printed = std::fs::read_to_string(stage.path("serve.err")).expect("text");
    assert!(!printed.contains("shibboleth") && !printed.contains("collector"), "{printed}");
}

/// Who we are, and nothing that is nobody's business.
fn assert_private(taken: &Taken, scene: &Scene, body: &Value) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut private = vec![text(&body["comment"]["body"]), text(&body["comment"]["author"]["displayName"])];
    private.extend(
        [SECRET, ADMIN_TOKEN, TOKEN, HTTP_SECRET, QUERY, "shibboleth", "http://", "https://", "/hooks/", env!("CARGO_MANIFEST_DIR")]
            .map(str::to_owned),
    );
    private.extend([scene.simulation.api_token(), scene.simulation.slack_token(), scene.simulation.email()].map(str::to_owned));
    for (headers, request) in &taken.requests {
        assert_eq!(headers["authorization"], TOKEN);
        let sent = format!("{request:?}");
        assert!(!private.iter().any(|word| sent.contains(word.as_str())), "{private:?} in {sent}");
        for resource in request.resource_spans.iter().map(|spans| spans.resource.as_ref().expect("a resource")) {
            let mut names: Vec<&str> = resource.attributes.iter().map(|said| said.key.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["service.name", "service.version"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_silent_is_no_trouble() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("an address");
    for (what, address) in [("away", gone), ("silent", silent.local_addr().expect("an address"))] {
        let stage = Stage::new();
        let traces = format!("[traces]\nendpoint = \"http://{address}\"\n");
        stage.configure(&format!("{}{}{traces}", Scene::listening("acme"), super::DATA_SINKS));
        let service = stage.serve().await;
        let mut story = Story::new(1, "OPS");
        stage.post("acme", &story.created(), "1").await;
        until("it is counted and told", LIMIT, async || {
            let metrics = stage.metrics().await;
            let counted = metrics.lines().any(|line| line.starts_with("ticketwire_traces_dropped_total ") && !line.ends_with(" 0"));
            (counted && service.printed().contains("traces do not reach the collector")).then_some(())
        })
        .await;
        stage.post("acme", &story.renamed("another"), "2").await;
        stage.drained(&["events", "tickets"], LIMIT).await;
        assert_eq!(stage.lines(super::EVENTS).len(), 2, "{what}");
        let (took, code) = service.terminate().await;
        assert!(code == 0 && took < STOP_MAX, "{what}: {code} after {took:?}");
    }
}

/// What a reload cannot change is refused by name; without a collector nothing of traces is anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_there_is_no_trace_and_a_reload_brings_none() {
    let (stage, collector) = (Stage::new(), Collector::open().await);
    let base = format!("{}{}", Scene::listening("acme"), super::DATA_SINKS);
    stage.configure(&base);
    let service = stage.serve().await;
    stage.configure(&format!("{base}[traces]\nendpoint = \"http://{}/otlp\"\n", collector.address));
    service.hang_up();
    until("the reload is refused", LIMIT, async || {
        service.printed().contains("`endpoint` of `[traces]` cannot change while the service runs").then_some(())
    })
    .await;
    stage.post("acme", &Story::new(1, "OPS").created(), "1").await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    assert_eq!(service.terminate().await.1, 0);
    assert_eq!((stage.lines(super::EVENTS)[0].get("traceparent"), collector.spans()), (None, vec![]));
}
