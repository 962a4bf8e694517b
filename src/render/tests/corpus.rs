//! Real tickets, where `TICKETWIRE_CORPUS` says that some lie: none may panic, grow or come alive.

use super::live;
use crate::event::Markup;
use crate::render::{Dialect, MAX_BYTES, read, to_markdown};

#[test]
fn real_tickets_render() {
    let root = std::env::var("TICKETWIRE_CORPUS").map(std::path::PathBuf::from).ok();
    let Some(root) = root.filter(|root| root.is_dir()) else {
        return skipped();
    };
    let mut files = Vec::new();
    collect(&root.join("adf"), &mut files);
    collect(&root.join("webhooks"), &mut files);
    let mut seen = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
        let mut bodies = Vec::new();
        texts(&json, &mut bodies);
        if json.get("type").is_some_and(|kind| kind == "doc") {
            bodies.push(json.clone());
        }
        for body in bodies {
            let written = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let markup = if body.is_string() { Markup::Wiki(&written) } else { Markup::Document(&written) };
            let markdown = to_markdown(markup);
            let mrkdwn = Dialect::SlackMrkdwn.convert(&markdown);
            assert_eq!(live(&mrkdwn), None, "{}", file.display());
            assert_eq!(live(&Dialect::SlackMrkdwn.write(&read(markup))), None, "{}", file.display());
            assert!(Dialect::Plain.convert(&markdown).len() <= MAX_BYTES);
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} texts");
}

#[expect(clippy::print_stderr, reason = "says aloud what was not tested")]
fn skipped() {
    eprintln!("skipped: no corpus; TICKETWIRE_CORPUS names its directory");
}

fn collect(directory: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), files);
        } else if entry.path().extension().is_some_and(|extension| extension == "json") {
            files.push(entry.path());
        }
    }
}

/// Every description, body and comment in a payload.
fn texts(json: &serde_json::Value, bodies: &mut Vec<serde_json::Value>) {
    match json {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let is_text = matches!(name.as_str(), "description" | "body" | "environment" | "fromString" | "toString");
                if is_text && (value.is_string() || value.get("type").is_some()) {
                    bodies.push(value.clone());
                }
                texts(value, bodies);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, bodies)),
        _ => {}
    }
}
