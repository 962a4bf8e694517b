//! The broker is gone for a while: 503 meanwhile, or 200 with the spool; nothing that was acknowledged is lost, and nobody has to help.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::stage::{Load, Scene, Server, Stage, Story, Taken, is_long, until};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_away_is_answered_503_and_nothing_is_lost() {
    if let Some(broker) = Server::start("rabbitmq") {
        away(&broker, &broker.address, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_away_goes_to_the_spool_and_follows_in_order() {
    if let Some(broker) = Server::start("rabbitmq") {
        away(&broker, &broker.address, true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_away_is_answered_503_and_nothing_is_lost() {
    if let Some(broker) = Server::start("kafka") {
        away(&broker, &format!("kafka://{}", broker.address), false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_away_goes_to_the_spool_and_follows_in_order() {
    if let Some(broker) = Server::start("kafka") {
        away(&broker, &format!("kafka://{}", broker.address), true).await;
    }
}

/// The road of `url` loses its broker under load and gets it back.
async fn away(broker: &Server, url: &str, spool: bool) {
    let outage = Duration::from_secs(if is_long() { 120 } else { 8 });
    let stage = Arc::new(Stage::new());
    stage.configure(&format!("[queue]\nurl = {url:?}\n{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let mut command = stage.command(&["serve", "-c", &stage.config().display().to_string()]);
    command.env("TICKETWIRE__RECEIVER__SPOOL", spool.to_string());
    let service = stage.serve_by(command).await;
    let load = Load::start(&stage);
    until("the load is under way", LIMIT, async || (load.count() > 300).then_some(())).await;
    broker.control("stop").await;
    let before = load.count();
    let during = spool_or_refuse(&stage, spool).await;
    tokio::time::sleep(outage).await;
    let meanwhile = load.count() - before;
    assert_eq!(meanwhile > 300, spool, "{meanwhile} events were taken meanwhile");
    broker.control("start").await;
    let back = load.count();
    until("events are taken again", LIMIT, async || (load.count() > back + 300).then_some(())).await;
    let taken = load.stop().await;
    stage.drained(&["spool", "events", "tickets"], LIMIT.max(5 * outage)).await;
    all_in_order(&stage, &taken, &during);
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
    let count: usize = taken.values().map(|taken| taken.ids.len()).sum();
    eprintln!("broker: away for {outage:?}, spool {spool}: {count} accepted, {meanwhile} of them meanwhile, 0 missing, in order");
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
}

/// The first answers without the broker: refused soon, or taken.
async fn spool_or_refuse(stage: &Stage, spool: bool) -> Vec<String> {
    let mut story = Story::new(1_000_000, "OPS");
    let body = story.created().to_string();
    let answer = stage.post_bytes("acme", body.as_bytes(), "while it is away").await;
    assert_eq!(answer.status, if spool { 200 } else { 503 });
    answer.ids
}

/// Everything is in the file, once, and each issue in its order.
fn all_in_order(stage: &Stage, taken: &BTreeMap<u64, Taken>, others: &[String]) {
    let ids = stage.ids(super::EVENTS);
    let first: HashMap<&String, usize> = ids.iter().enumerate().rev().map(|(at, id)| (id, at)).collect();
    let accepted = taken.values().flat_map(|taken| &taken.ids).chain(others);
    let missing: Vec<&String> = accepted.filter(|id| !first.contains_key(id)).collect();
    assert!(missing.is_empty(), "{} are not in the file: {missing:?}", missing.len());
    for (issue, taken) in taken {
        let places: Vec<usize> = taken.ids.iter().map(|id| first[id]).collect();
        assert!(places.is_sorted(), "issue {issue} is out of order in the file");
    }
    assert_eq!(first.len(), ids.len(), "a file that is written by event comes to each once");
}
