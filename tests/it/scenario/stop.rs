//! An orderly stop under load ends well and in time, and nothing is done twice for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Load, Scene, Stage, until};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_repeats_nothing() {
    let stage = Arc::new(Stage::new());
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let mut service = stage.serve().await;
    let load = Load::start(&stage);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let goal = load.count() + 250;
        until("the load goes on", LIMIT, async || (load.count() >= goal).then_some(())).await;
        let (took, code) = service.terminate().await;
        assert_eq!(code, 0, "the status after SIGTERM");
        slowest = slowest.max(took);
        service = stage.serve().await;
    }
    let taken = load.stop().await;
    let accepted: HashSet<String> = taken.into_values().flat_map(|taken| taken.ids).collect();
    until("all that was accepted is in the file", LIMIT, async || {
        let ids: HashSet<String> = stage.ids(super::EVENTS).into_iter().collect();
        accepted.is_subset(&ids).then_some(())
    })
    .await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    let ids = stage.ids(super::EVENTS);
    let different: HashSet<&String> = ids.iter().collect();
    eprintln!("stop: 3 stops, {slowest:.1?} at most, {} accepted, 0 missing, {} repeated", accepted.len(), ids.len() - different.len());
    assert_eq!(different.len(), ids.len(), "an orderly stop repeated lines");
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
}
