//! Looking and repairing from outside: events, the stream, dead letters by filter, replays, and a document that says the truth about all of them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{ADMIN_TOKEN, Scene, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(30);
const RULES: &str = r##"
[rule."new tickets"]
when = 'event.kind == "issue.created"'
send = [{ to = "team", channel = "#nowhere", template = "{{ issue.key }}" }]
"##;

/// A service with so many issues, each created and renamed once; the channel of new tickets is not there.
async fn set(issues: u64) -> (Stage, Scene, crate::stage::Service) {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{RULES}", Scene::listening("acme"), super::DATA_SINKS, scene.workspace("team", true)));
    scene.slack.answer(|_, body| (body["channel"] == "#nowhere").then(|| (200, None, json!({ "ok": false, "error": "is_archived" }))));
    let service = stage.serve().await;
    for number in 0..issues {
        let mut story = Story::new(number, "OPS");
        stage.post("acme", &story.created(), &format!("{number} created")).await;
        stage.post("acme", &story.renamed("a better name"), &format!("{number} renamed")).await;
    }
    stage.drained(&["events", "tickets", "team", "_archive"], LIMIT).await;
    (stage, scene, service)
}

async fn ask(stage: &Stage, method: Method, path: &str, body: Option<Value>) -> reqwest::Response {
    let url = format!("http://127.0.0.1:{}{path}", stage.admin);
    let request = reqwest::Client::builder().no_proxy().build().expect("a client").request(method, url).bearer_auth(ADMIN_TOKEN);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    request.timeout(LIMIT).send().await.expect("an answer")
}

fn count(rows: &Value) -> usize {
    rows.as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_listed_shown_and_told_as_they_come() {
    let (stage, _scene, _service) = set(5).await;
    let all = stage.cli_json(&["event", "list"]).await;
    assert_eq!(count(&all), 10);
    assert!(all.as_array().expect("rows").is_sorted_by_key(|row| std::cmp::Reverse(row["received_at"].as_str().map(str::to_owned))));
    assert!(!all.to_string().contains("a better name"), "a listing shows nothing that may be restricted");
    assert_eq!(count(&stage.cli_json(&["event", "list", "--kind", "issue.created"]).await), 5);
    assert_eq!(count(&stage.cli_json(&["event", "list", "--issue", "OPS-3"]).await), 2);
    assert_eq!(count(&stage.cli_json(&["event", "list", "--since", "1h", "--limit", "3"]).await), 3);
    assert_eq!(count(&stage.cli_json(&["event", "list", "--until", "1h"]).await), 0);

    let (mut walked, mut path) = (Vec::new(), "/api/v1/events?limit=4&connection=acme".to_owned());
    loop {
        let page = ask(&stage, Method::GET, &path, None).await;
        let next = page.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        walked.extend(page.json::<Vec<Value>>().await.expect("rows"));
        let Some(next) = next else { break };
        path = next.trim_start_matches('<').trim_end_matches(">; rel=\"next\"").to_owned();
    }
    assert_eq!(Value::Array(walked), all);

    let id = all[0]["event_id"].as_str().expect("an id");
    let shown = stage.cli_json(&["event", "show", id]).await;
    assert_eq!((&shown["event"]["id"], &shown["event"]["data"]["raw"]), (&json!(id), &Value::Null));
    assert_eq!(count(&shown["deliveries"]), 3);
    let raw = stage.cli_json(&["event", "show", id, "--raw"]).await;
    assert!(raw["event"]["data"]["raw"]["webhookEvent"].is_string(), "{raw}");
    assert_eq!(stage.cli(&["event", "show", "acme:issue:0:created"]).await.code, 1);

    let config = stage.config().display().to_string();
    let mut command = stage.command(&["event", "tail", "--issue", "OPS-77", "--json", "-c", &config]);
    let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("its output")).lines();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next()
            && told.send(line).is_ok()
        {}
    });
    // Whoever comes too late for one hears the next.
    let mut story = Story::new(77, "OPS");
    stage.post("acme", &story.created(), "77").await;
    let first = until("an event is told", LIMIT, async || {
        stage.post("acme", &story.renamed("again"), &format!("77 {}", story.summary.len())).await;
        heard.try_recv().ok()
    })
    .await;
    let first: Value = serde_json::from_str(&first).expect("an event");
    assert_eq!((&first["issue_key"], &first["connection"]), (&json!("OPS-77"), &json!("acme")));
    tail.kill().expect("it runs");
    tail.wait().expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_go_by_filter_and_a_replay_says_what_it_did() {
    let (stage, scene, _service) = set(6).await;
    assert_eq!(count(&stage.cli_json(&["dead", "list", "--reason", "IS_ARCHIVED", "--sink", "team"]).await), 6);
    assert_eq!(count(&stage.cli_json(&["dlq", "list", "--target", "#elsewhere"]).await), 0);
    assert_eq!(count(&stage.cli_json(&["dead", "list", "--limit", "4"]).await), 4);
    assert_eq!(stage.cli(&["dead", "retry", "--all", "--sink", "team"]).await.code, 2);
    let id = stage.cli_json(&["dead", "list"]).await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(stage.cli(&["dead", "drop", &id]).await.out.trim(), "1 dropped");
    scene.slack.answer(|_, _| None);
    assert_eq!(stage.cli(&["dead", "retry", "--target", "#nowhere", "--since", "1h"]).await.out.trim(), "5 to be delivered again");
    until("they are delivered", LIMIT, async || (scene.texts("#nowhere").len() == 5).then_some(())).await;

    for (arguments, code, told) in [
        (&["dead", "list", "--sink", "teem"][..], 1, "no sink is called `teem`; did you mean `team`?"),
        (&["dead", "retry", "--sink", "teem"], 1, "did you mean `team`?"),
        (&["event", "list", "--kind", "issue.craeted"], 2, "did you mean `issue.created`?"),
        (&["event", "tail", "--kind", "issue.craeted"], 2, "did you mean `issue.created`?"),
        (&["event", "list", "--connection", "amce"], 1, "no connection is called `amce`; did you mean `acme`?"),
        (&["replay", "--since", "1h", "--sink", "teem"], 1, "did you mean `team`?"),
        (&["rule", "disable", "new ticket"], 1, "no rule is called `new ticket`; did you mean `new tickets`?"),
        (&["event", "list", "--issue", "NOPE-4"], 0, ""),
    ] {
        let said = stage.cli(arguments).await;
        assert!(said.code == code && said.err.contains(told), "{arguments:?}: {said:?}");
    }

    let squeezed = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let dry = stage.cli(&["replay", "--since", "1h", "--dry-run", "--again", "--rule", "new tickets"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    let told = squeezed(&dry.out);
    assert_eq!(told[..2], ["SINK EVENTS WOULD DELIVER FILTERED WITHHELD PARKED DEAD KNOWN", "team 12 6 6 0 0 0 0"]);
    assert_eq!(told.last().map(String::as_str), Some("dry run: 6 would be delivered, nothing was sent"));
    assert_eq!(scene.texts("#nowhere").len(), 5);
    let again = stage.cli(&["replay", "--since", "1h", "--again", "--sink", "team"]).await;
    assert_eq!(squeezed(&again.out)[1], "team 12 6 6 0 0 0 0");
    assert_eq!(scene.texts("#nowhere").len(), 11);
    let list = stage.cli(&["replay", "--list"]).await;
    assert!(list.code == 0 && squeezed(&list.out).len() == 3, "{list:?}");
    assert!(list.out.contains("MODE") && list.out.contains("dry run, again"), "{list:?}");
    let trace = stage.cli(&["trace", "OPS-1"]).await;
    assert_eq!(trace.out.lines().filter(|line| line.ends_with("(again)")).count(), 1, "{trace:?}");
    for (arguments, code) in [
        (&["replay"][..], 2),
        (&["replay", "--since", "yesterday"], 2),
        (&["replay", "--since", "1h", "--sink", "nobody"], 1),
        (&["replay", "--since", "1h", "--rule", "new tickets", "--sink", "events"], 2),
        (&["replay", "--since", "1h", "--until", "2h"], 2),
        (&["replay", "--stop", "r0"], 1),
    ] {
        let said = stage.cli(arguments).await;
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
}

/// What the document says is answered, and what is answered is as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_tells_the_truth() {
    let (stage, _scene, service) = set(3).await;
    let document: Value = ask(&stage, Method::GET, "/api/v1/openapi.json", None).await.json().await.expect("a document");
    let replay = stage.cli_json(&["replay", "--since", "1h", "--dry-run"]).await;
    let event = stage.cli_json(&["event", "list"]).await[0]["event_id"].as_str().expect("an id").to_owned();
    let letter = stage.cli_json(&["dead", "list"]).await[0]["id"].as_str().expect("an id").to_owned();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let place = match path.as_str() {
            "/api/v1/events/{id}" => path.replace("{id}", &event.replace(':', "%3A")),
            "/api/v1/dead-letters/{id}" => path.replace("{id}", &letter),
            rule if rule.starts_with("/api/v1/rules/") => path.replace("{name}", "new%20tickets"),
            _ => path.replace("{id}", replay["id"].as_str().expect("an id")).replace("{name}", "events").replace("{key}", "OPS-1"),
        };
        for (method, operation) in operations.as_object().expect("operations") {
            let (status, answer) = operation["responses"].as_object().expect("answers").iter().next().expect("one");
            let body = match (method.as_str(), path.as_str()) {
                ("post", "/api/v1/replays") => Some(json!({ "since": "2026-01-01T00:00:00Z", "dry_run": true })),
                ("post", place) if place.starts_with("/api/v1/dead-letters") => {
                    Some(json!({ "matching": { "sink": "team", "target": "#elsewhere" } }))
                }
                _ => None,
            };
            let answered = ask(&stage, method.to_uppercase().parse().expect("a method"), &place, body).await;
            assert_eq!(answered.status().as_str(), status, "{method} {path}");
            let media = answered.headers()["content-type"].to_str().expect("text").split(';').next().expect("a type").to_owned();
            let described = &answer["content"][&media]["schema"];
            assert!(described.is_object() || described.is_boolean(), "{method} {path} answers with {media}");
            if media == "application/json" {
                let mut schema = json!({ "components": document["components"] });
                schema["allOf"] = json!([described]);
                let text: Value = answered.json().await.expect("JSON");
                let validator = jsonschema::validator_for(&schema).expect("a good schema");
                let errors: Vec<String> = validator.iter_errors(&text).map(|err| format!("{}: {err}", err.instance_path())).collect();
                assert!(errors.is_empty(), "{method} {path}: {errors:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
    let problem = async |method: Method, path: &str, body: Option<Value>, status: u16| {
        let answered = ask(&stage, method, path, body).await;
        assert_eq!(
            (answered.status().as_u16(), &answered.headers()["content-type"]),
            (status, &"application/problem+json".parse().expect("a value"))
        );
        assert_eq!(answered.json::<Value>().await.expect("JSON")["status"], status, "{path}");
    };
    problem(Method::GET, "/api/v1/events?limit=many", None, 400).await;
    problem(Method::GET, "/api/v1/events?cursor=x", None, 422).await;
    problem(Method::GET, "/api/v1/nothing", None, 404).await;
    problem(Method::DELETE, "/api/v1/replays", None, 405).await;
    problem(Method::POST, "/api/v1/replays", Some(json!({ "sins": 1 })), 422).await;
    problem(Method::POST, "/api/v1/dead-letters/drop", Some(json!({ "matching": {} })), 422).await;
    let printed = service.printed();
    assert!(
        printed.contains("ticketwire::audit")
            && printed.contains("POST /api/v1/dead-letters/retry, answered 200: sink=team target=given")
            && printed.contains("POST /api/v1/queue/prune, answered 200: dry_run=false"),
        "an order leaves its mark"
    );
}
