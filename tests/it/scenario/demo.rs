//! The first five minutes: everything at once, and the counts agree.

use std::time::Duration;

use serde_json::Value;

use crate::stage::{Stage, files_below, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_agrees_with_itself_and_leaves_nothing() {
    for flavour in ["cloud", "datacenter"] {
        agrees(flavour).await;
    }
}

async fn agrees(flavour: &str) {
    let stage = Stage::new();
    let temporary = stage.path("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let mut command = stage.command(&["demo", "--flavour", flavour, "--for", "5s", "--json"]);
    command.env("TMPDIR", &temporary);
    let said = tokio::time::timeout(Duration::from_secs(50), said(command)).await.expect("in time");
    assert_eq!(said.code, 0, "{said:?}");
    let counts: Value = serde_json::from_str(said.out.lines().last().expect("a line")).expect("JSON");
    let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number in {counts}"));
    let sent = count(&counts["sent"]);
    assert!(sent >= 5, "{counts}");
    assert_eq!((count(&counts["accepted"]), count(&counts["stored"])), (sent, sent), "{counts}");
    assert_eq!(count(&counts["delivered"]["events"]), sent, "{counts}");
    // Service-management projects are in the ticket store only when listed.
    assert!((1..=sent).contains(&count(&counts["delivered"]["tickets"])), "{counts}");
    let left = files_below(&temporary);
    assert!(left.is_empty() && std::fs::read_dir(&temporary).expect("a folder").next().is_none(), "left behind: {left:?}");
    eprintln!("demo, {flavour}: {counts}");
}
