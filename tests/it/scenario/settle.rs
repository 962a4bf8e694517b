//! One human action, one message: what belongs together is told together, and one issue has one thread.

use std::time::Duration;

use serde_json::json;

use ticketwire::simulate::{Deed, Flavour};

use crate::stage::{Scene, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(30);
const RULE: &str = "[rule.all]\nwhen = 'event.issue != null'\nsend = [{ to = \"team\", settle = \"5s\", thread = \"issue\" }]\n";

/// The outcomes at the Slack sink, and why.
async fn outcomes(stage: &Stage, key: &str) -> Vec<(String, String)> {
    let events = stage.cli_json(&["trace", key]).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let deliveries = events.as_array().into_iter().flatten().flat_map(|event| event["deliveries"].as_array().into_iter().flatten());
    let of_team = deliveries.filter(|delivery| delivery["sink"] == "team");
    of_team.map(|delivery| (text(&delivery["outcome"]), text(&delivery["reason"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transition_with_its_comment_and_the_twin_is_one_message() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{RULE}", Scene::listening("acme"), super::DATA_SINKS, scene.workspace("team", true)));
    let service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    let item = json!({ "field": "status", "fieldId": "status", "fieldtype": "jira", "from": "1", "fromString": "To Do", "to": "3", "toString": "Done" });
    let moved = story.updated("issue_generic", &item);
    let [alone, twin] = story.commented_twice("shipped with 1.4");
    let ids = stage.post("acme", &moved, "moved").await;
    stage.post("acme", &alone, "comment").await;
    stage.post("acme", &twin, "twin").await;
    until("it is told", LIMIT, async || (!scene.texts("#team").is_empty()).then_some(())).await;
    stage.drained(&["events", "tickets", "team"], LIMIT).await;
    let told = scene.texts("#team");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(" moved ") && told[0].contains("*Done* and commented") && told[0].contains("> shipped with 1.4"), "{told:?}");
    let ends = outcomes(&stage, &story.key).await;
    let folded = format!("folded into {}", ids[0]);
    assert_eq!(ends, [("delivered".to_owned(), String::new()), ("delivered".to_owned(), folded)]);

    // Ten quick edits, and a restart while they settle.
    for number in 0..10 {
        stage.post("acme", &story.renamed(&format!("name {number}")), &format!("edit {number}")).await;
    }
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    let _service = stage.serve().await;
    until("the edits are told", LIMIT, async || (scene.texts("#team").len() > 1).then_some(())).await;
    stage.drained(&["events", "tickets", "team"], LIMIT).await;
    let told = scene.texts("#team");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("Summary: story 1 → *name 9*"), "{told:?}");
    let messages = scene.simulation.slack().messages();
    assert_eq!(messages[1].thread_ts.as_ref(), Some(&messages[0].ts), "the thread survives the restart");
    let ends = outcomes(&stage, &story.key).await;
    assert!(ends.iter().all(|(outcome, _)| outcome == "delivered"), "{ends:?}");
    assert_eq!(ends.iter().filter(|(_, why)| why.starts_with("folded into ")).count(), 10);

    scene.simulation.slack().refuse_next("thread_not_found");
    stage.post("acme", &story.renamed("once more"), "after").await;
    until("it is told in a new thread", LIMIT, async || (scene.texts("#team").len() > 2).then_some(())).await;
    assert_eq!(scene.simulation.slack().messages()[2].thread_ts, None);
    eprintln!("settled: 14 bodies, 3 messages, one thread over a restart");
}

/// What the channel holds, once it holds so many messages and nothing waits.
async fn told(stage: &Stage, scene: &Scene, count: usize) -> Vec<String> {
    until("it is told", LIMIT, async || (scene.texts("#team").len() >= count).then_some(())).await;
    stage.drained(&["events", "tickets", "team"], LIMIT).await;
    scene.texts("#team")
}

/// The simulation itself sends: on Data Center a comment is two bodies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_person_does_is_one_message_on_either_kind_of_site() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let (stage, scene) = (Stage::new(), Scene::of(flavour).await);
        stage.configure(&format!("{}{}{}{RULE}", scene.asking(), super::DATA_SINKS, scene.workspace("team", true)));
        let _service = stage.serve().await;
        scene.sends_to(&stage);
        let jira = &scene.simulation;
        jira.perform("DOCS-4", Deed::Move("In Progress")).await;
        let moved = told(&stage, &scene, 1).await;
        assert!(moved.len() == 1 && moved[0].contains("Mira Falk") && moved[0].contains("*In Progress*"), "{flavour:?}: {moved:?}");

        let acts = [jira.perform("DOCS-4", Deed::Move("Done")).await, jira.perform("DOCS-4", Deed::Comment("shipped with 1.4")).await];
        let bodies: usize = acts.iter().map(|act| act.bodies.len()).sum();
        assert_eq!(bodies, if flavour == Flavour::Cloud { 2 } else { 3 });
        let done = told(&stage, &scene, 2).await;
        assert!(done.len() == 2 && done[1].contains("*Done*") && done[1].contains("> shipped with 1.4"), "{flavour:?}: {done:?}");

        for number in 0..10 {
            jira.perform("DOCS-4", Deed::Rename(&format!("name {number}"))).await;
        }
        let renamed = told(&stage, &scene, 3).await;
        assert!(renamed.len() == 3 && renamed[2].contains("*name 9*"), "{flavour:?}: {renamed:?}");
        let messages = jira.slack().messages();
        let threads: Vec<_> = messages.iter().map(|message| message.thread_ts.as_deref()).collect();
        let first = Some(messages[0].ts.as_str());
        assert_eq!(threads, [None, first, first], "one thread");
        eprintln!("settled, {flavour:?}: {} bodies, {} messages, one thread", 1 + bodies + 10, messages.len());
    }
}
