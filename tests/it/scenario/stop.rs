//! An orderly stop under load ends well and in time, and nothing is done twice for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::stage::{Load, Scene, Service, Stage, Story, quoted, until};

const RULE: &str = r#"
[rule.all]
when = 'true'
send = [{ to = "team", template = "{{ issue.summary }}" }]
"#;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_repeats_nothing() {
    let stage = Arc::new(Stage::new());
    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let mut service = stage.serve().await;
    let load = Load::start(&stage);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let goal = load.count() + 250;
        until("the load goes on", LIMIT, async || (load.count() >= goal).then_some(())).await;
        let (took, code) = service.terminate().await;
        assert_eq!(code, 0, "the status after SIGTERM");
        slowest = slowest.max(took);
        service = stage.serve().await;
    }
    let taken = load.stop().await;
    let accepted: HashSet<String> = taken.into_values().flat_map(|taken| taken.ids).collect();
    until("all that was accepted is in the file", LIMIT, async || {
        let ids: HashSet<String> = stage.ids(super::EVENTS).into_iter().collect();
        accepted.is_subset(&ids).then_some(())
    })
    .await;
    stage.drained(&["events", "tickets"], LIMIT).await;
    let ids = stage.ids(super::EVENTS);
    let different: HashSet<&String> = ids.iter().collect();
    eprintln!("stop: 3 stops, {slowest:.1?} at most, {} accepted, 0 missing, {} repeated", accepted.len(), ids.len() - different.len());
    assert_eq!(different.len(), ids.len(), "an orderly stop repeated lines");
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_obeyed_while_the_start_waits_for_a_database() {
    let stage = Stage::new();
    // It listens, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    stage.configure(&format!("[store]\nurl = \"postgres://{address}/wire\"\n{}", Scene::listening("acme")));
    let config = stage.config().display().to_string();
    for signal in ["TERM", "INT"] {
        let service = Service::spawn(stage.command(&["serve", "-c", &config]), stage.path("serve.out"), stage.path("serve.err"));
        let _connection = tokio::time::timeout(LIMIT, silent.accept()).await.expect("it calls").expect("a connection");
        let (took, code) = service.stop_by(signal).await;
        assert_eq!(code, 0, "the status after SIG{signal}");
        assert!(took < Duration::from_secs(5), "it took {took:?}");
    }
}

/// It may have arrived: that is remembered, and whoever looks later is told that the message may be there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_cut_off_by_a_stop_stays_unknown() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let configured = |workspace: &str| stage.configure(&format!("{}{workspace}{RULE}", Scene::listening("acme")));
    let workspace = scene.workspace("team", true);
    configured(&workspace.replace(&quoted(&format!("{}/api", scene.slack.url())), &quoted(&format!("http://{address}/api"))));
    let service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    let ids = stage.post("acme", &story.created(), "1").await;
    // It listens, and never says a word.
    let _connection = tokio::time::timeout(LIMIT, silent.accept()).await.expect("the sink calls").expect("a connection");
    let (took, code) = service.terminate().await;
    assert_eq!(code, 0, "the status after SIGTERM, {took:?}");
    let rows = stage.rows("SELECT progress FROM journal WHERE sink = 'team'").await;
    assert_eq!(rows, [["started"]], "the journal does not say how it ended");

    configured(&workspace);
    let service = stage.serve().await;
    until("it is posted again", LIMIT, async || (!scene.texts("#team").is_empty()).then_some(())).await;
    let outcome = until("the journal knows how it ended", LIMIT, async || {
        let outcomes = stage.outcomes(&story.key, &ids[0], "team").await;
        outcomes.into_iter().find(|(outcome, _)| outcome == "delivered")
    })
    .await;
    assert!(outcome.1.contains("repeated"), "{outcome:?}");
    assert_eq!(scene.texts("#team"), [story.summary]);
    service.terminate().await;
}
