//! What rules look up: shown in the message, waited for while Jira is down, asked once, and never led astray by a ticket's text.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use ticketwire::simulate::{Deed, Flavour};

use crate::stage::{Gate, Scene, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(40);
const WATCHERS: &str = "/rest/api/2/issue/{{ issue.id }}/watchers";

/// A rule for everything, with one lookup.
fn rule(path: &str, template: &str) -> String {
    let lookup = format!("lookup = {{ w = {{ path = {path:?}, unguarded = true }} }}\n");
    format!("[rule.all]\nwhen = 'event.issue != null'\n{lookup}send = [{{ to = \"team\", template = {template:?} }}]\n")
}

/// Of one path what was asked of the gate, answered by this.
fn watch(gate: &Gate, answer: impl Fn(&str) -> Option<(u16, Value)> + Send + Sync + 'static) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    gate.answer(move |path, _| {
        seen.lock().expect("no panic").push(path.to_owned());
        answer(path).map(|(status, body)| (status, None, body))
    });
    asked
}

fn of_watchers(asked: &Mutex<Vec<String>>) -> Vec<String> {
    asked.lock().expect("no panic").iter().filter(|path| path.ends_with("/watchers")).cloned().collect()
}

fn jane() -> Value {
    json!({ "watchCount": 1, "watchers": [{ "accountId": "712020:invented-jane", "displayName": "Jane <Invented>" }] })
}

async fn told(stage: &Stage, scene: &Scene, count: usize) -> Vec<String> {
    until("it is told", LIMIT, async || (scene.texts("#team").len() >= count).then_some(())).await;
    stage.drained(&["team"], LIMIT).await;
    scene.texts("#team")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_stand_in_a_message_on_either_kind_of_site() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let (stage, scene) = (Stage::new(), Scene::of(flavour).await);
        let rule = format!(
            "[rule.moved]\nwhen = 'change.status.to == \"In Progress\"'\nlookup = {{ people = {WATCHERS:?} }}\nsend = [{{ to = \"team\", template = {:?} }}]\n",
            "{{ issue.key }}: {{ lookup.people.watchers | map(attribute='displayName') | join(', ') }} = {{ watchers | map(attribute='name') | join(', ') }}"
        );
        // Not cleared for anything: this path needs no more.
        stage.configure(&format!("{}{}{rule}", scene.asking(), scene.workspace("team", false)));
        let _service = stage.serve().await;
        scene.sends_to(&stage);
        let asked = watch(&scene.jira, |_| None);
        scene.simulation.perform("DOCS-4", Deed::Rename("not what the rule wants")).await;
        scene.simulation.perform("DOCS-4", Deed::Move("In Progress")).await;
        let told = told(&stage, &scene, 1).await;
        let (key, people) = told[0].split_once(": ").expect("a key");
        let (looked_up, on_request) = people.split_once(" = ").expect("both");
        assert!(key == "DOCS-4" && !looked_up.is_empty() && looked_up == on_request, "{flavour:?}: {told:?}");
        assert_eq!(of_watchers(&asked).len(), 1, "for the event that is told, and the two names share it: {asked:?}");
        let metrics = stage.metrics().await;
        let counted = metrics.lines().find(|line| line.contains("jira_requests_total") && line.contains("endpoint=\"lookup\""));
        assert!(counted.is_some_and(|line| !line.contains("watchers") && line.ends_with(" 1")), "{counted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_jira_is_down_the_message_waits_and_loses_nothing() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let template = "{{ issue.key }} {{ issue.labels | join(' ') }}: {{ lookup.w.watchers[0].displayName }}";
    stage.configure(&format!("{}{}{}", scene.asking(), scene.workspace("team", true), rule(WATCHERS, template)));
    let _service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    // The webhook of a comment carries no labels: the issue is read, and then the lookup finds nobody.
    let (comment, issue) = (story.commented("why?"), story.issue());
    let answers = move |is_down: bool| {
        let issue = issue.clone();
        move |path: &str| match path {
            path if path.ends_with("/watchers") && is_down => Some((503, json!({ "errorMessages": ["down for maintenance"] }))),
            path if path.ends_with("/watchers") => Some((200, jane())),
            path if path.ends_with("/bulkfetch") => Some((200, json!({ "issues": [issue], "issueErrors": [] }))),
            _ => None,
        }
    };
    watch(&scene.jira, answers(true));
    let first = stage.post("acme", &comment, "1").await;
    let waits = async || {
        let outcomes = stage.outcomes(&story.key, &first[0], "team").await;
        outcomes.iter().any(|(outcome, why)| outcome == "parked" && why.starts_with("Jira cannot be asked: ")).then_some(())
    };
    until("the first waits", LIMIT, waits).await;
    let renamed = story.renamed("later");
    let second = stage.post("acme", &renamed, "2").await;
    let waits = async || stage.outcomes(&story.key, &second[0], "team").await.iter().any(|(outcome, _)| outcome == "parked").then_some(());
    until("the second waits behind it", LIMIT, waits).await;
    assert_eq!((scene.texts("#team"), stage.cli_json(&["dead", "list"]).await), (vec![], json!([])));
    let attempts = stage.cli_json(&["trace", &story.key]).await[0]["deliveries"][0]["attempts"].clone();
    assert_eq!(attempts, 0, "an outage is not counted");

    watch(&scene.jira, answers(false));
    let line = "OPS-1 invented: Jane &lt;Invented&gt;";
    assert_eq!(told(&stage, &scene, 2).await, [line, line], "whole, escaped, both");
    assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_a_dead_letter_that_shows_no_text_of_the_ticket() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let path = "/rest/api/3/issue/{{ issue.summary }}/watchers?q={{ issue.summary }}&fixed=hidden";
    stage.configure(&format!("{}{}{}", scene.asking(), scene.workspace("team", true), rule(path, "{{ lookup.w }}")));
    let _service = stage.serve().await;
    watch(&scene.jira, |path| path.ends_with("/watchers").then(|| (400, json!({ "errorMessages": ["no such issue: private words"] }))));
    let mut story = Story::new(1, "OPS");
    story.summary = "private words".into();
    let ids = stage.post("acme", &story.created(), "1").await;
    let dead = async || stage.outcomes(&story.key, &ids[0], "team").await.into_iter().find(|(outcome, _)| outcome == "dead");
    let (_, reason) = until("it is dead", LIMIT, dead).await;
    assert_eq!(reason, "lookup `w` (`/rest/api/3/issue/{{ issue.summary }}/watchers`): Jira of connection `acme` answered 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_summary_stays_one_part_of_the_path() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let path = "/rest/api/2/issue/{{ issue.summary }}/watchers";
    stage.configure(&format!(
        "{}{}{}",
        scene.asking(),
        scene.workspace("team", true),
        rule(path, "{{ lookup.w.watchCount | default('null') }}")
    ));
    let _service = stage.serve().await;
    let asked = watch(&scene.jira, |path| path.ends_with("/watchers").then(|| (200, jane())));
    let mut story = Story::new(1, "OPS");
    let hostile = ["../../../secure/admin", "x?jql=project=SECRET&y#z", "@evil.example/", "..", "%2e%2e/%00\r\nHost: evil"];
    stage.post("acme", &story.created(), "0").await;
    for (number, summary) in hostile.into_iter().enumerate() {
        stage.post("acme", &story.renamed(summary), &format!("{}", number + 1)).await;
    }
    let told = told(&stage, &scene, 6).await;
    assert_eq!(told, ["1", "1", "1", "1", "null", "1"], "of `..` nothing is asked");
    let parts = [
        "story%201",
        "..%2F..%2F..%2Fsecure%2Fadmin",
        "x%3Fjql%3Dproject%3DSECRET%26y%23z",
        "%40evil.example%2F",
        "%252e%252e%2F%2500%0D%0AHost%3A%20evil",
    ];
    let mut asked = asked.lock().expect("no panic").clone();
    let mut expected = parts.map(|part| format!("/rest/api/2/issue/{part}/watchers"));
    asked.sort_unstable();
    expected.sort_unstable();
    assert_eq!(asked, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_about_one_issue_costs_one_call_and_a_pause_none() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!(
        "{}{}{}",
        scene.asking(),
        scene.workspace("team", true),
        rule(WATCHERS, "{{ lookup.w.watchCount }} {{ issue.summary }}")
    ));
    let _service = stage.serve().await;
    let asked = watch(&scene.jira, |path| path.ends_with("/watchers").then(|| (200, jane())));
    assert_eq!(stage.cli(&["sink", "pause", "team"]).await.code, 0);
    let mut story = Story::new(1, "OPS");
    let mut last = Vec::new();
    for number in 0..8 {
        last = stage.post("acme", &story.renamed(&format!("name {number}")), &format!("{number}")).await;
    }
    let waits = async || stage.outcomes(&story.key, &last[0], "team").await.iter().any(|(outcome, _)| outcome == "parked").then_some(());
    until("all wait", LIMIT, waits).await;
    assert_eq!(of_watchers(&asked), Vec::<String>::new(), "nothing is asked for a sink that takes nothing");
    assert_eq!(stage.cli(&["sink", "resume", "team"]).await.code, 0);
    let told = told(&stage, &scene, 8).await;
    assert_eq!(told, (0..8).map(|number| format!("1 name {number}")).collect::<Vec<_>>());
    assert_eq!(of_watchers(&asked).len(), 1, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_is_shown_where_the_guard_would_let_it_pass() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let template = "{{ issue.key }} of {{ parent.key }} {{ parent.summary }}";
    let send = |sink: &str| format!("{{ to = {sink:?}, template = {template:?} }}");
    let rule = format!("[rule.all]\nwhen = 'event.kind == \"issue.created\"'\nsend = [{}, {}]\n", send("open"), send("vault"));
    stage.configure(&format!("{}{}{}{rule}", scene.asking(), scene.workspace("open", false), scene.workspace("vault", true)));
    let _service = stage.serve().await;
    let (mut open, mut secret) = (Story::new(1, "OPS"), Story::new(2, "OPS"));
    (open.summary, secret.summary, secret.security) = ("Plan".into(), "Plot".into(), Some("Staff"));
    let mut children = [Story::new(3, "OPS"), Story::new(4, "OPS"), Story::new(5, "OPS")];
    let parents =
        [Some(&open), Some(&secret), None].map(|parent| parent.map(|story| json!({ "id": story.id.to_string(), "key": story.key })));
    let with_parent = |mut issue: Value, parent: &Option<Value>| {
        issue["fields"]["parent"] = parent.clone().unwrap_or_default();
        issue
    };
    let mut issues = vec![open.issue(), secret.issue()];
    issues.extend(children.iter().zip(&parents).map(|(child, parent)| with_parent(child.issue(), parent)));
    scene.jira.answer(move |path, asked| {
        let wanted = |issue: &&Value| asked["issueIdsOrKeys"].as_array().is_some_and(|ids| ids.contains(&issue["id"]));
        let found: Vec<&Value> = issues.iter().filter(wanted).collect();
        path.ends_with("/bulkfetch").then(|| (200, None, json!({ "issues": found, "issueErrors": [] })))
    });
    for (number, (child, parent)) in children.iter_mut().zip(&parents).enumerate() {
        let mut body = child.created();
        body["issue"] = with_parent(body["issue"].take(), parent);
        stage.post("acme", &body, &number.to_string()).await;
    }
    stage.drained(&["open", "vault"], LIMIT).await;
    let sorted = |channel| {
        let mut texts = scene.texts(channel);
        texts.sort_unstable();
        texts
    };
    assert_eq!(sorted("#open"), ["OPS-3 of OPS-1 Plan", "OPS-4 of", "OPS-5 of"]);
    assert_eq!(sorted("#vault"), ["OPS-3 of OPS-1 Plan", "OPS-4 of OPS-2 Plot", "OPS-5 of"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_leak_is_refused_at_load_with_its_line() {
    let stage = Stage::new();
    let sink = "[sink.team]\ntype = \"slack\"\ntoken = \"xoxb-1\"\nchannel = \"#all\"\n";
    let rule = "[rule.talk]\nwhen = 'true'\nsend = [{ to = \"team\", template = \"{{ lookup.talk }}\" }]\n[rule.talk.lookup]\ntalk = \"/rest/api/3/issue/{{ issue.id }}/comment\"\n";
    std::fs::write(stage.config(), format!("{}{sink}{rule}", Scene::listening("acme"))).expect("a file");
    let refused = stage.cli(&["config", "check"]).await;
    assert_eq!(refused.code, 78, "{refused:?}");
    let text = format!("{}{}", refused.out, refused.err);
    assert!(text.contains("ticketwire.toml:13: `[rule.talk]`: `lookup.talk` may show what `team` is not cleared for"), "{text}");
    assert!(text.contains("hint: clear the sink for everything, or write `talk = { path = \"...\", unguarded = true }`"), "{text}");
    let allowed = rule.replace("talk = \"/rest", "talk = { unguarded = true, path = \"/rest").replace("/comment\"", "/comment\" }");
    std::fs::write(stage.config(), format!("{}{sink}{allowed}", Scene::listening("acme"))).expect("a file");
    let taken = stage.cli(&["config", "check"]).await;
    let text = format!("{}{}", taken.out, taken.err);
    assert!(taken.code == 0 && text.contains("`lookup` finds nothing: no connection has `auth`"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_says_what_would_be_asked_and_takes_recorded_answers() {
    let stage = Stage::new();
    let sink = "[sink.team]\ntype = \"slack\"\ntoken = \"xoxb-1\"\nchannel = \"#all\"\n";
    let template = "{{ lookup.w.watchCount | default('nobody') }} {{ watchers | map(attribute='name') | join(' ') }} {{ parent.key }}";
    std::fs::write(stage.config(), format!("{}{sink}{}", Scene::listening("acme"), rule(WATCHERS, template))).expect("a file");
    let mut story = Story::new(1, "OPS");
    let (plain, mut given) = (story.created(), story.renamed("better"));
    given["lookup"] = json!({ "w": jane() });
    given["watchers"] = json!([{ "id": "5b10", "name": "Jane", "email": null, "kind": "person" }]);
    given["parent"] = json!({ "id": "1", "key": "OPS-9" });
    std::fs::write(stage.path("recorded.jsonl"), format!("{plain}\n{given}\n")).expect("a file");
    let recorded = stage.path("recorded.jsonl").display().to_string();
    let shown = stage.cli(&["rule", "test", &recorded]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    insta::assert_snapshot!(shown.out, @r"
    OPS-1  issue.created  acme:issue:100001:created
        sent      team #all by rule `all`
                  ? lookup.w: GET /rest/api/2/issue/100001/watchers
                  ? watchers: GET /rest/api/2/issue/100001/watchers
                  | nobody
    OPS-1  issue.updated  acme:issue:100001:change:1000010002
        sent      team #all by rule `all`
                  ? lookup.w: GET /rest/api/2/issue/100001/watchers
                  ? watchers: GET /rest/api/2/issue/100001/watchers
                  | 1 Jane OPS-9
    ");
    let json = stage.cli_json(&["rule", "test", &recorded]).await;
    assert_eq!(json[1]["deliveries"][0]["asks"][0], "lookup.w: GET /rest/api/2/issue/100001/watchers");
}
