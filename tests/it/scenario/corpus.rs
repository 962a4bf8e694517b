//! Bodies that real sites sent, through the whole program: each is taken and arrives as its kind wherever it belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::stage::{Scene, Stage, until};

const LIMIT: Duration = Duration::from_secs(60);

struct Real {
    path: String,
    /// The number of the connection that stands for its site.
    site: usize,
    bytes: Vec<u8>,
    json: Value,
}

fn corpus() -> Option<Vec<Real>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus"));
    let folder = std::env::var_os("TICKETWIRE_CORPUS").map_or_else(beside, PathBuf::from);
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).ok()?;
    let paths: Vec<&str> = index.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    let owner = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    let owners: BTreeSet<String> = paths.iter().map(|path| owner(path)).collect();
    let read = |path: &&str| {
        let bytes = std::fs::read(folder.join(path)).unwrap_or_else(|err| panic!("`{path}`: {err}"));
        let site = owners.iter().position(|known| *known == owner(path)).expect("a known owner");
        Real { path: (*path).to_owned(), site, json: serde_json::from_slice(&bytes).unwrap_or_default(), bytes }
    };
    Some(paths.iter().map(read).collect())
}

/// The kinds of a body, said here a second time: from `webhookEvent` alone, but for updates of issues that tell of comments.
fn kinds(body: &Value) -> Vec<String> {
    let issue = body["issue"]["id"].as_str().is_some() || body["issue"]["id"].is_u64();
    let name = match body["webhookEvent"].as_str() {
        Some(name) => name,
        None if issue && (body.get("transition").is_some() || body.get("changelog").is_some()) => "jira:issue_updated",
        None if body["accountId"].is_string() => "user_deleted",
        None => return vec!["event.unrecognized".into()],
    };
    if name == "jira:version_deleted" && body["mergedTo"].is_object() {
        return vec!["version.merged".into()];
    }
    let plain = name.trim_start_matches("jira:").replace("issuelink_", "link_").replace("issue_property_", "property_");
    let (entity, verb) = plain.split_once('_').unwrap_or_default();
    if plain == "worklog_updated" && name.starts_with("jira:") {
        return vec!["issue.updated".into()];
    }
    if (entity, verb) != ("issue", "updated") {
        return vec![if verb.contains('_') { "event.unrecognized".into() } else { format!("{entity}.{verb}") }];
    }
    let comment = &body["comment"];
    let verb = match body["issue_event_type_name"].as_str() {
        Some("issue_comment_edited") => "updated",
        Some("issue_comment_deleted") => "deleted",
        Some("issue_commented") => "created",
        _ if comment["created"] == comment["updated"] => "created",
        _ => "updated",
    };
    let change = !body["changelog"]["id"].is_null();
    let mut kinds = Vec::new();
    if !comment["id"].is_null() {
        kinds.push(format!("comment.{verb}"));
    }
    if change || kinds.is_empty() {
        kinds.push("issue.updated".into());
    }
    kinds
}

#[derive(Default)]
struct Counts {
    bodies: usize,
    events: usize,
    file: usize,
    slack: usize,
    tickets: usize,
    /// Of the events: those that a table has a place for.
    for_tickets: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_bodies_arrive_everywhere() {
    let Some(bodies) = corpus() else {
        return eprintln!("skipped: `TICKETWIRE_CORPUS` names no folder with an `INDEX.tsv`");
    };
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let sites = bodies.iter().map(|real| real.site).max().unwrap_or(0);
    let connections: String = (0..=sites).map(|site| Scene::listening(&format!("site{site}"))).collect();
    let rule = "[rule.all]\nwhen = 'true'\nsend = [{ to = \"team\", template = \"{{ event.kind }} of {{ issue.key }}\" }]\n";
    stage.configure(&format!("{connections}{}{}{rule}", super::DATA_SINKS, scene.workspace("team", true)));
    let _service = stage.serve().await;

    let mut table: BTreeMap<String, Counts> = BTreeMap::new();
    let mut answered: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut of_body = Vec::new();
    for (number, real) in bodies.iter().enumerate() {
        let answer = stage.post_bytes(&format!("site{}", real.site), &real.bytes, &format!("7000{number}")).await;
        let wanted = kinds(&real.json);
        if answer.status != 200 || answer.ids.len() != wanted.len() {
            wrong.push(format!("{}: {answer:?}, expected {wanted:?}", real.path));
        }
        wanted.iter().for_each(|kind| table.entry(kind.clone()).or_default().bodies += 1);
        of_body.push((real.path.as_str(), answer.ids, wanted));
    }
    assert!(wrong.is_empty(), "{} of {} bodies: {wrong:#?}", wrong.len(), bodies.len());

    let ids: BTreeSet<&String> = of_body.iter().flat_map(|(_, ids, _)| ids).collect();
    until("all is in the file", LIMIT, async || (stage.lines(super::EVENTS).len() >= ids.len()).then_some(())).await;
    stage.drained(&["events", "tickets", "team"], LIMIT).await;
    let lines = stage.lines(super::EVENTS);
    let mut twice = Vec::new();
    for line in &lines {
        let (id, kind) = (line["id"].as_str().expect("an id").to_owned(), line["data"]["kind"].as_str().expect("a kind").to_owned());
        assert!(ids.contains(&id), "never answered: {id}");
        table.entry(kind.clone()).or_default().file += 1;
        if answered.insert(id.clone(), kind).is_some() {
            let paths: Vec<&str> = of_body.iter().filter(|(_, ids, _)| ids.contains(&id)).map(|(path, ..)| *path).collect();
            twice.push(format!("{id} of {paths:?}"));
        }
    }
    for (path, ids, mut wanted) in of_body {
        let mut came: Vec<String> =
            ids.iter().map(|id| answered.get(id).cloned().unwrap_or_else(|| panic!("{path}: lost: {id}"))).collect();
        came.sort();
        wanted.sort();
        assert_eq!(came, wanted, "{path}");
    }
    answered.values().for_each(|kind| table.entry(kind.clone()).or_default().events += 1);
    for text in scene.texts("#team") {
        table.entry(text.split(' ').next().unwrap_or_default().to_owned()).or_default().slack += 1;
    }
    let missing = in_tickets(&stage, &lines, &mut table).await;
    let shown = shown(&table);
    eprintln!("{shown}");
    assert!(missing.is_empty(), "without a row in the ticket store: {missing:#?}");
    assert!(twice.is_empty(), "in the file more than once: {twice:#?}");
    assert_eq!(stage.cli_json(&["dead", "list"]).await, Value::Array(Vec::new()));
    for (kind, counts) in &table {
        assert_eq!((counts.file, counts.slack), (counts.events, counts.events), "{kind}\n{shown}");
    }
}

/// Issues and comments have a place; service-management projects that are not listed have none.
async fn in_tickets(stage: &Stage, lines: &[Value], table: &mut BTreeMap<String, Counts>) -> Vec<String> {
    let pairs = async |sql| stage.rows(sql).await.into_iter().map(|row: Vec<String>| row.join(" ")).collect::<BTreeSet<String>>();
    let tickets = pairs("SELECT connection, id FROM tickets").await;
    let comments = pairs("SELECT connection, id FROM comments").await;
    let mut missing = Vec::new();
    for line in lines {
        let data = &line["data"];
        let kind = data["kind"].as_str().unwrap_or_default();
        let rows = match kind.split('.').next() {
            _ if data["project"]["kind"] == "service_desk" => continue,
            Some("issue") if data["issue"]["partial"] == false => (&tickets, &data["issue"]["id"]),
            Some("comment") => (&comments, &data["comment"]["id"]),
            _ => continue,
        };
        let counts = table.entry(kind.to_owned()).or_default();
        counts.for_tickets += 1;
        let place = format!("{} {}", line["twconnection"].as_str().unwrap_or_default(), rows.1.as_str().unwrap_or_default());
        if rows.0.contains(&place) {
            counts.tickets += 1;
        } else {
            missing.push(format!("{}: {place}", line["id"]));
        }
    }
    missing
}

fn shown(table: &BTreeMap<String, Counts>) -> String {
    let mut text = format!("{:<20} {:>6} {:>6} {:>6} {:>6} {:>9}\n", "kind", "bodies", "events", "file", "slack", "tickets");
    for (kind, counts) in table {
        let tickets = format!("{}/{}", counts.tickets, counts.for_tickets);
        writeln!(text, "{kind:<20} {:>6} {:>6} {:>6} {:>6} {tickets:>9}", counts.bodies, counts.events, counts.file, counts.slack)
            .expect("text");
    }
    text
}
