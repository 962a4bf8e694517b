//! The sender against a receiver that notes what it gets and answers as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::simulate::Simulation;

#[derive(Clone)]
struct Receiver {
    /// Statuses of the first answers; then 200.
    statuses: Arc<Mutex<Vec<u16>>>,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    queries: Arc<Mutex<Vec<Option<String>>>>,
    under_way: Arc<AtomicUsize>,
    url: String,
}

const LIMIT: Duration = Duration::from_secs(60);

impl Receiver {
    async fn start(tasks: &Tasks, statuses: &[u16]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/acme", listener.local_addr().unwrap());
        let mut statuses = statuses.to_vec();
        statuses.reverse();
        let receiver =
            Self { statuses: Arc::new(Mutex::new(statuses)), got: Arc::default(), queries: Arc::default(), under_way: Arc::default(), url };
        let router = Router::new().route("/hooks/acme", post(receive)).with_state(receiver.clone());
        let token = tasks.token().clone();
        tasks.spawn("receiver", async move {
            axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await.unwrap();
        });
        receiver
    }

    fn header(&self, name: &str) -> Vec<Option<String>> {
        lock(&self.got).iter().map(|(headers, _)| headers.get(name).map(|value| value.to_str().unwrap().to_owned())).collect()
    }

    fn bodies(&self) -> Vec<Value> {
        lock(&self.got).iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

/// The answer names the event as an honest receiver would: alike for repeats and twins.
async fn receive(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    receiver.under_way.fetch_add(1, Ordering::SeqCst);
    let status = lock(&receiver.statuses).pop().unwrap_or(200);
    let id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&body));
    lock(&receiver.got).push((headers, body));
    lock(&receiver.queries).push(uri.query().map(str::to_owned));
    receiver.under_way.fetch_sub(1, Ordering::SeqCst);
    (StatusCode::from_u16(status).unwrap(), json!({ "event_ids": [id] }).to_string())
}

fn settings(faults: Faults) -> Settings {
    Settings { delivery: Delivery { retry_scale: 1e-5, ..Delivery::default() }, faults, ..Settings::default() }
}

fn body(number: u64) -> Body {
    Body {
        event: "jira:issue_updated",
        is_twin: false,
        lane: format!("issue/{}", number % 7),
        flow: Flow::Primary,
        json: json!({ "number": number }),
    }
}

#[tokio::test]
async fn a_body_is_tried_as_jira_tries() {
    for (statuses, tries, bodies, given_up) in [
        (&[][..], 1, 1, 0),
        (&[204], 1, 1, 0),
        (&[408, 409, 425, 429, 500], 6, 1, 0),
        (&[503; 6], 6, 0, 1),
        (&[503, 404], 2, 0, 1),
        (&[400], 1, 0, 1),
        (&[401], 1, 0, 1),
        (&[413], 1, 0, 1),
        (&[302], 1, 0, 1),
    ] {
        let tasks = Tasks::new();
        let receiver = Receiver::start(&tasks, statuses).await;
        let sender = Sender::new(&settings(Faults::default()), &tasks).unwrap();
        sender.target(receiver.url.clone());
        sender.send(&body(1)).await;
        assert!(sender.drained(LIMIT).await);
        let sent = sender.sent();
        assert_eq!((receiver.bodies().len(), sent.bodies, sent.given_up, sent.events), (tries, bodies, given_up, 1), "{statuses:?}");

        let retries: Vec<Option<String>> = (0..tries).map(|retry| (retry > 0).then(|| retry.to_string())).collect();
        assert_eq!(receiver.header("x-atlassian-webhook-retry"), retries);
        let identifiers: BTreeSet<_> = receiver.header("x-atlassian-webhook-identifier").into_iter().collect();
        assert_eq!(identifiers.len(), 1, "one delivery keeps its identifier");
        assert_eq!(identifiers.first().unwrap().as_ref().unwrap().len(), 17);
        assert_eq!(receiver.header("x-atlassian-webhook-flow")[0].as_deref(), Some("Primary"));
        assert_eq!(receiver.header("user-agent")[0].as_deref(), Some("Atlassian Webhook HTTP Client"));
        assert_eq!(receiver.header("x-hub-signature")[0], Some(signature(&Secret::new("simulated-webhook-secret"), br#"{"number":1}"#)));
        assert!(tasks.stop(LIMIT).await);
    }
}

#[tokio::test]
async fn data_center_tries_once_and_names_no_delivery() {
    for (statuses, secret, bodies, given_up) in
        [(&[][..], "", 1, 0), (&[503], "simulated-webhook-secret", 0, 1), (&[429], "", 0, 1), (&[404], "", 0, 1)]
    {
        let tasks = Tasks::new();
        let receiver = Receiver::start(&tasks, statuses).await;
        let faults = Faults { repeat: 1.0, ..Faults::default() };
        let settings = Settings { flavour: Flavour::Datacenter, webhook_secret: Secret::new(secret), ..settings(faults) };
        let sender = Sender::new(&settings, &tasks).unwrap();
        sender.target(format!("{}?secret=abc", receiver.url));
        let person = json!({ "name": "wire@brightdesk.example", "key": "JIRAUSER10106" });
        sender.send(&Body { json: json!({ "user": person }), ..body(1) }).await;
        assert!(sender.drained(LIMIT).await);
        let sent = sender.sent();
        assert_eq!((receiver.bodies().len(), sent.bodies, sent.given_up, sent.events), (1, bodies, given_up, 1), "{statuses:?}");
        for name in ["x-atlassian-webhook-identifier", "x-atlassian-webhook-flow", "x-atlassian-webhook-retry"] {
            assert_eq!(receiver.header(name), [None], "{name}");
        }
        assert_eq!(receiver.header("x-hub-signature")[0].is_some(), !secret.is_empty());
        let query = lock(&receiver.queries)[0].clone();
        assert_eq!(query.as_deref(), Some("secret=abc&user_id=wire%40brightdesk.example&user_key=JIRAUSER10106"));
        assert!(tasks.stop(LIMIT).await);
    }
}

#[tokio::test]
async fn a_connection_that_fails_is_tried_again() {
    let tasks = Tasks::new();
    let sender = Sender::new(&settings(Faults::default()), &tasks).unwrap();
    // Nobody listens on a port that was just given back.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    sender.target(format!("http://{free}/"));
    sender.send(&body(1)).await;
    assert!(sender.drained(LIMIT).await);
    assert_eq!(sender.sent(), Sent { events: 1, given_up: 1, ..Sent::default() });
    assert!(tasks.stop(LIMIT).await);
}

/// The numbers of the bodies, in the order they arrived, per lane.
async fn order(faults: Faults) -> (BTreeMap<u64, Vec<u64>>, Sent, Receiver) {
    let tasks = Tasks::new();
    let receiver = Receiver::start(&tasks, &[]).await;
    let sender = Sender::new(&settings(faults), &tasks).unwrap();
    sender.target(receiver.url.clone());
    for number in 0..300 {
        sender.send(&body(number)).await;
    }
    assert!(sender.drained(LIMIT).await);
    let mut lanes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for body in receiver.bodies() {
        let number = body["number"].as_u64().unwrap();
        lanes.entry(number % 7).or_default().push(number);
    }
    assert!(tasks.stop(LIMIT).await);
    (lanes, sender.sent(), receiver)
}

#[tokio::test]
async fn one_issues_bodies_arrive_in_order() {
    let (lanes, sent, _) = order(Faults::default()).await;
    for numbers in lanes.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    assert_eq!((sent.bodies, sent.events, sent.event_ids.len()), (300, 300, 300));
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let (lanes, sent, _) = order(Faults { reorder: 0.3, ..Faults::default() }).await;
    assert!(lanes.values().any(|numbers| !numbers.is_sorted()), "{lanes:?}");
    assert_eq!((sent.bodies, sent.events), (300, 300), "the last ones held back are sent, too");

    let (lanes, sent, _) = order(Faults { delay: 0.3, delay_most: Duration::from_millis(20), ..Faults::default() }).await;
    assert!(lanes.values().any(|numbers| !numbers.is_sorted()), "{lanes:?}");
    assert_eq!(sent.bodies, 300);

    let (_, sent, receiver) = order(Faults { drop: 0.3, ..Faults::default() }).await;
    assert!(sent.dropped > 0 && sent.events == 300 - sent.dropped && receiver.bodies().len() as u64 == sent.events, "{sent:?}");

    let (_, sent, receiver) = order(Faults { repeat: 0.3, ..Faults::default() }).await;
    let repeats = receiver.header("x-atlassian-webhook-retry").into_iter().flatten().count();
    assert!(repeats > 0 && receiver.bodies().len() == 300 + repeats);
    assert_eq!((sent.bodies, sent.events, sent.event_ids.len()), (300, 300, 300));

    let (_, sent, receiver) = order(Faults { second_webhook: 0.3, ..Faults::default() }).await;
    let identifiers: BTreeSet<_> = receiver.header("x-atlassian-webhook-identifier").into_iter().collect();
    assert!(identifiers.len() > 300 && identifiers.len() == receiver.bodies().len());
    assert_eq!((sent.bodies, sent.events, sent.event_ids.len()), (300, 300, 300));
}

#[tokio::test]
async fn the_counts_of_a_simulation_agree_with_the_receivers() {
    let tasks = Tasks::new();
    let receiver = Receiver::start(&tasks, &[200, 503, 200, 429]).await;
    let settings = Settings { delivery: Delivery { retry_scale: 1e-5, ..Delivery::default() }, ..Settings::demo(Flavour::Cloud) };
    let simulation = Simulation::start(settings, &tasks).await.unwrap();
    let mut actions = simulation.actions();
    simulation.webhook_to(receiver.url.clone());
    simulation.people_work(500.0);
    let mut lines = Vec::new();
    while lines.len() < 200 {
        lines.push(tokio::time::timeout(LIMIT, actions.recv()).await.unwrap().unwrap());
    }
    let sent = simulation.people_stop_and_drain(LIMIT).await;
    insta::assert_snapshot!(lines[..8].join("\n"), @r#"
    Mira Falk moved DOCS-4 to On Hold
    Ode Brunner created bug OPS-7 "Office printer prints only in magenta"
    Tarek Sol commented on OPS-7
    Ina Voss created task OPS-8 for staff only
    Ina Voss wrote an internal note on HELP-2
    Mira Falk moved DOCS-3 to Operations, where it is OPS-9
    Ode Brunner deleted DOCS-6
    Tarek Sol logged work on OPS-7
    "#);
    let distinct: BTreeSet<Bytes> = lock(&receiver.got).iter().map(|(_, body)| body.clone()).collect();
    assert!(sent.events >= 200, "{sent:?}");
    assert_eq!((sent.bodies, sent.given_up, sent.dropped), (sent.events, 0, 0));
    assert_eq!(sent.events, sent.event_ids.len() as u64);
    assert_eq!(sent.events, distinct.len() as u64);
    assert_eq!(receiver.under_way.load(Ordering::SeqCst), 0);
    assert_eq!(simulation.people_stop_and_drain(LIMIT).await, sent, "nobody works any more");
    assert!(tasks.stop(LIMIT).await);
}
