//! Rules with a JQL on either kind of site: Jira's word decides, an outage is waited for, and a query that Jira does not take is told.

use std::time::Duration;

use serde_json::json;
use ticketwire::simulate::{Deed, Flavour};

use crate::stage::{Scene, Stage, Story, until};

const LIMIT: Duration = Duration::from_secs(40);

fn rule(jql: &str) -> String {
    let when = "when = 'event.kind == \"issue.updated\"'";
    format!(
        "[rule.docs]\n{when}\njql = '{jql}'\nsend = [{{ to = \"team\", template = \"{{{{ issue.key }}}} {{{{ issue.status.name }}}}\" }}]\n"
    )
}

/// What became of the latest event of an issue, by the rule.
async fn latest(stage: &Stage, key: &str, count: usize) -> Option<(String, String)> {
    let events = stage.cli_json(&["trace", key]).await;
    let events = events.as_array().filter(|events| events.len() >= count)?;
    let [delivery] = events.last()?["deliveries"].as_array()?.as_slice() else { return None };
    let text = |name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
    // What waits for Jira's word is not decided, so it has no rule yet.
    (delivery["rule"] == "docs" || delivery["outcome"] == "parked").then(|| (text("outcome"), text("reason")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_word_of_jira_decides_on_either_kind_of_site() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let (stage, scene) = (Stage::new(), Scene::of(flavour).await);
        let jql = "project = DOCS AND status = \"In Progress\"";
        stage.configure(&format!("{}{}{}", scene.asking(), scene.workspace("team", false), rule(jql)));
        let _service = stage.serve().await;
        scene.sends_to(&stage);
        let ends = async |count: usize, outcome: &str, why: &str| {
            let is_it = |(known, reason): &(String, String)| known == outcome && reason.starts_with(why);
            let ended = async || latest(&stage, "DOCS-4", count).await.filter(is_it).map(|_| ());
            until(&format!("{flavour:?}: event {count} is {outcome} {why}"), LIMIT, ended).await;
        };
        scene.simulation.perform("DOCS-4", Deed::Move("In Progress")).await;
        ends(1, "delivered", "").await;
        scene.simulation.perform("DOCS-4", Deed::Move("Done")).await;
        ends(2, "filtered", "the JQL of rule `docs` does not match").await;

        scene.jira.answer(|path, _| {
            let is_asked = path.ends_with("/search/jql") || path.ends_with("/search");
            is_asked.then(|| (503, None, json!({ "errorMessages": ["down for maintenance"] })))
        });
        scene.simulation.perform("DOCS-4", Deed::Move("In Progress")).await;
        ends(3, "parked", "Jira cannot be asked: ").await;
        scene.jira.let_through();
        ends(3, "delivered", "").await;
        assert_eq!(scene.texts("#team"), ["DOCS-4 In Progress", "DOCS-4 In Progress"], "{flavour:?}");
        assert_eq!(stage.cli_json(&["dead", "list"]).await, json!([]));
        let metrics = stage.metrics().await;
        assert!(metrics.lines().any(|line| line.contains("jira_requests_total") && line.contains("endpoint=\"jql\"")));
        let listed = stage.cli_json(&["rule", "list"]).await;
        assert_eq!(listed[0]["jql"], jql);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_jira_does_not_take_is_told_by_check_and_by_trace() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let (stage, scene) = (Stage::new(), Scene::of(flavour).await);
        let configure = |jql: &str| stage.configure(&format!("{}{}{}", scene.asking(), scene.workspace("team", false), rule(jql)));
        configure("priority >= High");
        let good = stage.cli(&["check", "--json", "--connection", "acme"]).await;
        assert!(good.out.contains("Jira takes the JQL of the rules that have one: 1"), "{good:?}");
        configure("colour = red");
        let bad = stage.cli(&["check", "--json", "--connection", "acme"]).await;
        assert!(bad.code == 1 && bad.out.contains("Jira does not take the JQL of rule `docs`"), "{bad:?}");

        let _service = stage.serve().await;
        scene.sends_to(&stage);
        scene.simulation.perform("DOCS-4", Deed::Rename("another name")).await;
        let ended = async || latest(&stage, "DOCS-4", 1).await.filter(|(outcome, _)| outcome == "filtered").map(|(_, reason)| reason);
        let shown = async || ended().await.filter(|reason| reason.contains("Field 'colour' does not exist"));
        let reason = until("it is filtered, and why", LIMIT, shown).await;
        assert!(reason.starts_with("the JQL of rule `docs` does not match: "), "{reason}");
        assert!(scene.texts("#team").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rehearsal_asks_nobody_and_says_so() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}", scene.asking(), scene.workspace("team", true), rule("project = OPS")));
    let mut story = Story::new(1, "OPS");
    std::fs::write(stage.path("recorded.jsonl"), format!("{}\n", story.renamed("better"))).expect("a file");
    let shown = stage.cli(&["rule", "test", &stage.path("recorded.jsonl").display().to_string()]).await;
    let is_told = shown.out.contains("sent") && shown.out.contains("if Jira says that the JQL of rule `docs` matches");
    assert!(shown.code == 0 && is_told, "{shown:?}");
}
