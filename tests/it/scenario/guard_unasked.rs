//! No leaks through what a body carries beside its event, with no Jira to ask; and no uncleared sink gets Jira's own bodies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Scene, Stage, Story};

const SECRET_TEXT: &str = "salaries of everybody";
const LIMIT: Duration = Duration::from_secs(30);
const SINKS: &str = r#"
[sink.open]
type = "file"
path = "../open.jsonl"
clearance = {}
[sink.vault]
type = "file"
path = "../vault.jsonl"
include_raw = true
"#;

/// Bodies that tell a restricted thing, each in another way.
fn bodies() -> Vec<(&'static str, Value)> {
    let mut story = Story::new(1, "OPS");
    let created = story.created();
    let mut restricted = story.comment(SECRET_TEXT);
    restricted["visibility"] = json!({ "type": "role", "value": "Developers" });
    let mut carrier = story.renamed("an innocent name");
    carrier["issue"]["fields"]["comment"] = json!({ "comments": [restricted], "maxResults": 1, "total": 1, "startAt": 0 });
    let item = json!({ "field": "Comment", "fieldtype": "jira", "from": "1", "fromString": SECRET_TEXT, "to": null, "toString": null });
    let erased = story.updated("issue_comment_deleted", &item);
    let [mut alone, mut twin] = story.commented_twice(SECRET_TEXT);
    for body in [&mut alone, &mut twin] {
        body["comment"]["visibility"] = json!({ "type": "role", "value": "Developers" });
    }
    let mut levelled = Story::new(2, "OPS");
    levelled.security = Some("Staff only");
    levelled.summary = SECRET_TEXT.into();
    let (level, mut note) = (levelled.created(), story.commented(SECRET_TEXT));
    note["comment"]["jsdPublic"] = json!(false);
    vec![
        ("public", created),
        ("comment inside the issue", carrier),
        ("comment in the changelog", erased),
        ("restricted comment", alone),
        ("its twin", twin),
        ("security level", level),
        ("internal note", note),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_body_carries_beside_its_event_does_not_leak() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let (acme, office) = (Scene::listening("acme"), Scene::listening("office").replace("\"cloud\"", "\"datacenter\""));
    // The ready-made message names what changed, and Jira writes the text of a deleted comment into the changelog.
    let people = format!("{}[rule.all]\nwhen = \"true\"\nsend = [{{ to = \"people\" }}]\n", scene.workspace("people", false));
    stage.configure(&format!("{acme}{office}{SINKS}{people}"));
    let _service = stage.serve().await;
    let mut ids = std::collections::BTreeSet::new();
    for connection in ["acme", "office"] {
        for (name, body) in bodies() {
            ids.extend(stage.post(connection, &body, name).await);
        }
    }
    stage.drained(&["open", "vault", "people"], LIMIT).await;
    assert_eq!(stage.ids("vault.jsonl").len(), ids.len());
    let vault = std::fs::read_to_string(stage.path("vault.jsonl")).expect("lines");
    assert!(vault.matches(SECRET_TEXT).count() >= 12, "the cleared sink has it all");
    let open = std::fs::read_to_string(stage.path("open.jsonl")).expect("lines");
    let leaks: Vec<&str> = open.lines().filter(|line| line.contains(SECRET_TEXT)).collect();
    assert!(leaks.is_empty(), "{} lines leak: {leaks:#?}", leaks.len());
    let public = open.lines().filter(|line| line.contains(":created\"")).count();
    assert_eq!(public, 2, "what is public arrives: {open}");
    let texts = scene.texts("#people");
    assert!(texts.len() >= 2, "Slack gets what is public: {texts:?}");
    assert!(texts.iter().all(|text| !text.contains(SECRET_TEXT)), "{texts:#?}");
    eprintln!("carried: {} events of 2 connections, {} lines in the uncleared file, no leak", ids.len(), open.lines().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_bodies_for_a_sink_that_is_not_cleared_are_refused() {
    let stage = Stage::new();
    for clearance in ["", "security_levels = [\"*\"]", "security_levels = [\"*\"], restricted_comments = true", "internal_comments = true"]
    {
        let sink = format!("[sink.open]\ntype = \"file\"\npath = \"../open.jsonl\"\ninclude_raw = true\nclearance = {{ {clearance} }}\n");
        stage.configure(&format!("{}{sink}", Scene::listening("acme")));
        for arguments in [&["config", "check"][..], &["serve"]] {
            let said = stage.cli(arguments).await;
            assert_eq!(said.code, 78, "{clearance}: {said:?}");
            assert!(said.err.contains("include_raw"), "{said:?}");
        }
    }
}
