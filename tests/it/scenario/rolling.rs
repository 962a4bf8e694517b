//! A rolling restart: a receiver and two workers over a broker and PostgreSQL, each stopped in turn and started again under load, as an
//! upgrade does it. Nothing is lost, and the order of each issue holds across the processes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ticketwire::shutdown::Tasks;

use crate::stage::{Load, Scene, Server, Service, Stage, Taken, is_long, listen, until};

/// A lane that goes from one process to another may show its last window again.
const REPEATS_MAX: usize = 256;
const LIMIT: Duration = Duration::from_secs(90);
const ROLES: [&str; 3] = ["receiver,scheduler,console", "worker", "worker"];

/// The ids that the endpoint was called with, in order; both workers call the same one.
type Calls = Arc<Mutex<Vec<String>>>;

async fn take(State(calls): State<Calls>, headers: HeaderMap) -> StatusCode {
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(headers["webhook-id"].to_str().expect("text").to_owned());
    StatusCode::OK
}

#[cfg(feature = "amqp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_over_rabbitmq_are_restarted_one_after_another() {
    let Some(broker) = crate::queue_contract::Broker::found().await else { return };
    roll("rabbitmq", |_| format!("[queue]\nurl = {:?}\nname = {:?}\n", broker.url, broker.name)).await;
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_over_kafka_are_restarted_one_after_another() {
    let Some(cluster) = crate::queue_contract::Cluster::found() else { return };
    let url = format!("kafka://{}", cluster.servers);
    roll("kafka", |number| format!("[queue]\nurl = {url:?}\nname = {:?}\ninstance = \"process-{number}\"\n", cluster.name)).await;
}

async fn roll(queue: &str, section: impl Fn(usize) -> String) {
    let Some(database) = Server::start("postgres") else { return };
    let (calls, tasks) = (Calls::default(), Tasks::new());
    let router = axum::Router::new().route("/take", axum::routing::post(take)).with_state(Arc::clone(&calls));
    let url = format!("http://{}/take", listen(router, &tasks).await);
    let sink = format!("[sink.out]\ntype = \"http\"\nurl = {url:?}\nallow_private = true\nsecret = \"of the endpoint\"\n");
    let store = format!("[store]\nurl = {:?}\n", database.address);
    let stages: Vec<Arc<Stage>> = ROLES.iter().map(|_| Arc::new(Stage::new())).collect();
    let mut services = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        let rest = format!("{store}{}{sink}[sink.tickets]\ntype = \"tickets\"\n", Scene::listening("acme"));
        stage.configure(&format!("{}{rest}", section(number)));
        services.push(start(stage, ROLES[number]).await);
    }
    let load = Load::start(&stages[0]);
    let rounds = if is_long() { 10 } else { 2 };
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        for (number, stage) in stages.iter().enumerate() {
            let goal = load.count() + 150;
            until("the load goes on", LIMIT, async || (load.count() >= goal).then_some(())).await;
            let (took, code) = services.remove(number).terminate().await;
            assert_eq!(code, 0, "the status of process {number} after SIGTERM");
            slowest = slowest.max(took);
            services.insert(number, start(stage, ROLES[number]).await);
        }
    }
    let taken = load.stop().await;
    let missing = || {
        let called: HashSet<String> = calls.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        taken.values().flat_map(|taken| &taken.ids).filter(|id| !called.contains(*id)).count()
    };
    until("all that was accepted has come", LIMIT, async || (missing() == 0).then_some(())).await;
    stages[0].drained(&["out", "tickets"], LIMIT).await;
    let called = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let repeats = judge(&taken, &called);
    let accepted: usize = taken.values().map(|taken| taken.ids.len()).sum();
    eprintln!(
        "rolling, {queue}: {} stops, {slowest:.1?} at most, {accepted} accepted, 0 missing, in order, {repeats} repeated",
        rounds * ROLES.len()
    );
    assert!(repeats <= REPEATS_MAX, "{repeats} repeats");
    for service in services {
        assert_eq!(service.terminate().await.1, 0);
    }
    assert!(tasks.stop(Duration::from_secs(10)).await, "the endpoint does not stop");
}

async fn start(stage: &Stage, role: &str) -> Service {
    let config = stage.config().display().to_string();
    stage.serve_by(stage.command(&["serve", "-c", &config, "--role", role])).await
}

/// Each issue's events came in order. How many came again.
fn judge(taken: &BTreeMap<u64, Taken>, called: &[String]) -> usize {
    let first: HashMap<&String, usize> = called.iter().enumerate().rev().map(|(at, id)| (id, at)).collect();
    for (issue, taken) in taken {
        let places: Vec<usize> = taken.ids.iter().map(|id| first[id]).collect();
        assert!(places.is_sorted(), "issue {issue} came out of order: {places:?}");
    }
    called.len() - called.iter().collect::<HashSet<_>>().len()
}
