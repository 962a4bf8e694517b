//! Another configuration for a running service: at SIGHUP, when the file changes, and not at all where it is wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Load, SECRET, Service, Stage, Story, quoted, until};

const SOON: Duration = Duration::from_secs(20);

fn connection(secret: &str) -> String {
    format!("[connection.acme]\nurl = \"https://acme.example\"\nflavour = \"cloud\"\nwebhook = {{ secrets = [{secret}] }}\n")
}

fn sink(name: &str) -> String {
    format!("[sink.{name}]\ntype = \"file\"\npath = \"../{name}.jsonl\"\n")
}

fn rule(project: &str) -> String {
    format!("[rule.\"to picky\"]\nwhen = 'issue.project.key == \"{project}\"'\nsend = [{{ to = \"picky\" }}]\n")
}

async fn hash(stage: &Stage) -> String {
    stage.readiness().await["config"].as_str().expect("a hash").to_owned()
}

/// Waits until the service runs by another configuration.
async fn reloaded(stage: &Stage, before: &str) -> String {
    until("the configuration is another", SOON, async || Some(hash(stage).await).filter(|now| now != before)).await
}

async fn is_refused(stage: &Stage, service: &Service, why: &str) {
    until("the reload is refused", SOON, async || {
        let refused = stage.metrics().await.contains("ticketwire_config_reload_success 0");
        (refused && service.printed().contains(why)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_stops_and_starts_and_nothing_else_notices() {
    let stage = Arc::new(Stage::new());
    let base = format!("{}{}{}", connection(&quoted(SECRET)), sink("events"), sink("picky"));
    stage.configure(&format!("{base}{}", rule("OPS")));
    let service = stage.serve().await;
    let load = Load::start(&stage);
    until("the load runs", SOON, async || (load.count() > 100).then_some(())).await;

    let first = hash(&stage).await;
    stage.configure(&format!("{base}{}{}", rule("WEB"), sink("late")));
    service.hang_up();
    let second = reloaded(&stage, &first).await;
    until("the new sink gets events", SOON, async || (!stage.ids("late.jsonl").is_empty()).then_some(())).await;

    // A broken file, then one that cannot be taken up: the configuration of before works on.
    let good = std::fs::read_to_string(stage.config()).expect("the file");
    let broken = "[rule.broken]\nwhen = \"isue.key == 1\"\nsend = [{ to = \"nowhere\" }]\n";
    std::fs::write(stage.config(), format!("{good}{broken}")).expect("a file");
    service.hang_up();
    is_refused(&stage, &service, "no such sink").await;
    assert!(service.printed().contains("isue"), "every mistake is told");
    std::fs::write(stage.config(), format!("{good}[queue]\nlanes = 4\n")).expect("a file");
    service.hang_up();
    is_refused(&stage, &service, "`lanes` of `[queue]`").await;
    assert_eq!(hash(&stage).await, second);
    std::fs::write(stage.config(), &good).expect("a file");
    service.hang_up();
    until("it is well again", SOON, async || stage.metrics().await.contains("ticketwire_config_reload_success 1").then_some(())).await;
    until("that is told", SOON, async || service.printed().contains("the file is good again; nothing else changed").then_some(())).await;

    let taken = load.stop().await;
    let mut web = Story::new(900_001, "WEB");
    let mut ops = Story::new(900_002, "OPS");
    let web = stage.post("acme", &web.created(), "web").await;
    let ops = stage.post("acme", &ops.created(), "ops").await;
    stage.drained(&["events", "picky", "late"], SOON).await;
    let events = stage.ids("events.jsonl");
    let wanted: usize = taken.values().map(|taken| taken.ids.len()).sum::<usize>() + 2;
    assert_eq!(events.len(), wanted, "each once where nothing changed");
    for taken in taken.values() {
        let places = taken.ids.iter().map(|id| events.iter().position(|event| event == id).expect("it came"));
        assert!(places.is_sorted(), "out of order: {:?}", taken.ids);
    }
    let picky = stage.ids("picky.jsonl");
    assert!(picky.contains(&web[0]) && !picky.contains(&ops[0]), "the new rule is at work");
    eprintln!("{wanted} events over two reloads; {} reached the new sink", stage.ids("late.jsonl").len());
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    let log = std::fs::read_to_string(stage.path("serve.err")).expect("the log");
    let end: Vec<&str> = log.lines().filter(|line| line.contains("\"stopping\"") || line.contains("\"stopped\"")).collect();
    assert_eq!(end.len(), 2, "an orderly stop has a beginning and an end: {end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_file_that_changes_is_read_again() {
    let stage = Stage::new();
    std::fs::create_dir_all(stage.path("data")).expect("a folder");
    std::fs::write(stage.path("data/hook"), "another-secret").expect("a file");
    stage.configure(&format!("{}{}", connection("{ file = \"hook\" }"), sink("events")));
    let _service = stage.serve().await;
    let body = Story::new(1, "OPS").created().to_string();
    assert_eq!(stage.post_bytes("acme", body.as_bytes(), "1").await.status, 401);
    // Nobody tells the service.
    std::fs::write(stage.path("data/hook"), SECRET).expect("a file");
    until("the new secret proves", SOON, async || (stage.post_bytes("acme", body.as_bytes(), "1").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_come_and_go() {
    let stage = Stage::new();
    let other = connection(&quoted(SECRET)).replace("acme", "other");
    stage.configure(&format!("{}{}", connection(&quoted(SECRET)), sink("events")));
    let service = stage.serve().await;
    let first = hash(&stage).await;
    stage.configure(&format!("{other}{}{}", connection(&quoted(SECRET)), sink("events")));
    service.hang_up();
    let second = reloaded(&stage, &first).await;
    stage.post("other", &Story::new(1, "OPS").created(), "1").await;
    stage.configure(&format!("{other}{}", sink("events")));
    service.hang_up();
    reloaded(&stage, &second).await;
    let body = Story::new(2, "OPS").created().to_string();
    assert_eq!(stage.post_bytes("acme", body.as_bytes(), "2").await.status, 404);
    stage.post("other", &Story::new(3, "OPS").created(), "3").await;
}
