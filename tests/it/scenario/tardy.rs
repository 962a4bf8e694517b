//! A sink that answers after we gave up: what it says then counts no more, and its event comes again under the same id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ticketwire::shutdown::Tasks;

use crate::stage::{Scene, Stage, Story, is_long, listen, until};

const LIMIT: Duration = Duration::from_secs(90);
/// Longer than the sink's timeout.
const TARDY: Duration = Duration::from_millis(1_200);

/// The ids of all calls, and those that were answered in time, in order.
#[derive(Default)]
struct Calls {
    all: Vec<String>,
    answered: Vec<String>,
    late: usize,
}

type Shared = Arc<Mutex<Calls>>;

/// The first call of every third event is answered too late.
async fn take(State(calls): State<Shared>, headers: HeaderMap) -> StatusCode {
    let id = headers["webhook-id"].to_str().expect("text").to_owned();
    let is_late = {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number: HashMap<&String, usize> = HashMap::new();
        calls.all.iter().for_each(|id| *number.entry(id).or_default() += 1);
        let is_late = !number.contains_key(&id) && number.len().is_multiple_of(3);
        calls.late += usize::from(is_late);
        calls.all.push(id.clone());
        if !is_late {
            calls.answered.push(id);
        }
        is_late
    };
    if is_late {
        tokio::time::sleep(TARDY).await;
    }
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_after_we_gave_up_changes_nothing() {
    let (stage, tasks, calls) = (Stage::new(), Tasks::new(), Shared::default());
    let router = axum::Router::new().route("/take", axum::routing::post(take)).with_state(Arc::clone(&calls));
    let url = format!("http://{}/take", listen(router, &tasks).await);
    let sink = format!("[sink.out]\ntype = \"http\"\nurl = {url:?}\nallow_private = true\ntimeout = \"400ms\"\nsecret = \"{SECRET}\"\n");
    stage.configure(&format!("{}{sink}", Scene::listening("acme")));
    let service = stage.serve().await;
    let (mut story, mut ids) = (Story::new(1, "OPS"), Vec::new());
    for number in 0..if is_long() { 60 } else { 9 } {
        let body = if number == 0 { story.created() } else { story.renamed(&format!("step {number}")) };
        ids.extend(stage.post("acme", &body, &number.to_string()).await);
    }
    stage.drained(&["out"], LIMIT).await;
    until("each is answered in time", LIMIT, async || {
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        (calls.answered.len() >= ids.len()).then_some(())
    })
    .await;
    // What comes late comes now at the latest.
    tokio::time::sleep(TARDY).await;
    let (answered, all, late) = {
        let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        (calls.answered.clone(), calls.all.len(), calls.late)
    };
    assert_eq!(answered, ids, "each once in time, and in order");
    assert!(late > 0 && all == ids.len() + late, "{all} calls, {late} late");
    for id in &ids {
        let outcomes = stage.outcomes(&story.key, id, "out").await;
        assert!(matches!(outcomes.as_slice(), [(outcome, _)] if outcome == "delivered"), "{id}: {outcomes:?}");
    }
    assert_eq!(stage.cli_json(&["dead", "list"]).await, serde_json::json!([]));
    eprintln!("tardy: {} events, {late} answers after we gave up, each came again once under its id and in order", ids.len());
    service.terminate().await;
    assert!(tasks.stop(Duration::from_secs(10)).await, "the endpoint does not stop");
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
