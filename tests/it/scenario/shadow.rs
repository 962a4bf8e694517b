//! Shadow mode: from a script to Ticketwire without a message lost, doubled or seen too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Scene, Service, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(30);
const SHADOWED: &str = "shadow: recorded, nothing was sent";
const RULE: &str = r##"[rule.all]
when = 'event.kind.startsWith("issue.")'
send = [{ to = "team", channel = "#docs", template = "*{{ issue.key }}* {{ issue.summary }}" }]
"##;

/// The sink is the last section but the rules, so that a line more belongs to it.
fn configure(stage: &Stage, scene: &Scene, shadow: bool, is_cleared: bool) {
    let shadow = if shadow { "shadow = true\n" } else { "" };
    let sink = format!("{}username = \"Docs bot\"\n{shadow}", scene.workspace("team", is_cleared));
    stage.configure(&format!("{}{}{sink}{RULE}", Scene::listening("acme"), super::DATA_SINKS));
}

async fn reload(stage: &Stage, service: &Service, shadow: bool) {
    service.hang_up();
    until("the sink is told", LIMIT, async || {
        let sinks = stage.cli_json(&["sink", "list"]).await;
        let team = sinks.as_array()?.iter().find(|sink| sink["name"] == "team")?.clone();
        (team["shadow"] == shadow).then_some(())
    })
    .await;
}

/// How often Slack was spoken to.
fn calls(scene: &Scene) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    scene.slack.answer(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        None
    });
    calls
}

async fn drained(stage: &Stage) {
    stage.drained(&["events", "tickets", "team", "_archive"], LIMIT).await;
}

async fn recorded(stage: &Stage) -> Vec<Value> {
    stage.cli_json(&["sink", "shadows", "team"]).await.as_array().expect("rows").clone()
}

fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["message"]["text"].as_str().expect("a text").to_owned()).collect()
}

/// What `deliveries_total` says of the sink.
async fn counted(stage: &Stage, outcome: &str) -> u64 {
    let metrics = stage.metrics().await;
    let is_it = |line: &&str| {
        let outcome = format!("outcome=\"{outcome}\"");
        line.starts_with("ticketwire_deliveries_total{") && line.contains("sink=\"team\"") && line.contains(&outcome)
    };
    metrics.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_recorded_is_sent_once_when_it_is_asked_for() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let calls = calls(&scene);
    configure(&stage, &scene, true, true);
    let service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    let created = story.created();
    let mut ids = stage.post("acme", &created, "1").await;
    for number in 2..5 {
        ids.extend(stage.post("acme", &story.renamed(&format!("name {number}")), &number.to_string()).await);
    }
    drained(&stage).await;
    let before = recorded(&stage).await;
    let written = ["*OPS-1* story 1", "*OPS-1* name 2", "*OPS-1* name 3", "*OPS-1* name 4"];
    assert_eq!(texts(&before), written);
    let first =
        json!({ "text": written[0], "username": "Docs bot", "icon_url": null, "blocks": null, "attachments": null, "thread": null });
    assert_eq!((&before[0]["message"], &before[0]["target"], &before[0]["rule"]), (&first, &json!("#docs"), &json!("all")));
    for id in &ids {
        assert_eq!(stage.outcomes(&story.key, id, "team").await, [("filtered".to_owned(), SHADOWED.to_owned())]);
    }
    assert_eq!((counted(&stage, "filtered").await, counted(&stage, "delivered").await), (4, 0));
    let told = stage.cli(&["sink", "shadows", "team"]).await.out;
    assert!(told.contains("  by rule `all`\n    as Docs bot\n    | *OPS-1* story 1\n"), "{told}");
    assert!(stage.cli(&["sink", "list"]).await.out.contains("running (shadow)"));

    // While it is on, what comes again and what is replayed changes nothing; asked for once more it is recorded once more.
    stage.post("acme", &story.renamed("name 5"), "5").await;
    assert_eq!(stage.cli(&["replay", "--since", "1h", "--sink", "team"]).await.code, 0);
    drained(&stage).await;
    assert_eq!(recorded(&stage).await.len(), 5);
    assert_eq!(stage.cli(&["replay", "--since", "1h", "--sink", "team", "--again"]).await.code, 0);
    drained(&stage).await;
    let generations: Vec<i64> = recorded(&stage).await.iter().filter_map(|row| row["generation"].as_i64()).collect();
    assert_eq!(generations, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert_eq!(calls.load(Ordering::Relaxed), 0, "Slack was spoken to");

    // Off: what comes is sent, what was recorded is not, even if it comes to the sink again, as it does after a crash.
    configure(&stage, &scene, false, true);
    reload(&stage, &service, false).await;
    stage.post("acme", &story.renamed("name 6"), "6").await;
    until("it is sent", LIMIT, async || (!scene.texts("#docs").is_empty()).then_some(())).await;
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    let service = stage.serve().await;
    // The door has forgotten what it took before the restart.
    assert_eq!(stage.post("acme", &created, "1").await, [ids[0].clone()]);
    drained(&stage).await;
    assert_eq!(scene.texts("#docs"), ["*OPS-1* name 6"]);
    assert_eq!(stage.outcomes(&story.key, &ids[0], "team").await.first().map(|(outcome, _)| outcome.as_str()), Some("filtered"));

    let dry = stage.cli_json(&["replay", "--since", "1h", "--sink", "team", "--dry-run"]).await;
    assert_eq!((&dry["sinks"][0]["delivered"], &dry["sinks"][0]["known"]), (&json!(5), &json!(1)), "{dry}");
    for _ in 0..2 {
        assert_eq!(stage.cli(&["replay", "--since", "1h", "--sink", "team"]).await.code, 0);
        drained(&stage).await;
    }
    let sent = scene.texts("#docs");
    assert_eq!(sent[0], "*OPS-1* name 6");
    assert_eq!(sent[1..5], written, "in order, as it was recorded");
    assert_eq!((sent.len(), sent[5].as_str()), (6, "*OPS-1* name 5"), "and once");
    assert_eq!(scene.simulation.slack().messages()[1].username.as_deref(), Some("Docs bot"));
    let ends = stage.outcomes(&story.key, &ids[1], "team").await;
    assert!(ends.contains(&("delivered".to_owned(), String::new())), "{ends:?}");
    assert_eq!(recorded(&stage).await.len(), 10, "the records stay");
    drop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restricted_is_not_recorded_and_what_is_folded_is_one_record() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let calls = calls(&scene);
    configure(&stage, &scene, true, false);
    let rule = RULE.replace("template", "settle = \"2s\", thread = \"issue\", template");
    let text = std::fs::read_to_string(stage.config()).expect("the file").replace(RULE, &rule);
    std::fs::write(stage.config(), text).expect("a file");
    let _service = stage.serve().await;
    let (mut secret, mut open) = (Story::new(1, "OPS"), Story::new(2, "OPS"));
    secret.security = Some("Staff only");
    let restricted = stage.post("acme", &secret.created(), "1").await;
    let first = stage.post("acme", &open.created(), "2").await;
    let second = stage.post("acme", &open.renamed("better"), "3").await;
    until("it is recorded", LIMIT, async || (!recorded(&stage).await.is_empty()).then_some(())).await;
    drained(&stage).await;
    assert_eq!(stage.outcomes(&secret.key, &restricted[0], "team").await[0].0, "withheld");
    let rows = recorded(&stage).await;
    assert_eq!(texts(&rows), ["*OPS-2* better"]);
    let folded = format!("{SHADOWED} (folded into {})", first[0]);
    assert_eq!(stage.outcomes(&open.key, &first[0], "team").await, [("filtered".to_owned(), SHADOWED.to_owned())]);
    assert_eq!(stage.outcomes(&open.key, &second[0], "team").await, [("filtered".to_owned(), folded)]);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let check = stage.cli(&["check"]).await;
    assert!(check.out.contains("it is in shadow mode"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_and_a_shadow_are_compared() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    configure(&stage, &scene, true, true);
    let shadowed = std::fs::read_to_string(stage.config())
        .expect("the file")
        .replace("path = \"../events.jsonl\"\n", "path = \"../events.jsonl\"\nshadow = true\n");
    std::fs::write(stage.config(), shadowed).expect("a file");
    let _service = stage.serve().await;
    let nothing = stage.path("nothing.jsonl").display().to_string();
    std::fs::write(&nothing, "").expect("a file");
    assert_eq!(stage.cli(&["sink", "diff", "team", &nothing]).await.code, 0, "nothing is the same as nothing");
    assert_eq!(stage.cli(&["sink", "shadows", "team"]).await.code, 0);
    for number in 1..=3 {
        stage.post("acme", &Story::new(number, "OPS").created(), &number.to_string()).await;
    }
    drained(&stage).await;

    let diff = async |lines: &[Value]| {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        std::fs::write(stage.path("script.jsonl"), text.join("\n")).expect("a file");
        let file = stage.path("script.jsonl").display().to_string();
        (stage.cli(&["sink", "diff", "team", &file]).await, stage.cli(&["sink", "diff", "team", &file, "--json"]).await)
    };
    let sent = |channel: &str, text: &str| json!({ "channel": channel, "text": text, "ts": "1765441200.1" });
    let all = ["*OPS-1*  story 1", "*OPS-2* story 2", "*OPS-3* story 3"].map(|text| sent("docs", text));
    let (same, json) = diff(&all).await;
    assert_eq!((same.code, json.code, &json.json()["counts"]["same"]), (0, 0, &json!(3)), "{same:?}");
    let (other, json) = diff(&[all[0].clone(), sent("#docs", "*OPS-2* story two"), sent("#ops", "hello")]).await;
    assert_eq!((other.code, json.code), (1, 1));
    assert_eq!(json.json()["counts"], json!({ "same": 1, "different": 1, "only_script": 1, "only_ticketwire": 1 }));
    insta::assert_snapshot!(other.out.trim_end(), @r"
    #docs
      same             *OPS-1* story 1
      different        line 2, acme:issue:100002:created by rule `all`
        - *OPS-2* story two
        + *OPS-2* story 2
      only Ticketwire  acme:issue:100003:created by rule `all`
        | *OPS-3* story 3
    #ops
      only the script  line 3
        | hello
    1 same, 1 different, 1 only the script, 1 only Ticketwire
    ");
    let (wrong, _) = diff(&[all[0].clone(), json!({ "channel": "#docs" })]).await;
    assert!(wrong.code == 2 && wrong.err.contains("line 2 is no message: missing field `text`"), "{wrong:?}");
    for (arguments, code) in [
        (&["sink", "diff", "team", "missing.jsonl"][..], 2),
        (&["sink", "diff", "events", &nothing], 2),
        (&["sink", "diff", "nobody", &nothing], 1),
        (&["sink", "diff", "team", &nothing, "--since", "1h"], 1),
        (&["sink", "diff", "team", &nothing, "--until", "1h"], 0),
    ] {
        let said = stage.cli(arguments).await;
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
    assert!(stage.lines(super::EVENTS).is_empty(), "a data sink in shadow mode writes nothing");
    let events = stage.cli_json(&["sink", "shadows", "events"]).await;
    assert_eq!((events.as_array().map(Vec::len), &events[0]["message"], &events[0]["target"]), (Some(3), &Value::Null, &json!("events")));
}
