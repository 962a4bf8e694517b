//! Many at the door at once: the same event over and over, senders that dawdle, idle connections, and bodies as long as may be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::stage::{SECRET, Scene, Stage, Story, is_long, signature, until};

const LIMIT: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 64;
/// A body near the limit needs a few times its length while it is read and stored; beside that the program itself.
const MEMORY_MIB_MAX: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_one_event_has_one_effect() {
    let stage = Arc::new(Stage::new());
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    let body = Story::new(1, "OPS").created();
    let times = if is_long() { 10_000 } else { 2_000 };
    let begun = Instant::now();
    let answers: HashSet<Vec<String>> = stream::iter(0..times)
        .map(|number| {
            let (stage, body) = (Arc::clone(&stage), &body);
            async move { stage.post("acme", body, &number.to_string()).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let took = begun.elapsed();
    assert_eq!(answers.len(), 1, "it has several ids");
    until("it is in the file", LIMIT, async || (!stage.lines(super::EVENTS).is_empty()).then_some(())).await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    assert_eq!(vec![stage.ids(super::EVENTS)], answers.into_iter().collect::<Vec<_>>());
    assert_eq!(stage.rows("SELECT count(*) || '' FROM tickets").await, [["1"]]);
    eprintln!(
        "storm: one event {times} times over {AT_ONCE} connections in {took:.1?}, one effect, {} MiB at most",
        service.memory("VmHWM")
    );
}

/// How many files a process may open here.
fn files_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the limit of files");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}

async fn connect(stage: &Stage) -> TcpStream {
    timeout(LIMIT, TcpStream::connect(("127.0.0.1", stage.receiver))).await.expect("in time").expect("a connection")
}

/// What is said until the connection ends.
async fn heard(mut connection: TcpStream) -> String {
    let mut said = Vec::new();
    // One that is reset has ended, too.
    drop(timeout(LIMIT, connection.read_to_end(&mut said)).await.expect("it ends in time"));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dawdles_or_idles_keeps_nobody_waiting() {
    // The service gives half of its files to connections, and says so.
    let idle = if is_long() { 10_000 } else { 1_000 }.min(files_max() / 2 - 200);
    let stage = Stage::new();
    let limits = format!("header_timeout = \"8s\"\nbody_timeout = \"2s\"\nconnections_max = {}\n", idle + 200);
    stage.configure_receiver(&limits, &format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    let before = service.memory("VmRSS");
    let slow = stream::iter(0..50).then(|_| connect(&stage)).collect::<Vec<_>>().await;
    let (mut late_heads, mut late_bodies) = (Vec::new(), Vec::new());
    for (number, mut connection) in slow.into_iter().enumerate() {
        // Of the right form, because a stranger is refused before the body.
        let signature = format!("X-Hub-Signature: sha256={}", "0".repeat(64));
        let head = format!("POST /hooks/acme HTTP/1.1\r\nHost: a\r\n{signature}\r\nContent-Length: 100\r\n");
        let is_head = number.is_multiple_of(2);
        let part = if is_head { head } else { format!("{head}\r\n{{\"a\":") };
        connection.write_all(part.as_bytes()).await.expect("it takes that");
        if is_head { &mut late_heads } else { &mut late_bodies }.push(connection);
    }
    // Asks again and again, and never reads an answer.
    let mut deaf = connect(&stage).await;
    let ask = b"GET /hooks/acme HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
    let mut asked = 0;
    while asked < 20_000 && timeout(Duration::from_millis(200), deaf.write_all(&ask)).await.is_ok_and(|written| written.is_ok()) {
        asked += 50;
    }
    let mut quiet = Vec::new();
    for _ in 0..idle {
        quiet.push(connect(&stage).await);
    }
    let (mut story, mut slowest) = (Story::new(1, "OPS"), Duration::ZERO);
    let mut ids = stage.post("acme", &story.created(), "0").await;
    for number in 1..20 {
        let begun = Instant::now();
        ids.extend(stage.post("acme", &story.renamed(&format!("step {number}")), &number.to_string()).await);
        slowest = slowest.max(begun.elapsed());
    }
    let held = service.memory("VmRSS").saturating_sub(before);
    for connection in late_bodies {
        let said = heard(connection).await;
        assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    }
    for connection in late_heads.into_iter().chain(quiet) {
        let said = heard(connection).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    until("all is in the file", LIMIT, async || (stage.ids(super::EVENTS) == ids).then_some(())).await;
    assert!(held < 40 + idle / 30, "{held} MiB for {idle} connections");
    assert!(slowest < Duration::from_secs(5), "others waited {slowest:?}");
    eprintln!("crowd: {idle} idle, 50 slow, one deaf connection; others waited {slowest:.1?} at most, {held} MiB held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_around_the_limit_keep_memory_bounded() {
    const MOST: usize = 1 << 20;
    let rounds: u64 = if is_long() { 1_500 } else { 150 };
    let stage = Arc::new(Stage::new());
    let limits = "max_body = \"1MiB\"\nbytes_in_flight = \"8MiB\"\n";
    stage.configure_receiver(limits, &format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    let body = |number: u64, length: usize| {
        let mut body = Story::new(number, "OPS").created();
        body["issue"]["fields"]["description"] = json!("");
        let rest = length - body.to_string().len();
        body["issue"]["fields"]["description"] = json!("long ".repeat(rest / 5) + &"x".repeat(rest % 5));
        body.to_string()
    };
    let sent = stream::iter(0..rounds).map(|number| {
        let stage = Arc::clone(&stage);
        async move {
            let length = MOST - 1 + usize::try_from(number % 3).expect("a small number");
            let bytes = body(number, length).into_bytes();
            assert_eq!(bytes.len(), length);
            let headers = [("X-Hub-Signature", signature(SECRET, &bytes))];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let mut refused = 0_u32;
            loop {
                // Who is told so before all is sent may hear nothing but the end of the connection.
                let answer = stage.try_post("/hooks/acme", &bytes, &headers).await;
                match answer.map(|answer| (answer.status, answer.ids)) {
                    Some((200, ids)) if length <= MOST => return (ids, refused),
                    None | Some((413, _)) if length > MOST => return (Vec::new(), refused),
                    None | Some((503, _)) => refused += 1,
                    other => panic!("{length} bytes: {other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let sent: Vec<(Vec<String>, u32)> = sent.buffer_unordered(AT_ONCE).collect().await;
    let accepted: HashSet<&String> = sent.iter().flat_map(|(ids, _)| ids).collect();
    assert_eq!(accepted.len() as u64, rounds - rounds / 3, "all that are not too long");
    until("all is in the file", LIMIT, async || (stage.ids(super::EVENTS).len() >= accepted.len()).then_some(())).await;
    let ids = stage.ids(super::EVENTS);
    assert!(ids.len() == accepted.len() && ids.iter().all(|id| accepted.contains(id)), "each once");
    let memory = service.memory("VmHWM");
    let refused: u32 = sent.iter().map(|(_, refused)| refused).sum();
    eprintln!(
        "long bodies: {rounds} of 1 MiB and a byte less or more, {} accepted, {refused} refused for now, {memory} MiB at most",
        accepted.len()
    );
    assert!(memory < MEMORY_MIB_MAX, "{memory} MiB");
}
