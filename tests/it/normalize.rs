//! Bodies of webhooks against what they must become: the ids in `tests/corpus/expected.tsv` live for ever.

mod odd;
mod real;
mod schema;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use ticketwire::clock::Timestamp;
use ticketwire::event::{Data, Envelope, Event, Kind, Markup, Restricted, ToMarkdown, structured};
use ticketwire::jira::{Headers, Received, identify, normalize};

const RECEIVED_MS: i64 = 1_765_450_000_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Our own bodies by name, in the order of their names.
fn own_bodies() -> BTreeMap<String, Vec<u8>> {
    let mut bodies = BTreeMap::new();
    for entry in std::fs::read_dir(corpus()).expect("the folder of bodies") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            bodies.insert(name, std::fs::read(&path).expect("a body"));
        }
    }
    assert!(bodies.len() > 100, "only {} bodies", bodies.len());
    bodies
}

/// Only an empty body comes with an identifier: without one its id is random.
fn events_of(body: &[u8]) -> Vec<Event> {
    let identifier = body.is_empty().then(|| "69312270000000001".to_owned());
    events_through("acme", body, identifier)
}

fn events_through(connection: &str, body: &[u8], identifier: Option<String>) -> Vec<Event> {
    events_by(connection, body, identifier, as_written)
}

fn events_by(connection: &str, body: &[u8], identifier: Option<String>, to_markdown: ToMarkdown) -> Vec<Event> {
    let received = Received {
        connection: &connection.parse().expect("a name"),
        base_url: &"https://acme.atlassian.net".parse().expect("a base URL"),
        body,
        headers: &Headers { identifier, retry: 1, flow: Some("primary".to_owned()) },
        received_at: Timestamp::from_ms(RECEIVED_MS),
        to_markdown,
    };
    normalize(&received)
}

/// Rendering is tested where it is done.
fn as_written(markup: Markup<'_>) -> String {
    match markup {
        Markup::Wiki(text) | Markup::Document(text) => text.to_owned(),
    }
}

fn published(event: Event) -> serde_json::Value {
    let envelope = Envelope { event, raw: bytes::Bytes::new(), target: None, traceparent: None, received: None, renewable: false };
    serde_json::from_slice(&structured(&envelope, &envelope.event, false)).expect("an event is JSON")
}

fn restricted(event: &Event) -> &'static str {
    match event.restricted() {
        Restricted::Yes => "yes",
        Restricted::No => "no",
        Restricted::Unknown => "unknown",
    }
}

#[test]
fn every_body_becomes_the_frozen_events() {
    let mut actual = String::from("file\tkind\tid\tsubject\tpartition key\trestricted\n");
    for (name, body) in own_bodies() {
        for event in events_of(&body) {
            let (kind, restricted) = (event.kind(), restricted(&event));
            let (id, subject, key) = (event.id.as_str(), &event.subject, event.partition_key.as_str());
            writeln!(actual, "{name}\t{kind}\t{id}\t{subject}\t{key}\t{restricted}").expect("a string takes it");
        }
    }
    let expected = std::fs::read_to_string(corpus().join("expected.tsv")).expect("the frozen table");
    let (actual, expected): (BTreeSet<_>, BTreeSet<_>) = (actual.lines().collect(), expected.lines().collect());
    let added: Vec<_> = actual.difference(&expected).collect();
    let lost: Vec<_> = expected.difference(&actual).collect();
    assert!(added.is_empty() && lost.is_empty(), "not as frozen: {added:#?}\nbut frozen: {lost:#?}");
}

#[test]
fn what_is_identified_is_what_is_normalized() {
    for (name, body) in own_bodies() {
        let received = Received {
            connection: &"acme".parse().expect("a name"),
            base_url: &"https://acme.atlassian.net".parse().expect("a base URL"),
            body: &body,
            headers: &Headers { identifier: Some("69312270000000001".to_owned()), retry: 1, flow: None },
            received_at: Timestamp::from_ms(RECEIVED_MS),
            to_markdown: as_written,
        };
        let (brief, whole) = (identify(&received), normalize(&received));
        assert_eq!(brief.iter().map(identified).collect::<Vec<_>>(), whole.iter().map(identified).collect::<Vec<_>>(), "{name}");
        let custom = brief.iter().filter_map(|event| event.data.issue.as_ref()).map(|issue| issue.custom.text());
        assert!(custom.eq(brief.iter().filter_map(|event| event.issue_id()).map(|_| "{}")), "{name}: more was made than is needed");
    }
}

/// All that an event in brief must say.
fn identified(event: &Event) -> impl PartialEq + std::fmt::Debug {
    let Data { kind, occurred_at, received_at, jira, .. } = event.data.clone();
    let (id, key) = (event.id.clone(), event.partition_key.clone());
    (id, event.subject.clone(), key, event.secrecy, event.issue_id().map(str::to_owned), (kind, occurred_at, received_at, jira))
}

#[test]
fn every_event_in_brief_is_made_again_as_it_was() {
    for (name, body) in own_bodies() {
        let events = events_by("acme", &body, None, ticketwire::render::to_markdown);
        for event in events.into_iter().filter(|event| event.kind() != Kind::Unrecognized) {
            let raw = bytes::Bytes::from(body.clone());
            let envelope = Envelope { event, raw, target: None, traceparent: None, received: None, renewable: true };
            let written = [envelope.encode_brief_head(), body.clone()].concat();
            assert!(written.len() < body.len() + 1_024, "{name}: {} bytes beside the body", written.len() - body.len());
            assert_eq!(Envelope::decode_any(&written.into(), ticketwire::app::renew).expect("it is read"), envelope, "{name}");
        }
    }
}

#[test]
fn our_bodies_become_every_kind_that_webhooks_make() {
    let told: BTreeSet<Kind> = own_bodies().values().flat_map(|body| events_of(body)).map(|event| event.kind()).collect();
    let silent: Vec<_> =
        Kind::ALL.iter().filter(|kind| !told.contains(kind) && !matches!(kind, Kind::IssueSnapshot | Kind::ReportRow)).collect();
    assert!(silent.is_empty(), "no body becomes {silent:?}");
}

fn own(name: &str) -> Vec<Event> {
    events_of(own_bodies().get(name).unwrap_or_else(|| panic!("no body `{name}`")))
}

#[test]
fn who_did_it() {
    for (name, actor) in [
        ("issue-updated-cloud", Some("557058:1a2b")),
        ("issue-created-server", Some("JIRAUSER10100")),
        ("old-server-changelog", Some("lena")),
        ("comment-created-cloud", Some("557058:1a2b")),
        ("comment-updated-server", Some("lena")),
        ("comment-deleted-cloud", None),
        ("comment-deleted-server", Some("lena")),
        ("worklog-updated-server", Some("JIRAUSER10100")),
        ("worklog-deleted-cloud", None),
        ("attachment-created", Some("557058:1a2b")),
        ("attachment-deleted", None),
        ("issuelink-created", None),
        ("user-created-cloud", None),
        ("issue-without-fields", None),
    ] {
        let events = own(name);
        assert_eq!(events[0].data.actor.as_ref().map(|actor| actor.id.as_str()), actor, "{name}");
    }
}

#[test]
fn which_project_and_how_much_of_the_issue() {
    for (name, project, partial) in [
        ("issue-updated-cloud", Some("OPS"), Some(false)),
        ("issue-updated-server", Some("OPS"), Some(false)),
        ("comment-created-cloud", Some("OPS"), Some(true)),
        ("comment-created-server", None, Some(true)),
        ("issuelink-created", None, Some(true)),
        ("issue-without-fields", None, Some(true)),
        ("issue-of-wrong-types", None, Some(true)),
        ("project-updated", Some("OPS"), None),
        ("sprint-started", None, None),
        ("version-created", Some("10000"), None),
        ("board-configuration-changed", Some("10000"), None),
        ("unrecognized-name", None, None),
    ] {
        let data = &own(name)[0].data;
        let shown = data.project.as_ref().map(|project| project.key.as_deref().unwrap_or(&project.id));
        assert_eq!((shown, data.issue.as_ref().map(|issue| issue.partial)), (project, partial), "{name}");
    }
}

#[test]
fn members_of_entities() {
    let check = |name: &str, pointer: &str, expected: serde_json::Value| {
        let line = published(own(name)[0].clone());
        assert_eq!(line["data"].pointer(pointer), Some(&expected), "{name} {pointer}");
    };
    let null = serde_json::Value::Null;
    check("comment-created-internal", "/comment/internal", true.into());
    check("comment-created-internal", "/comment/visibility", serde_json::json!({ "kind": "role", "name": "Developers" }));
    check("comment-created-cloud", "/comment/internal", false.into());
    check("comment-created-server", "/comment/internal", null.clone());
    check("worklog-created-cloud", "/worklog/seconds", 3600.into());
    check("attachment-created", "/attachment/bytes", 1234.into());
    check("issuelink-created", "/link/destination", serde_json::json!({ "id": "10041", "key": null }));
    check("sprint-updated", "/sprint/previous/state", "future".into());
    check("sprint-started", "/sprint/previous", null.clone());
    check("sprint-closed", "/sprint/completed_at", "2025-12-24T15:00:00.000Z".into());
    check("version-released", "/version/release_on", "2025-12-24".into());
    check("version-deleted-by-merge", "/version/merged_into_id", "10011".into());
    check("version-deleted", "/version/merged_into_id", null.clone());
    check("user-created-server", "/user/active", true.into());
    check("user-deleted-bare", "/user/id", "557058:1a2b".into());
    check("issue-property-set", "/property/value", serde_json::json!({ "done": true }));
    check("option-voting-changed", "/option/key", "jira.option.voting".into());
    check("app-expression-failed", "/app/key", "dev.example.charts".into());
    check("issue-updated-server", "/issue/sprints/0/name", "Sprint 3, ops".into());
    check("issue-updated-server", "/changes/0/field", "status".into());
    check("unrecognized-issue-data", "/unrecognized/reason", "an issue without an event".into());
    check("unrecognized-excluded-body", "/occurred_at", "2025-12-11T10:46:40.000Z".into());
    check("unrecognized-excluded-body", "/jira/flow", "primary".into());
    check("post-function", "/jira/event", null);
}
