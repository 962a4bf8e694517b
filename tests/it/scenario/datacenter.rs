//! A simulated Data Center sends by itself: comments told twice are one event and one message, the store ends as the site, secrets stay out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use ticketwire::simulate::{Flavour, Sent};

use crate::stage::{Scene, Stage};

const LIMIT: Duration = Duration::from_secs(60);
const ACTS: usize = 220;
/// Actions per second: enough time between two that Jira's own times tell them apart.
const PACE: f64 = 50.0;
/// Uncleared ones, which get every event.
const GUARDED: &str = r#"
[sink.open-file]
type = "file"
path = "../open.jsonl"
clearance = {}
[rule.all]
when = "true"
send = [{ to = "open", settle = "0s" }]
"#;
const TALK: &str = "[rule.talk]\nwhen = 'event.kind == \"comment.created\"'\nsend = [{ to = \"team\", template = \"{{ comment.id }}\" }]\n";

/// People work until they did so much, and all of it is delivered.
async fn work(scene: &Scene) -> Sent {
    let mut actions = scene.simulation.actions();
    scene.simulation.people_work(PACE);
    for _ in 0..ACTS {
        tokio::time::timeout(LIMIT, actions.recv()).await.expect("in time").expect("an action");
    }
    scene.simulation.people_stop_and_drain(LIMIT).await
}

/// All issues as the site itself shows them to who may see all, by id.
async fn truth(scene: &Scene) -> BTreeMap<String, Value> {
    let url = format!("{}/rest/api/2/search?maxResults=1000", scene.simulation.jira_url());
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("a client");
    let token = scene.simulation.api_token();
    let answer = client.get(url).bearer_auth(token).send().await.expect("an answer").bytes().await.expect("bytes");
    let found: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(found["total"].as_u64(), found["issues"].as_array().map(|issues| issues.len() as u64), "all on one page");
    let issues = found["issues"].as_array().into_iter().flatten();
    issues.map(|issue| (issue["id"].as_str().expect("an id").to_owned(), issue.clone())).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Every row against the site: what is there is as it is there, what is not there is deleted.
async fn assert_tickets(stage: &Stage, truth: &BTreeMap<String, Value>) -> usize {
    let rows = stage
        .rows(
            "SELECT id, key, project_key, summary, status, assignee, security_level, \
             (SELECT group_concat(label, ' ') FROM (SELECT label FROM ticket_labels WHERE ticket_id = tickets.id ORDER BY label)), \
             CAST(deleted_at IS NOT NULL AS TEXT) FROM tickets",
        )
        .await;
    for row in &rows {
        let Some(issue) = truth.get(&row[0]) else {
            assert_eq!(row[8], "1", "it is gone from the site: {row:?}");
            continue;
        };
        let fields = &issue["fields"];
        let mut labels: Vec<&str> = fields["labels"].as_array().expect("labels").iter().filter_map(Value::as_str).collect();
        labels.sort_unstable();
        let expected = [
            text(&issue["id"]),
            text(&issue["key"]),
            text(&fields["project"]["key"]),
            text(&fields["summary"]),
            text(&fields["status"]["name"]),
            text(&fields["assignee"]["key"]),
            text(&fields["security"]["name"]),
            labels.join(" "),
            "0".to_owned(),
        ];
        assert_eq!(row.as_slice(), expected);
    }
    rows.len()
}

/// Every comment that was written while we listened, but for those of the help desk, and none that is gone.
async fn assert_comments(stage: &Stage, truth: &BTreeMap<String, Value>) -> usize {
    let rows = stage.rows("SELECT id, ticket_id, author FROM comments WHERE deleted_at IS NULL").await;
    let stored: BTreeSet<Vec<String>> = rows
        .into_iter()
        // Comments go with their issue, which Data Center does not tell of each.
        .filter(|row| truth.contains_key(&row[1]))
        .collect();
    let mut there = BTreeSet::new();
    for (id, issue) in truth.iter().filter(|(_, issue)| issue["fields"]["project"]["key"] != "HELP") {
        for comment in issue["fields"]["comment"]["comments"].as_array().into_iter().flatten() {
            there.insert(vec![text(&comment["id"]), id.clone(), text(&comment["author"]["key"])]);
        }
    }
    assert_eq!(stored, there);
    stored.len()
}

/// Comments of the help desk, of which Data Center does not say the project: nothing of them is kept, and `trace` says so.
async fn assert_kept_out(stage: &Stage, truth: &BTreeMap<String, Value>) {
    let mut kept_out = 0;
    for line in stage.lines(super::EVENTS) {
        let issue = truth.get(&text(&line["data"]["issue"]["id"])).filter(|issue| issue["fields"]["project"]["key"] == "HELP");
        let Some(issue) = issue.filter(|_| line["data"]["kind"] == "comment.created") else { continue };
        for (outcome, reason) in stage.outcomes(&text(&issue["key"]), &text(&line["id"]), "tickets").await {
            assert_eq!(outcome == "filtered", reason.contains("`service_projects` does not list"), "{outcome}: {reason}");
            kept_out += u32::from(outcome == "filtered");
        }
    }
    assert!(kept_out > 0, "nobody commented at the help desk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_twice_happens_once_and_the_store_ends_as_the_site() {
    let (stage, scene) = (Stage::new(), Scene::of(Flavour::Datacenter).await);
    stage.configure(&format!("{}{}{}{TALK}", scene.asking(), super::DATA_SINKS, scene.workspace("team", true)));
    let _service = stage.serve().await;
    scene.sends_to(&stage);
    let sent = work(&scene).await;
    assert_eq!((sent.given_up, sent.events), (0, sent.event_ids.len() as u64), "one action, one event: {sent:?}");
    stage.drained(&["events", "tickets", "team"], LIMIT).await;

    let mut ids = stage.ids(super::EVENTS);
    let lines = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (lines, sent.event_ids.clone()), "each event once");
    let of = |kind: &str| {
        let events = stage.lines(super::EVENTS).into_iter().filter(|line| line["data"]["kind"] == kind);
        events.map(|line| text(&line["data"]["comment"]["id"])).collect::<Vec<_>>()
    };
    let (mut said, mut told) = (of("comment.created"), scene.texts("#team"));
    said.sort();
    told.sort();
    assert!(said.len() >= 20 && of("worklog.created").len() >= 3, "the simulated people were too quiet");
    assert_eq!(told, said, "one message for each comment");

    let truth = truth(&scene).await;
    let (tickets, comments) = (assert_tickets(&stage, &truth).await, assert_comments(&stage, &truth).await);
    assert!(tickets >= 20 && comments >= 10, "{tickets} tickets, {comments} comments");
    assert_kept_out(&stage, &truth).await;
    eprintln!(
        "data center: {} bodies were {} events, {} messages for as many comments, {tickets} tickets and {comments} comments as on the site",
        sent.bodies,
        sent.events,
        told.len()
    );
}

/// What people did where not everybody may read it, from the bodies that say so and the words with which they begin.
#[derive(Debug, Default)]
struct Secrets {
    issues: BTreeSet<String>,
    /// Comments for a role.
    restricted: BTreeSet<String>,
    /// Internal notes, of which Data Center's webhooks do not say that they are.
    notes: BTreeSet<String>,
    public: BTreeSet<String>,
    /// Bodies of issues that everybody may see, with a comment inside that not everybody may read.
    carriers: usize,
}

impl Secrets {
    fn learn(&mut self, json: &Value) {
        let (issue, comment) = (&json["issue"], &json["comment"]);
        if issue["fields"]["security"].is_object() {
            self.issues.insert(text(&issue["id"]));
        }
        let inside = issue["fields"]["comment"]["comments"].as_array().into_iter().flatten();
        let is_carrier = inside.filter(|inside| inside["visibility"].is_object() || self.notes.contains(&text(&inside["id"]))).count() > 0;
        if json["changelog"].is_object() && issue["fields"]["security"].is_null() {
            self.carriers += usize::from(is_carrier);
        }
        if json["webhookEvent"] == "comment_created" {
            let place = match text(&comment["body"]) {
                body if body.starts_with("Internal: ") => &mut self.notes,
                body if body.starts_with("For the team only: ") => &mut self.restricted,
                _ => &mut self.public,
            };
            place.insert(text(&comment["id"]));
        }
    }
}

/// Work on a guarded Data Center, until there was enough of everything, and all of it is delivered.
async fn guarded() -> (Stage, Scene, Secrets) {
    let (stage, scene) = (Stage::new(), Scene::of(Flavour::Datacenter).await);
    stage.configure(&format!("{}{}{GUARDED}", scene.asking(), scene.workspace("open", false)));
    let service = stage.serve().await;
    scene.sends_to(&stage);
    let mut secrets = Secrets::default();
    for _ in 0..ACTS {
        scene.simulation.act().await.bodies.iter().for_each(|body| secrets.learn(&body.json));
    }
    let sent = scene.simulation.people_stop_and_drain(LIMIT).await;
    assert_eq!(sent.given_up, 0);
    stage.drained(&["open-file", "open"], LIMIT).await;
    service.terminate().await;
    (stage, scene, secrets)
}

/// Ids of the comments of which an uncleared file heard, in any event.
fn comments_of(stage: &Stage) -> BTreeSet<String> {
    let comments = stage.lines("open.jsonl").into_iter().map(|line| text(&line["data"]["comment"]["id"]));
    comments.filter(|id| !id.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_inside_an_issue_do_not_leak() {
    let (stage, scene, secrets) = guarded().await;
    assert!(secrets.issues.len() >= 2 && secrets.restricted.len() >= 3 && secrets.carriers >= 10, "{secrets:?}");
    let open = std::fs::read_to_string(stage.path("open.jsonl")).expect("lines");
    let texts = scene.texts("#open");
    for said in open.lines().chain(texts.iter().map(String::as_str)) {
        assert!(!said.contains("For the team only"), "a leak: {said}");
    }
    for line in stage.lines("open.jsonl") {
        let (issue, comment) = (text(&line["data"]["issue"]["id"]), text(&line["data"]["comment"]["id"]));
        assert!(!secrets.issues.contains(&issue) && !secrets.restricted.contains(&comment), "a leak: {line}");
    }
    let truth = truth(&scene).await;
    let there =
        truth.values().filter(|issue| issue["fields"]["project"]["projectTypeKey"] == "software" && issue["fields"]["security"].is_null());
    let still: BTreeSet<String> = there
        .flat_map(|issue| issue["fields"]["comment"]["comments"].as_array().into_iter().flatten())
        .map(|comment| text(&comment["id"]))
        .collect();
    let public: BTreeSet<&String> = secrets.public.intersection(&still).collect();
    let came = comments_of(&stage);
    assert!(public.len() >= 5 && public.iter().all(|id| came.contains(*id)), "what is public arrives: {public:?} in {came:?}");
    assert!(texts.len() >= 20, "{texts:?}");
    eprintln!(
        "data center guard: {} restricted issues and {} restricted comments withheld, {} bodies carried some, {} messages",
        secrets.issues.len(),
        secrets.restricted.len(),
        secrets.carriers,
        texts.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_notes_do_not_leak_though_no_body_says_what_they_are() {
    let (stage, scene, secrets) = guarded().await;
    assert!(secrets.notes.len() >= 3, "{secrets:?}");
    let came = comments_of(&stage);
    let leaks: Vec<&String> = secrets.notes.intersection(&came).collect();
    assert!(leaks.is_empty(), "{} of {} notes leak: {leaks:?}", leaks.len(), secrets.notes.len());
    assert!(scene.texts("#open").iter().all(|text| !text.contains("Internal: ")));
}
