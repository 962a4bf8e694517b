//! `kill -9` under load: what was accepted is in the file and in the ticket store, and only a crash repeats.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::stage::{Load, Scene, Stage, Taken, is_long, until};

/// Sixteen lanes, sixteen events each written and not yet recorded.
const REPEATS_MAX: usize = 256;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_kills() {
    survive("embedded", "").await;
}

#[cfg(feature = "amqp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_kills_over_rabbitmq() {
    let Some(broker) = crate::queue_contract::Broker::found().await else { return };
    survive("rabbitmq", &format!("[queue]\nurl = {:?}\nname = {:?}\n", broker.url, broker.name)).await;
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_survives_kills_over_kafka() {
    let Some(cluster) = crate::queue_contract::Cluster::found() else { return };
    let url = format!("kafka://{}", cluster.servers);
    // With a name of its own it need not wait until the session of the one that was killed has ended.
    survive("kafka", &format!("[queue]\nurl = {url:?}\nname = {:?}\ninstance = \"one\"\n", cluster.name)).await;
}

async fn survive(queue: &str, section: &str) {
    let kills = if is_long() { 50 } else { 5 };
    let stage = Arc::new(Stage::new());
    stage.configure(&format!("{section}{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let mut service = stage.serve().await;
    let load = Load::start(&stage);
    let mut ends = Vec::new();
    for _ in 0..kills {
        let goal = load.count() + rand::rng().random_range(20..400);
        until("the load goes on", LIMIT, async || (load.count() >= goal).then_some(())).await;
        service.kill();
        ends.push(stage.lines(super::EVENTS).len());
        service = stage.serve().await;
    }
    let taken = load.stop().await;
    let accepted: Vec<&String> = taken.values().flat_map(|taken| &taken.ids).collect();

    let missing = async || {
        let ids: HashSet<String> = stage.ids(super::EVENTS).into_iter().collect();
        accepted.iter().filter(|id| !ids.contains(**id)).count()
    };
    until("all that was accepted is in the file", LIMIT, async || (missing().await == 0).then_some(())).await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    let ids = stage.ids(super::EVENTS);
    let repeats = repeats(&ids, &ends);
    let first: HashMap<&String, usize> = ids.iter().enumerate().rev().map(|(at, id)| (id, at)).collect();
    for (issue, taken) in &taken {
        let places: Vec<usize> = taken.ids.iter().map(|id| first[id]).collect();
        assert!(places.is_sorted(), "issue {issue} is out of order in the file");
    }
    let rows = stage.rows("SELECT id, summary FROM tickets").await;
    let rows: BTreeMap<u64, String> = rows.into_iter().map(|row| (row[0].parse().expect("a number"), row[1].clone())).collect();
    // The last body of an issue may have been kept although its answer was lost.
    let is_behind = |(issue, taken): &(&u64, &Taken)| rows.get(issue).is_none_or(|summary| step(summary) < step(&taken.summary));
    let behind: Vec<_> = taken.iter().filter(is_behind).collect();
    assert!(behind.is_empty(), "{} of {} tickets are missing or old: {behind:?}", behind.len(), taken.len());
    let worst = repeats.iter().max().copied().unwrap_or(0);
    eprintln!(
        "crash, {queue}: {kills} kills, {} accepted, 0 missing in the file, {} of {} tickets right, {} repeats, at most {worst} after one crash",
        accepted.len(),
        rows.len(),
        taken.len(),
        repeats.iter().sum::<usize>()
    );
    assert!(worst <= REPEATS_MAX, "{repeats:?}");
}

fn step(summary: &str) -> u64 {
    summary.strip_prefix("step ").and_then(|rest| rest.split(' ').next()).map_or(0, |number| number.parse().expect("a number"))
}

/// How many lines each life repeated of the lives before: one too short to come to them leaves them to the next. A repeat within
/// one life is a failure.
fn repeats(ids: &[String], ends: &[usize]) -> Vec<usize> {
    let life = |at: usize| ends.iter().filter(|end| at >= **end).count();
    let mut last: HashMap<&String, usize> = HashMap::new();
    let mut repeats = vec![0; ends.len() + 1];
    for (at, id) in ids.iter().enumerate() {
        if let Some(before) = last.insert(id, life(at)) {
            assert!(before < life(at), "{id} is repeated where no crash explains it");
            repeats[life(at)] += 1;
        }
    }
    repeats
}
