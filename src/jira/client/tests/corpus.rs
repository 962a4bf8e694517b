//! Recorded REST answers, where they are at hand: none may panic, and issues must be read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::http::Answer;
use super::super::read::read_bulk;
use super::*;
use crate::clock::Clock;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "json") {
            found.push(path);
        }
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn recorded_answers_are_read() {
    let Some(corpus) = std::env::var_os("TICKETWIRE_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: `TICKETWIRE_CORPUS` names no folder of recorded answers");
        return;
    };
    let mut paths = Vec::new();
    files(&corpus.join("rest"), &mut paths);
    files(&corpus.join("adf"), &mut paths);
    assert!(!paths.is_empty(), "nothing in {}", corpus.display());
    let server = Server::start().await;
    let jira = datacenter(&server);
    let mut issues = 0;
    for path in paths {
        let body = std::fs::read(&path).expect("a file");
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let listed = said["issues"].as_array().cloned().unwrap_or_else(|| vec![said.clone()]);
        let whole = |issue: &Value| issue["id"].is_string() && issue["fields"]["summary"].is_string();
        let expected = listed.iter().filter(|issue| whole(issue)).count();
        let answer = Answer {
            status: http::StatusCode::OK,
            body,
            is_json: true,
            asked: Instant::now(),
            clock_ahead_ms: None,
            asked_at: Clock::system().now(),
        };
        let read = read_bulk(&jira.site, answer).await.map_or(0, |bulk| bulk.seen.len());
        assert!(read >= expected, "{}: {read} of {expected} issues", path.display());
        issues += read;
    }
    assert!(issues > 20, "{issues} issues in the whole corpus");
}
