//! One happening, one effect: retries, second webhooks and Data Center's twins.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Scene, Stage, Story, second_webhook, until};

const LIMIT: Duration = Duration::from_secs(30);
const RULE: &str = "[rule.all]\nwhen = 'true'\nsend = [{ to = \"team\", template = \"{{ event.kind }}\" }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_happening_has_one_effect() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{RULE}", Scene::listening("acme"), super::DATA_SINKS, scene.workspace("team", true)));
    let service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    let (created, renamed, mut bodies) = (story.created(), story.renamed("a better name"), 0);
    let mut ids = Vec::new();
    for (name, body) in [("created", &created), ("renamed", &renamed)] {
        let first = stage.post("acme", body, name).await;
        assert_eq!(first.len(), 1);
        assert_eq!(stage.post("acme", body, name).await, first, "a retry");
        assert_eq!(stage.post("acme", &second_webhook(body), &format!("{name} again")).await, first, "a second webhook");
        bodies += 3;
        ids.extend(first);
    }
    let [alone, twin] = story.commented_twice("only once, please");
    let first = stage.post("acme", &alone, "comment").await;
    assert_eq!(stage.post("acme", &twin, "twin").await, first, "a twin");
    ids.extend(first);
    bodies += 2;
    one_effect(&stage, &scene, &ids).await;

    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    let _service = stage.serve().await;
    assert_eq!(stage.post("acme", &created, "created").await, ids[..1], "a retry after a restart");
    assert_eq!(stage.post("acme", &second_webhook(&renamed), "renamed later").await, ids[1..2], "a second webhook after a restart");
    bodies += 2;
    one_effect(&stage, &scene, &ids).await;
    eprintln!("once: {bodies} bodies, {} events, each once in file, Slack and store", ids.len());
}

async fn one_effect(stage: &Stage, scene: &Scene, ids: &[String]) {
    until("all is in the file", LIMIT, async || (stage.lines(super::EVENTS).len() >= ids.len()).then_some(())).await;
    stage.drained(&["events", "tickets", "team"], LIMIT).await;
    let mut came = stage.ids(super::EVENTS);
    came.sort();
    let mut wanted = ids.to_vec();
    wanted.sort();
    assert_eq!(came, wanted, "the file");
    let mut texts = scene.texts("#team");
    texts.sort();
    assert_eq!(texts, ["comment.created", "issue.created", "issue.updated"], "Slack");
    assert_eq!(stage.rows("SELECT summary FROM tickets").await, [["a better name"]]);
    assert_eq!(stage.rows("SELECT body FROM comments").await, [["only once, please"]]);
    assert_eq!(stage.rows("SELECT field FROM changes").await, [["summary"]]);
}

fn sprint(name: &str, timestamp: i64) -> Value {
    let sprint = |name: &str| {
        json!({ "id": 12, "self": "https://acme.example/rest/agile/1.0/sprint/12", "state": "active", "name": name,
        "startDate": "2026-01-05T09:00:00.000Z", "endDate": "2026-01-19T09:00:00.000Z", "originBoardId": 2, "goal": "" })
    };
    json!({ "timestamp": timestamp, "webhookEvent": "sprint_updated", "sprint": sprint(name), "oldValue": sprint("before") })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_jira_does_not_number_is_folded_by_content_and_never_for_ever() {
    let stage = Stage::new();
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let _service = stage.serve().await;
    let first = stage.post("acme", &sprint("A", 1_765_441_200_000), "1").await;
    assert_eq!(stage.post("acme", &sprint("A", 1_765_441_200_730), "2").await, first, "the second webhook, stamped later");
    let second = stage.post("acme", &sprint("B", 1_765_441_205_000), "3").await;
    let third = stage.post("acme", &sprint("A", 1_765_441_209_000), "4").await;
    assert_eq!(stage.post("acme", &sprint("A", 1_765_441_209_500), "5").await, third, "the second webhook of the third change");
    let ids = [first, second, third].concat();
    until("three changes are in the file", LIMIT, async || (stage.lines(super::EVENTS).len() >= 3).then_some(())).await;
    stage.drained(&["events"], LIMIT).await;
    assert_eq!(stage.ids(super::EVENTS), ids);
    eprintln!("folded: 5 bodies of a sprint, {} changes", ids.len());
}
