//! Other services read the events from the broker: a program in another language, with that language's usual clients, which knows nothing
//! of ours but the documents, and validates what it reads against the published schema.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::stage::{Scene, Stage, Story};

const STORIES: u64 = 10;
const STEPS: u64 = 6;
const SECONDS: &str = "60";
/// What the program ends with when its clients cannot be installed here.
const SKIPPED: i32 = 77;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_reads_from_rabbitmq() {
    let Some(url) = service("TICKETWIRE_TEST_AMQP") else { return };
    read_by_another(&url, |name| {
        ["amqp".into(), url.clone(), "--exchange".into(), format!("{name}.events"), "--bind".into(), "*.all.#".into()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_reads_from_kafka() {
    let Some(servers) = service("TICKETWIRE_TEST_KAFKA") else { return };
    read_by_another(&format!("kafka://{servers}"), |name| {
        ["kafka".into(), servers.clone(), "--topic".into(), format!("{name}.events"), "--group".into(), format!("{name}.foreign")]
    })
    .await;
}

fn service(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        println_skip(&format!("{variable} is not set"));
    }
    address
}

#[expect(clippy::print_stdout, reason = "what is skipped is counted by its line")]
fn println_skip(why: &str) {
    println!("skipped: {why}");
}

async fn read_by_another(url: &str, arguments: impl FnOnce(&str) -> [String; 6]) {
    let stage = Stage::new();
    let name = format!("foreign-{}", stage.receiver);
    stage.configure(&format!("[queue]\nurl = {url:?}\nname = {name:?}\n{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/run");
    let count = (STORIES * STEPS).to_string();
    let mut command = Command::new(script);
    command.args(arguments(&name)).args(["--count", &count, "--seconds", SECONDS]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut other = command.spawn().expect("it starts");
    let mut told = BufReader::new(other.stderr.take().expect("its stderr"));
    let mut said = String::new();
    // It has its place when it says so.
    while !said.contains("reading") && told.read_line(&mut said).expect("text") > 0 {}
    for number in 0..STORIES {
        let mut story = Story::new(number, "OPS");
        for step in 0..STEPS {
            let body = if step == 0 { story.created() } else { story.renamed(&format!("step {step}")) };
            stage.post("acme", &body, &format!("{number}-{step}")).await;
        }
    }
    let ended = tokio::task::spawn_blocking(move || {
        let mut out = String::new();
        other.stdout.take().expect("its stdout").read_to_string(&mut out).expect("text");
        told.read_to_string(&mut said).expect("text");
        (other.wait().expect("it ends").code(), out, said)
    });
    let (code, out, said) = tokio::time::timeout(Duration::from_secs(180), ended).await.expect("in time").expect("no panic");
    if code == Some(SKIPPED) {
        println_skip(out.trim());
        return;
    }
    assert_eq!(code, Some(0), "{out}{said}");
    let report: Value = serde_json::from_str(out.trim().lines().last().unwrap_or_default()).expect("a line of JSON");
    assert_eq!(
        (report["read"].as_u64(), report["valid"].as_u64(), report["out_of_order"].as_u64()),
        (Some(STORIES * STEPS), Some(STORIES * STEPS), Some(0)),
        "{report}"
    );
    eprintln!("foreign: {report}");
    service.terminate().await;
}
