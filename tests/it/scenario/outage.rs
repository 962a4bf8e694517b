//! Slack is down, partly or wholly: everything else keeps pace, and what waited comes in order.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::stage::{Reply, Scene, Stage, Story, is_long, until};

const RULES: &str = r##"
[rule.all]
when = 'true'
send = [{ to = "team", template = "{{ issue.key }} {{ issue.summary }}" }]
"##;
const BY_PROJECT: &str = r##"
[rule.ops]
when = 'issue.project.key == "OPS"'
send = [{ to = "team", channel = "#ops", template = "{{ issue.key }} {{ issue.summary }}" }]
[rule.refused]
when = 'issue.project.key == "DOCS"'
send = [{ to = "team", channel = "#refused", template = "{{ issue.key }} {{ issue.summary }}" }]
[rule.limited]
when = 'issue.project.key == "WEB"'
send = [{ to = "team", channel = "#limited", template = "{{ issue.key }} {{ issue.summary }}" }]
"##;
const STORIES: u64 = 6;
const LIMIT: Duration = Duration::from_secs(60);

async fn set(rules: &str) -> (Stage, Scene) {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{rules}", Scene::listening("acme"), super::DATA_SINKS, scene.workspace("team", true)));
    (stage, scene)
}

/// One more step of each story, and what it reads like in Slack.
async fn step(stage: &Stage, stories: &mut [Story], texts: &mut Vec<String>, number: usize) {
    for story in stories {
        let body = if number == 0 { story.created() } else { story.renamed(&format!("step {number}")) };
        stage.post("acme", &body, &format!("{} {number}", story.key)).await;
        texts.push(format!("{} {}", story.key, story.summary));
    }
}

fn stories(first: u64, project: &'static str) -> Vec<Story> {
    (first..first + STORIES).map(|number| Story::new(number, project)).collect()
}

/// All texts once, those of each issue in order.
fn assert_in_order(came: &[String], wanted: &[String]) {
    let key = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
    let by_issue = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort_by_key(key);
        texts
    };
    assert_eq!(by_issue(came), by_issue(wanted));
}

async fn arrived(scene: &Scene, channel: &str, wanted: &[String]) {
    let what = format!("{} messages reach {channel}", wanted.len());
    until(&what, LIMIT, async || (scene.texts(channel).len() >= wanted.len()).then_some(())).await;
    assert_in_order(&scene.texts(channel), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_slack_waits_and_hurts_nobody_else() {
    let (stage, scene) = set(RULES).await;
    let _service = stage.serve().await;
    let (mut stories, mut texts, mut number) = (stories(0, "OPS"), Vec::new(), 0);
    step(&stage, &mut stories, &mut texts, number).await;
    arrived(&scene, "#team", &texts).await;
    let (begun, outage) = (Instant::now(), Duration::from_secs(if is_long() { 60 } else { 8 }));
    let mut slowest = Duration::ZERO;
    scene.slack.shut().await;
    let mut is_shut = true;
    while begun.elapsed() < outage {
        if is_shut && begun.elapsed() > outage / 2 {
            scene.slack.answer(|_, _| Some((500, None, json!({ "ok": false }))));
            scene.slack.open().await;
            is_shut = false;
        }
        number += 1;
        step(&stage, &mut stories, &mut texts, number).await;
        let sent = Instant::now();
        let last = stories.last().expect("a story").summary.clone();
        until("the ticket store keeps pace", Duration::from_secs(5), async || {
            let rows = stage.rows("SELECT summary FROM tickets").await;
            rows.iter().all(|row| row[0] == last).then_some(())
        })
        .await;
        slowest = slowest.max(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(scene.texts("#team").len(), usize::try_from(STORIES).expect("few"), "nobody was there to take more");
    scene.slack.let_through();
    arrived(&scene, "#team", &texts).await;
    stage.drained(&["team"], LIMIT).await;
    assert_eq!(scene.texts("#team").len(), texts.len(), "once each");
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
    eprintln!("outage: {outage:?} without Slack, {} messages afterwards in order, ticket store {slowest:.1?} behind at most", texts.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_in_trouble_stalls_no_other() {
    let (stage, scene) = set(BY_PROJECT).await;
    scene.slack.answer(|_, body| match body["channel"].as_str() {
        Some("#refused") => Some((200, None, json!({ "ok": false, "error": "channel_not_found" }))),
        Some("#limited") => Some((429, Some(1), json!({ "ok": false, "error": "ratelimited" }))),
        _ => None,
    });
    let _service = stage.serve().await;
    let mut groups = [(stories(0, "OPS"), Vec::new()), (stories(100, "DOCS"), Vec::new()), (stories(200, "WEB"), Vec::new())];
    for number in 0..4 {
        for (stories, texts) in groups.iter_mut().rev() {
            step(&stage, stories, texts, number).await;
        }
    }
    let [(_, good), (_, refused), (_, limited)] = groups;
    arrived(&scene, "#ops", &good).await;
    let dead = until("the refused ones are dead", LIMIT, async || {
        let dead = stage.cli_json(&["dead", "list"]).await;
        (dead.as_array()?.len() >= refused.len()).then_some(dead)
    })
    .await;
    assert!(dead.as_array().expect("rows").iter().all(|row| row["target"] == "#refused"), "{dead}");
    assert_eq!((scene.texts("#refused").len(), scene.texts("#limited").len()), (0, 0));
    scene.slack.let_through();
    arrived(&scene, "#limited", &limited).await;
    stage.drained(&["team"], LIMIT).await;
    assert_eq!(scene.texts("#ops").len(), good.len(), "once each");
    let retried = stage.cli(&["dead", "retry", "--all"]).await;
    assert_eq!(retried.code, 0, "{retried:?}");
    until("what was repaired is delivered", LIMIT, async || (scene.texts("#refused").len() >= refused.len()).then_some(())).await;
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
    eprintln!("channels: {} good, {} dead and retried, {} limited and then in order", good.len(), refused.len(), limited.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_pauses_the_sink_until_it_is_resumed() {
    let (stage, scene) = set(RULES).await;
    let revoked = |_: &str, _: &serde_json::Value| -> Option<Reply> { Some((200, None, json!({ "ok": false, "error": "token_revoked" }))) };
    scene.slack.answer(revoked);
    let _service = stage.serve().await;
    let (mut stories, mut texts) = (stories(0, "OPS"), Vec::new());
    for number in 0..3 {
        step(&stage, &mut stories, &mut texts, number).await;
    }
    let row = until("the sink is paused", LIMIT, async || {
        let sinks = stage.cli_json(&["sink", "list"]).await;
        sinks.as_array()?.iter().find(|row| row["name"] == "team" && row["state"] == "paused").cloned()
    })
    .await;
    assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("token_revoked")), "{row}");
    stage.drained(&["events", "tickets"], LIMIT).await;
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
    assert!(scene.texts("#team").is_empty());
    scene.slack.let_through();
    let resumed = stage.cli(&["sink", "resume", "team"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    arrived(&scene, "#team", &texts).await;
    stage.drained(&["team"], LIMIT).await;
    assert_eq!(scene.texts("#team").len(), texts.len(), "once each");
    eprintln!("revoked: paused with its reason, {} messages in order after `sink resume`", texts.len());
}
