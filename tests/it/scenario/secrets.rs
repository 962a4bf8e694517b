//! Through failures of every kind and with all logs on: no secret, query, address or text of a ticket is printed or exposed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::stage::{ADMIN_TOKEN, SECRET, Scene, Stage, Story, files_below, quoted, until};

const LIMIT: Duration = Duration::from_secs(40);
const URL_TOKEN: &str = "url-token-shibboleth-77";
const HTTP_SECRET: &str = "whsec_c2hpYmJvbGV0aC1vZi10aGUtZW5kcG9pbnQ=";
const QUERY: &str = "query-shibboleth-31";
const TEXT: &str = "ticket-text-shibboleth-58";
const PERSON: &str = "jane@people.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_printed_through_failures() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&configuration(&scene));
    let config = stage.config().display().to_string();
    let mut command = stage.command(&["serve", "-c", &config]);
    command.env("RUST_LOG", "debug");
    scene.jira.answer(|path, _| Some((if path.starts_with("/hidden") { 500 } else { 401 }, None, json!({ "errorMessages": [TEXT] }))));
    let service = stage.serve_by(command).await;

    let mut story = Story::new(1, "OPS");
    story.summary = TEXT.into();
    let body = story.created();
    let bytes = body.to_string();
    stage.post("acme", &body, "1").await;
    scene.slack.answer(|_, _| Some((500, None, json!({ "ok": false, "error": "internal_error", "message": TEXT }))));
    stage.post("acme", &story.commented(TEXT), "2").await;
    for (path, signature) in [
        (format!("/hooks/acme?user={QUERY}"), "sha256=00".to_owned()),
        (format!("/hooks/office/{URL_TOKEN}x?user={QUERY}"), String::new()),
        (format!("/hooks/{QUERY}/{URL_TOKEN}"), String::new()),
    ] {
        let answer = stage.try_post(&path, bytes.as_bytes(), &[("X-Hub-Signature", &signature)]).await.expect("an answer");
        assert!([401, 404].contains(&answer.status), "{answer:?}");
    }
    let taken = stage.try_post(&format!("/hooks/office/{URL_TOKEN}?user={QUERY}"), bytes.as_bytes(), &[]).await.expect("an answer");
    assert_eq!(taken.status, 200);
    stage.post_bytes("acme", format!("{{\"no json: {TEXT}").as_bytes(), "3").await;
    until("failures were met", LIMIT, async || {
        let metrics = stage.metrics().await;
        let met =
            |name: &str, label: &str| metrics.lines().any(|line| line.starts_with(name) && line.contains(label) && !line.ends_with(" 0"));
        (met("ticketwire_jira_requests_total", "code=\"401\"") && met("ticketwire_delivery_attempts_total", "sink=\"endpoint\""))
            .then_some(())
    })
    .await;
    let metrics = stage.metrics().await;
    let mut commands = String::new();
    for arguments in [&["config", "check"][..], &["sink", "list"], &["queue", "status"], &["dead", "list"], &["trace", "OPS-1"]] {
        let said = stage.cli(arguments).await;
        commands += &(said.out + &said.err);
    }
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);

    let read = |name: &str| std::fs::read_to_string(stage.path(name)).expect("text");
    let printed = read("serve.out") + &read("serve.err");
    assert!(printed.contains("\"DEBUG\""), "the logs are not on: {printed}");
    let basic =
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{}:{}", scene.simulation.email(), scene.simulation.api_token()));
    let secrets =
        [SECRET, ADMIN_TOKEN, URL_TOKEN, HTTP_SECRET, QUERY, scene.simulation.api_token(), scene.simulation.slack_token(), &basic];
    let private = [scene.simulation.email(), PERSON, TEXT];
    let texts = [("the output", &printed), ("the metrics", &metrics), ("a command", &commands)];
    let mut found = in_texts(&secrets.iter().chain(&private).copied().collect::<Vec<_>>(), &texts);
    let files = files_below(&stage.path("data"));
    found.extend(in_files(&secrets, &files));
    assert!(found.is_empty(), "{} leaks: {found:#?}", found.len());
    eprintln!(
        "secrets: {} secrets and {} private texts sought in {} lines of output, {} of metrics and {} files: none found",
        secrets.len(),
        private.len(),
        printed.lines().count(),
        metrics.lines().count(),
        files.len()
    );
}

fn in_texts(sought: &[&str], texts: &[(&str, &String)]) -> Vec<String> {
    let mut found = Vec::new();
    for secret in sought {
        for (place, text) in texts {
            found.extend(text.lines().filter(|line| line.contains(secret)).map(|line| format!("`{secret}` in {place}: {line}")));
        }
    }
    found
}

fn in_files(sought: &[&str], files: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).expect("a file");
        let has = |secret: &&&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        found.extend(sought.iter().filter(has).map(|secret| format!("`{secret}` in {}", file.display())));
    }
    found
}

fn configuration(scene: &Scene) -> String {
    format!(
        "{}{}[connection.office]\nurl = \"https://office.example\"\nflavour = \"datacenter\"\nwebhook = {{ token = {URL_TOKEN:?} }}\n\
         [sink.endpoint]\ntype = \"http\"\nurl = {}\nsecret = {HTTP_SECRET:?}\nallow_private = true\n\
         [sink.open]\ntype = \"file\"\npath = \"../open.jsonl\"\nclearance = {{}}\n\
         [sink.tickets]\ntype = \"tickets\"\n\
         [rule.all]\nwhen = 'true'\nsend = [{{ to = \"team\", template = \"{{{{ issue.summary }}}}\" }}, {{ to = \"endpoint\" }}, {{ to = \"open\" }}, {{ to = \"tickets\" }}]\n",
        scene.asking(),
        scene.workspace("team", false),
        quoted(&format!("{}/hidden?key={QUERY}", scene.jira.url())),
    )
}
