//! The guard asks Jira: restricted issues and comments stay out of uncleared sinks, and what cannot be known waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use ticketwire::simulate::Body;
use tokio::time::Instant;

use crate::stage::{Scene, Stage, until};

const LIMIT: Duration = Duration::from_secs(40);
const ACTS_MAX: usize = 400;
const SINKS: &str = r##"
[sink.open-file]
type = "file"
path = "../open.jsonl"
clearance = {}
[sink.vault-file]
type = "file"
path = "../vault.jsonl"
[rule.talk]
when = 'event.kind == "comment.created" || event.kind == "issue.created"'
send = [
    { to = "open", template = "{{ event.kind }} {{ issue.id }} {{ comment.id }}" },
    { to = "vault", template = "{{ event.kind }} {{ issue.id }} {{ comment.id }}" },
]
"##;

/// What the test itself knows of the site.
#[derive(Default)]
struct Known {
    /// Ids of issues with a level.
    levelled: BTreeSet<String>,
    /// Every issue that was deleted or moved: nobody promises what becomes of its earlier events.
    gone: BTreeSet<String>,
    seen: Vec<Seen>,
}

#[derive(Debug, Clone)]
struct Seen {
    event: String,
    name: &'static str,
    issue: String,
    key: String,
    is_restricted: bool,
    /// How Slack reads it.
    text: String,
}

impl Known {
    fn learn(&mut self, body: &Body, ids: Vec<String>) {
        let (issue, comment) = (&body.json["issue"], &body.json["comment"]);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let id = body.lane.strip_prefix("issue/").unwrap_or_default().to_owned();
        if issue["fields"]["security"].is_object() {
            self.levelled.insert(id.clone());
        }
        if body.event == "jira:issue_deleted" || body.json["issue_event_type_name"] == "issue_moved" {
            self.gone.insert(id.clone());
        }
        let of_comment = comment["visibility"].is_object() || comment["jsdPublic"] == false;
        let is_restricted = of_comment || self.levelled.contains(&id);
        let kind = body.event.trim_start_matches("jira:").replace('_', ".");
        for event in ids {
            let text = format!("{kind} {id} {}", text(&comment["id"])).trim_end().to_owned();
            self.seen.push(Seen {
                event,
                name: body.event,
                issue: id.clone(),
                key: issue["key"].as_str().unwrap_or_default().to_owned(),
                is_restricted,
                text,
            });
        }
    }

    fn talk(&self, is_restricted: bool) -> impl Iterator<Item = &Seen> {
        let is_talk = |seen: &&Seen| ["comment_created", "jira:issue_created"].contains(&seen.name) && !seen.key.is_empty();
        self.seen.iter().filter(is_talk).filter(move |seen| seen.is_restricted == is_restricted && !self.gone.contains(&seen.issue))
    }
}

async fn act(stage: &Stage, scene: &Scene, known: &mut Known) {
    for body in scene.simulation.act().await.bodies {
        let ids = stage.post("acme", &body.json, &known.seen.len().to_string()).await;
        known.learn(&body, ids);
    }
}

async fn set() -> (Stage, Scene) {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{SINKS}", scene.asking(), scene.workspace("open", false), scene.workspace("vault", true)));
    (stage, scene)
}

/// Waits until nobody works on an event for a sink any more, and says what became of it: all of one outcome, with its reasons.
async fn assert_outcome(stage: &Stage, seen: &Seen, sink: &str, wanted: &str) {
    let end = Instant::now() + LIMIT;
    loop {
        let outcomes = stage.outcomes(&seen.key, &seen.event, sink).await;
        let is_wanted = |(outcome, reason): &(String, String)| outcome == wanted && (wanted == "delivered" || !reason.is_empty());
        if !outcomes.is_empty() && outcomes.iter().all(is_wanted) {
            return;
        }
        let is_open = outcomes.iter().any(|(outcome, _)| ["pending", "parked"].contains(&outcome.as_str()));
        let goes_on = is_open && Instant::now() < end;
        assert!(goes_on, "not {wanted} at {sink}: {outcomes:?}: {seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every event of the talk has its end at the uncleared sinks: public ones came, restricted ones are withheld with a reason.
async fn assert_guarded(stage: &Stage, scene: &Scene, known: &Known) {
    for seen in known.talk(false) {
        for sink in ["open", "open-file"] {
            assert_outcome(stage, seen, sink, "delivered").await;
        }
        assert!(stage.ids("open.jsonl").contains(&seen.event), "{seen:?}");
        assert!(scene.texts("#open").contains(&seen.text), "{seen:?}");
    }
    for seen in known.talk(true) {
        for sink in ["open", "open-file"] {
            assert_outcome(stage, seen, sink, "withheld").await;
        }
    }
    let restricted: BTreeMap<&str, &Seen> = known
        .seen
        .iter()
        .filter(|seen| seen.is_restricted)
        .flat_map(|seen| [(seen.event.as_str(), seen), (seen.text.as_str(), seen)])
        .collect();
    for came in stage.ids("open.jsonl").iter().chain(&scene.texts("#open")) {
        assert!(!restricted.contains_key(came.as_str()), "a leak: {came}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restricted_things_reach_cleared_sinks_only() {
    let (stage, scene) = set().await;
    let _service = stage.serve().await;
    let mut known = Known::default();
    let mut kinds = [0; 3];
    for _ in 0..ACTS_MAX {
        act(&stage, &scene, &mut known).await;
        let comments = known.seen.iter().filter(|seen| seen.name == "comment_created" && seen.is_restricted);
        kinds = [known.talk(false).count(), known.levelled.len(), comments.count()];
        if kinds[0] >= 8 && kinds[1] >= 1 && kinds[2] >= 3 {
            break;
        }
    }
    assert!(kinds[0] >= 8 && kinds[1] >= 1 && kinds[2] >= 3, "the simulated people were too open: {kinds:?}");
    stage.drained(&["vault-file", "vault"], LIMIT).await;
    assert_eq!(stage.ids("vault.jsonl").len(), known.seen.len(), "the cleared file has everything");
    assert_guarded(&stage, &scene, &known).await;
    for seen in known.talk(true) {
        assert!(scene.texts("#vault").contains(&seen.text), "{seen:?}");
    }
    eprintln!(
        "guard: {} events, {} public ones delivered, {} restricted ones withheld",
        known.seen.len(),
        kinds[0],
        known.talk(true).count()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_known_waits() {
    let (stage, scene) = set().await;
    let _service = stage.serve().await;
    let mut known = Known::default();
    scene.jira.answer(|_, _| Some((503, None, json!({ "errorMessages": ["down for maintenance"] }))));
    for _ in 0..ACTS_MAX {
        act(&stage, &scene, &mut known).await;
        if known.talk(false).count() >= 3 && known.talk(true).count() >= 2 {
            break;
        }
    }
    stage.drained(&["vault-file"], LIMIT).await;
    let mut parked = 0;
    for seen in known.talk(false) {
        for sink in ["open", "open-file"] {
            assert_outcome(&stage, seen, sink, "parked").await;
            parked += 1;
        }
    }
    let early: Vec<String> = stage.ids("open.jsonl").into_iter().filter(|id| known.talk(false).any(|seen| seen.event == *id)).collect();
    assert_eq!((early, scene.texts("#open")), (vec![], vec![]), "sent although nobody could know");
    scene.jira.let_through();
    assert_guarded(&stage, &scene, &known).await;
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
    eprintln!("waits: {parked} deliveries parked while Jira was down, delivered afterwards; {} withheld", known.talk(true).count() * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_private_project_stays_out() {
    let (stage, scene) = set().await;
    let _service = stage.serve().await;
    let private = json!({ "id": "66", "key": "HUSH", "name": "Hush", "projectTypeKey": "software", "isPrivate": true });
    scene.jira.answer(move |path, _| path.ends_with("/project/66").then(|| (200, None, private.clone())));
    let mut ids: Vec<BTreeSet<String>> = Vec::new();
    for (number, project) in [(501, 66), (502, 10_000)] {
        let version = json!({ "id": number.to_string(), "name": "a plan", "archived": false, "released": false, "projectId": project });
        let body = json!({ "timestamp": 1_765_441_200_120_u64, "webhookEvent": "jira:version_created", "version": version });
        ids.push(stage.post("acme", &body, &number.to_string()).await.into_iter().collect());
    }
    stage.drained(&["open-file", "vault-file"], LIMIT).await;
    let of = |file: &str| stage.ids(file).into_iter().collect::<BTreeSet<String>>();
    assert_eq!(of("open.jsonl"), ids[1], "the sink that is not cleared");
    assert_eq!(of("vault.jsonl"), &ids[0] | &ids[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comment_that_is_restricted_while_it_waits_stays_out() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    // The ready-made message waits a moment for what belongs to it.
    let rule = "[rule.talk]\nwhen = 'event.kind == \"comment.created\"'\nsend = [{ to = \"open\" }]\n";
    stage.configure(&format!("{}{}{rule}", scene.asking(), scene.workspace("open", false)));
    let _service = stage.serve().await;
    let restricted = json!({ "id": "1", "visibility": { "type": "role", "value": "Staff" } });
    scene.jira.answer(move |path, _| path.contains("/comment/").then(|| (200, None, restricted.clone())));
    let mut known = Known::default();
    for _ in 0..ACTS_MAX {
        if known.talk(false).any(|seen| seen.name == "comment_created") {
            break;
        }
        act(&stage, &scene, &mut known).await;
    }
    let seen = known.talk(false).find(|seen| seen.name == "comment_created").expect("somebody says something in public");
    let withheld = async || {
        let outcomes = stage.outcomes(&seen.key, &seen.event, "open").await;
        outcomes.into_iter().find(|(outcome, _)| outcome == "withheld" || outcome == "delivered")
    };
    let ended = until("it ends", LIMIT, withheld).await;
    assert_eq!(ended, ("withheld".to_owned(), "restricted to Staff".to_owned()));
    assert_eq!(scene.texts("#open"), Vec::<String>::new());
}
