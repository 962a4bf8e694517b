//! Rules as tested code: recorded events against rules, muting a rule, and who keeps which file.

use serde_json::json;

use crate::stage::{Scene, Stage, Story, said};

const RULES: &str = r##"owner = "docs team"
[rule."on hold"]
when = 'event.kind == "issue.updated" && change.status.to == "On Hold"'
send = [{ to = "team", channel = "#docs", template = "*{{ issue.key }}* {{ issue.summary }} is on hold" }]
[rule.rest]
when = 'true'
send = [{ to = "team", settle = "2s" }]
"##;

fn configuration(stage: &Stage) -> String {
    std::fs::create_dir_all(stage.path("rules.d")).expect("a folder");
    std::fs::write(stage.path("rules.d/docs.toml"), RULES).expect("a file");
    let sink = "[sink.team]\ntype = \"slack\"\ntoken = { env = \"NO_SUCH_TOKEN\" }\nchannel = \"#all\"\n\
        clearance = { security_levels = [\"*\"], restricted_comments = true, internal_comments = true }\n";
    format!("include = [\"rules.d/*.toml\"]\n{}{sink}", Scene::listening("acme"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_events_show_what_would_be_sent() {
    let stage = Stage::new();
    std::fs::write(stage.config(), configuration(&stage)).expect("a file");
    let mut story = Story::new(1, "OPS");
    let item = json!({ "field": "status", "fieldId": "status", "fieldtype": "jira", "from": "1", "fromString": "To Do", "to": "3", "toString": "On Hold" });
    let bodies = [story.created(), story.updated("issue_generic", &item), story.renamed("better"), story.commented("why?")];
    let lines: Vec<String> = bodies.iter().map(ToString::to_string).collect();
    std::fs::write(stage.path("recorded.jsonl"), lines.join("\n")).expect("a file");
    let recorded = stage.path("recorded.jsonl").display().to_string();
    let shown = stage.cli(&["rule", "test", &recorded]).await;
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    insta::assert_snapshot!(shown.out, @r"
    OPS-1  issue.created  acme:issue:100001:created
        sent      team #all by rule `rest`
                  | *Jane Invented* created Task <https://acme.example/browse/OPS-1|OPS-1 story 1>
                  | Priority: *Medium*
                  | > An invented story
                  | • Status: To Do → *On Hold*
    OPS-1  issue.updated  acme:issue:100001:change:1000010002
        sent      team #docs by rule `on hold`
                  | *OPS-1* story 1 is on hold
        folded    team #all by rule `rest` (folded into acme:issue:100001:created)
    OPS-1  issue.updated  acme:issue:100001:change:1000010003
        sent      team #all by rule `rest`
                  | *Jane Invented* updated <https://acme.example/browse/OPS-1|OPS-1 better> and commented
                  | • Summary: story 1 → *better*
                  | > why?
    OPS-1  comment.created  acme:comment:1000010004:created
        folded    team #all by rule `rest` (folded into acme:issue:100001:change:1000010003)
    ");
    let json = stage.cli_json(&["rule", "test", &recorded]).await;
    assert_eq!(json[1]["deliveries"][0]["message"]["text"], "*OPS-1* story 1 is on hold");
    let missing = stage.cli(&["rule", "test", "nowhere.jsonl"]).await;
    assert!(missing.code == 1 && missing.err.contains("`nowhere.jsonl` cannot be used"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_sink_wrote_is_recorded_too() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!(
        "{}{}{}[rule.all]\nwhen = 'true'\nsend = [{{ to = \"team\", template = \"{{{{ event.kind }}}}\" }}]\n",
        Scene::listening("acme"),
        super::DATA_SINKS,
        scene.workspace("team", true)
    ));
    let service = stage.serve().await;
    let mut story = Story::new(1, "OPS");
    stage.post("acme", &story.created(), "1").await;
    stage.post("acme", &story.commented("hello"), "2").await;
    stage.drained(&["events", "team"], std::time::Duration::from_secs(30)).await;
    let listed = stage.cli(&["rule", "disable", "all"]).await;
    assert_eq!((listed.code, listed.out.as_str()), (0, "rule `all` is disabled\n"));
    let ids = stage.post("acme", &story.renamed("muted"), "3").await;
    stage.drained(&["events", "team"], std::time::Duration::from_secs(30)).await;
    assert_eq!(stage.outcomes(&story.key, &ids[0], "team").await, [("filtered".to_owned(), "rule `all` is muted".to_owned())]);
    let (_, code) = service.terminate().await;
    assert_eq!(code, 0);
    let _service = stage.serve().await;
    let rules = stage.cli_json(&["rule", "list"]).await;
    assert_eq!((&rules[0]["name"], &rules[0]["enabled"]), (&json!("all"), &json!(false)), "it survives a restart");
    assert_eq!(stage.cli(&["rule", "enable", "all"]).await.code, 0);
    assert_eq!(stage.cli(&["rule", "enable", "nobody's"]).await.code, 1);
    let ids = stage.post("acme", &story.renamed("heard"), "4").await;
    stage.drained(&["events", "team"], std::time::Duration::from_secs(30)).await;
    assert_eq!(stage.outcomes(&story.key, &ids[0], "team").await[0].0, "delivered");
    let events = stage.path(super::EVENTS).display().to_string();
    let rehearsed = stage.cli_json(&["rule", "test", &events]).await;
    let told: Vec<&str> =
        rehearsed.as_array().into_iter().flatten().filter_map(|event| event["deliveries"][0]["message"]["text"].as_str()).collect();
    assert_eq!(told, ["issue.created", "comment.created", "issue.updated", "issue.updated"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_names_who_keeps_the_file() {
    let stage = Stage::new();
    let configuration = configuration(&stage);
    std::fs::write(stage.path("rules.d/docs.toml"), RULES.replace("issue.summary", "issue.sumary")).expect("a file");
    std::fs::write(stage.config(), configuration).expect("a file");
    let mut command = stage.command(&["config", "check", "-c", "ticketwire.toml"]);
    command.env("NO_SUCH_TOKEN", "xoxb-1");
    let wrong = said(command).await;
    assert_eq!(wrong.code, 78);
    assert!(wrong.err.contains("docs.toml:4 (docs team): ") && wrong.err.contains("issue.sumary"), "{wrong:?}");
}

#[test]
fn every_recipe_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).expect("the guide");
    let parts = guide.split("```toml\n").skip(1).filter_map(|part| part.split_once("\n```")).map(|(part, _)| part);
    let recipes: Vec<&str> = parts.filter(|part| part.contains("[rule.") || part.contains("[sink.")).collect();
    assert!(recipes.len() >= 10, "{}", recipes.len());
    let auth = "auth = { type = \"pat\", token = \"x\" }\n";
    let base = format!(
        "{}{auth}[sink.team]\ntype = \"slack\"\ntoken = \"xoxb-1\"\nchannel = \"#all\"\n{}",
        Scene::listening("acme"),
        super::DATA_SINKS
    );
    for recipe in recipes {
        let file = folder.path().join("ticketwire.toml");
        std::fs::write(&file, format!("{base}{recipe}\n")).expect("a file");
        let draft = ticketwire::config::Config::draft_without_secrets(Some(&file), Vec::new());
        if let Err(problems) = ticketwire::app::prepare(draft) {
            panic!("{recipe}\n{problems}");
        }
    }
}

#[test]
fn what_cannot_be_sent_so_is_told_at_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let hook = "[sink.hook]\ntype = \"slack\"\nwebhook_url = \"https://hooks.example/x\"\n[sink.team]\ntype = \"slack\"\ntoken = \"x\"\nchannel = \"#a\"\n";
    let check = |when: &str, send: &str, words: &str| {
        let file = folder.path().join("ticketwire.toml");
        let rule = format!("[rule.r]\nwhen = '{when}'\nsend = [{send}]\n");
        std::fs::write(&file, format!("{}{hook}{}{rule}", Scene::listening("acme"), super::DATA_SINKS)).expect("a file");
        let draft = ticketwire::config::Config::draft_without_secrets(Some(&file), Vec::new());
        let told = ticketwire::app::prepare(draft).err().map(|problems| problems.to_string()).unwrap_or_default();
        assert!(told.contains(words) && told.contains("ticketwire.toml:"), "{send}: {told}");
    };
    check("true", r#"{ to = "hook", thread = "issue" }"#, "`hook` has no threads");
    check("true", r##"{ to = "hook", channel = "@assignee" }"##, "cannot write to a person");
    check("true", r##"{ to = "hook", channel = "#other" }"##, "a channel of its own");
    check("true", r#"{ to = "team", channel = "@boss" }"#, "nobody called `@boss`");
    check("true", r#"{ to = "team", settle = "2h" }"#, "longer than a minute");
    check("true", r#"{ to = "team", thread = "channel" }"#, "thread");
    check("true", r#"{ to = "events", settle = "2s" }"#, "no use for `settle`");
    check("true", r#"{ to = "team", blocks = "{ nope" }"#, "`blocks` is no JSON");
    check("true", r#"{ to = "team", attachments = "[{ \"text\": \"{{ isue.key }}\" }]" }"#, "unknown name `isue.key`");
    check(r#"field("Story Points") > 3"#, r#"{ to = "events" }"#, "not known there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_goes_by_the_name_that_jira_shows() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    let rule = r#"[rule.estimates]
when = 'event.kind == "issue.created" && (field("Story point estimate") == null || field("Story point estimate") >= 0)'
send = [{ to = "team", template = "{{ field('Summary') }} = {{ issue.summary }}" }]
"#;
    stage.configure(&format!("{}{}{}{rule}", scene.asking(), super::DATA_SINKS, scene.workspace("team", true)));
    let _service = stage.serve().await;
    let mut created = 0;
    for number in 0..60 {
        for body in scene.simulation.act().await.bodies {
            if body.event == "jira:issue_created" {
                created += 1;
                stage.post("acme", &body.json, &format!("act {number}")).await;
            }
        }
    }
    assert!(created > 0, "nobody created an issue in sixty acts");
    stage.drained(&["events", "team"], std::time::Duration::from_secs(30)).await;
    let texts = scene.texts("#team");
    assert_eq!(texts.len(), created, "{texts:?}");
    let same = |text: &String| text.split_once(" = ").is_some_and(|(field, member)| field == member && !field.is_empty());
    assert!(texts.iter().all(same), "{texts:?}");
    let mut asked = 0;
    for line in stage.metrics().await.lines().filter(|line| line.starts_with("ticketwire_jira_requests_total") && line.contains("field")) {
        asked += line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    }
    assert_eq!(asked, 1, "the names are asked once");
    eprintln!("fields: {created} issues by a field's name, the names asked once");
}
