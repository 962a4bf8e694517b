//! What people read and scripts rely on: help, reports, tables and exit codes.

use std::time::Duration;

use serde_json::json;
use ticketwire::clock::Timestamp;

use crate::stage::{Scene, Stage, Story, said};

const LIMIT: Duration = Duration::from_secs(30);
const RULES: &str = r##"
[rule."new tickets"]
when = 'event.kind == "issue.created"'
send = [{ to = "team", template = "{{ issue.key }}" }]
[rule."nowhere"]
when = 'event.kind == "issue.updated"'
send = [{ to = "team", channel = "#nowhere", template = "{{ issue.key }}" }]
"##;

/// Times, generated ids and the folder of the stage are another each time; what stays keeps its place.
fn redacted(text: &str, stage: &Stage) -> String {
    let folder = stage.path("");
    let text = text.replace(&folder.display().to_string(), "<folder>/");
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ':']);
        let is_id = bare.len() == 36 && bare.chars().filter(|c| *c == '-').count() == 4;
        let is_time = bare.ends_with('Z') && Timestamp::parse(bare).is_some();
        match (is_id, is_time) {
            (true, _) => word.replace(bare, "<id>"),
            (_, true) => word.replace(bare, "<time>"),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The columns of a table are as wide as what stands in them: only the words are compared.
fn squeezed(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_tells_what_there_is() {
    let stage = Stage::new();
    let help = said(stage.command(&["--help"])).await;
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.out, @r"
    Receives Jira webhooks, stores them durably and delivers them in order to Slack, SQL and others

    Usage: ticketwire [OPTIONS] <COMMAND>

    Commands:
      demo      Run everything against a simulated Jira and Slack; needs no file and no network
      serve     Run the service
      simulate  Run only the simulated Jira and Slack, without the service
      check     Diagnose configuration, Jira, queue, store and sinks [alias: doctor]
      config    Check a configuration, or print an example or its JSON Schema
      event     List, show and follow the events in the archive
      trace     Show every event of an issue and what became of it at each sink
      replay    Deliver archived events that a sink did not get, by the rules and the guard of today
      dead      List, show, retry or drop dead letters, which waiting will not deliver [alias: dlq]
      sink      List, pause and resume sinks, and inspect their shadow mode
      rule      List, enable, disable and test rules
      queue     Inspect the event queue
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
      -c, --config <FILE>  The configuration file; without it the defaults, with everything kept in
                           `./ticketwire-data`
          --json           Print answers as JSON
          --log <LEVEL>    Log level: error, warn, info, debug, or a filter such as
                           `info,ticketwire::deliver=debug`

    Options of commands about a running service:
          --admin <URL>        URL of the admin listener of a running service, as in
                               `http://127.0.0.1:9080`; by default taken from the configuration
          --token-file <FILE>  A file that holds the admin token; with `--admin` the variable
                               `TICKETWIRE_ADMIN_TOKEN` may hold it instead

    Exit codes: 0 ok, 1 the answer is no, 2 usage, 69 service not reachable, 78 configuration
    ");
}

#[test]
fn who_reads_no_more_is_told_nothing() {
    let stage = Stage::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = stage.command(&["config", "schema"]).stdout(writer).output().expect("it runs");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_not_given_is_told_of() {
    let stage = Stage::new();
    let check = said(stage.command(&["config", "check"])).await;
    let told = "no configuration file was given: name one with `-c FILE`\nthe defaults, with what the environment sets, are good\n";
    assert!(check.code == 0 && check.out.ends_with(told), "{check:?}");
    stage.configure(&Scene::listening("acme"));
    let check = said(stage.command(&["config", "check"])).await;
    assert!(check.out.contains("`./ticketwire.toml` is not read without `-c ticketwire.toml`"), "{check:?}");
    assert_eq!(stage.cli(&["config", "check"]).await.out.lines().last(), Some("the configuration is good"));
    std::fs::write(stage.path("body.json"), Story::new(1, "OPS").created().to_string()).expect("a file");
    let test = said(stage.command(&["rule", "test", "body.json"])).await;
    assert!(test.err.contains("no configuration file was given"), "{test:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_is_reported_whole() {
    let stage = Stage::new();
    let text = "data_dir = \"data\"\n[receiver]\nlistn = \"127.0.0.1:0\"\n[connection.acme]\nurl = \"https://acme.example\"\n\
                [sink.team]\ntype = \"slak\"\n[rule.all]\nwhen = 'event.knd == \"issue.created\"'\nsend = [{ to = \"events\" }]\n";
    std::fs::write(stage.config(), text).expect("a file");
    let check = stage.cli(&["config", "check"]).await;
    assert_eq!((check.code, check.out.as_str()), (78, ""));
    insta::assert_snapshot!(redacted(&check.err, &stage), @r#"
    <folder>/ticketwire.toml:3: `listn` is no member of `[receiver]`
      hint: did you mean `listen`?
    <folder>/ticketwire.toml:4: `[connection.acme]` has no proof of the sender: neither `webhook.secrets` nor `webhook.token` nor `webhook.basic`
      hint: add `webhook = { secrets = [{ env = "HOOK_SECRET" }] }`, or `webhook = { proof = "none" }` to take what comes
    <folder>/ticketwire.toml:7: `type` of `[sink.team]`: there is no sink of type `slak`
      hint: did you mean `slack`?
    <folder>/ticketwire.toml:9: `[rule.all]`: `when` names `event.knd`, which no event has
      hint: did you mean `event.kind`?
    <folder>/ticketwire.toml:10: `[rule.all]` sends to `events`, and there is no such sink
      hint: there are `team`
    the configuration has 5 problems
    "#);
    let config = stage.config().display().to_string();
    let serve = said(stage.command(&["serve", "-c", &config])).await;
    assert_eq!((serve.code, redacted(&serve.err, &stage)), (78, redacted(&check.err, &stage)), "`serve` says the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_speak_of_a_running_service() {
    let (stage, scene) = (Stage::new(), Scene::set().await);
    stage.configure(&format!("{}{}{}{RULES}", Scene::listening("acme"), super::DATA_SINKS, scene.workspace("team", true)));
    assert_eq!(stage.cli(&["sink", "list"]).await.code, 69, "nobody is there yet");
    scene
        .slack
        .answer(|_, body| (body["channel"] == "#nowhere").then(|| (200, None, json!({ "ok": false, "error": "channel_not_found" }))));
    let _service = stage.serve().await;
    let mut story = Story::new(41, "OPS");
    stage.post("acme", &story.created(), "1").await;
    stage.post("acme", &story.renamed("a better name"), "2").await;
    stage.drained(&["events", "tickets", "team", "_archive"], LIMIT).await;

    let id = stage.cli_json(&["dead", "list"]).await[0]["id"].as_str().expect("an id").to_owned();
    let trace = stage.cli(&["trace", "ops-41"]).await;
    assert_eq!(trace.code, 0, "{trace:?}");
    insta::assert_snapshot!(redacted(&trace.out.replace(&id, "<id>"), &stage), @r"
    <time>  issue.created  acme:issue:100041:created
        delivered events at <time>
        delivered tickets at <time>
        delivered team #team by rule `new tickets` at <time>
    <time>  issue.updated  acme:issue:100041:change:1000410002
        delivered events at <time>
        delivered tickets at <time>
        dead      team #nowhere by rule `nowhere` at <time> (Slack answered `channel_not_found`: there is no such channel, or the bot may not see it) (dead letter <id>)
    ");
    let dead = stage.cli(&["dead", "list"]).await;
    insta::assert_snapshot!(squeezed(&redacted(&dead.out.replace(&id, "<id>"), &stage)), @r"
    ID SINK TARGET ISSUE EVENT TRIES LAST REASON
    <id> team #nowhere OPS-41 acme:issue:100041:change:1000410002 1 <time> Slack answered `channel_not_found`: there is no such channel, or the bot may not see it
    ");
    let sinks = stage.cli(&["sink", "list"]).await;
    insta::assert_snapshot!(sinks.out.trim_end(), @r"
    NAME     TYPE     STATE    WAITING  DEAD  REASON
    events   file     running  0        0
    tickets  tickets  running  0        0
    team     slack    running  0        1
    ");
    let paused = stage.cli(&["sink", "pause", "events", "--reason", "the disk is replaced"]).await;
    assert_eq!((paused.code, paused.out.trim()), (0, "sink `events` is paused"));
    let sinks = stage.cli(&["sink", "list"]).await;
    assert!(
        sinks.out.lines().any(|line| line.contains("events") && line.contains("paused") && line.ends_with("the disk is replaced")),
        "{sinks:?}"
    );
    assert_eq!(stage.cli(&["sink", "pause", "events"]).await.code, 0);
    let sinks = stage.cli(&["sink", "list"]).await;
    assert!(sinks.out.contains("the disk is replaced"), "a pause without a reason leaves the one that was given: {sinks:?}");
    let queue = stage.cli(&["queue", "status"]).await;
    insta::assert_snapshot!(queue.out.trim_end(), @"nothing waits");

    let nothing = stage.cli(&["dead", "retry"]).await;
    assert!(nothing.err.contains("`--all`") && nothing.err.contains("`--sink`"), "{nothing:?}");
    let unknown = stage.cli(&["trace", "OPS-999", "--json"]).await;
    assert_eq!((unknown.code, unknown.out.trim()), (1, "[]"));
    for (arguments, code) in [
        (&["dead", "list"][..], 0),
        (&["queue", "status"], 0),
        (&["config", "check"], 0),
        (&["sink", "pause", "nobody"], 1),
        (&["sink"], 2),
        (&["dead", "retry"], 2),
        (&["telegraph"], 2),
        (&["trace", "OPS-41", "--admin", "http://127.0.0.1:1", "--token-file", "missing"], 2),
        (&["trace", "OPS-41", "--admin", "http://127.0.0.1:1"], 2),
    ] {
        let said = stage.cli(arguments).await;
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    }
    std::fs::write(stage.path("token"), "admin").expect("a file");
    let nobody = stage.cli(&["queue", "status", "--admin", "http://127.0.0.1:1", "--token-file", "token"]).await;
    assert_eq!(nobody.code, 69, "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_no_sink_owns_are_given_up_by_order() {
    let stage = Stage::new();
    let late = "[sink.late]\ntype = \"http\"\nurl = \"http://127.0.0.1:9/\"\nallow_private = true\n";
    stage.configure(&format!("{}{}{late}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    assert_eq!(stage.cli_json(&["queue", "prune"]).await, json!([]));
    service.terminate().await;

    stage.configure(&format!("{}{}", Scene::listening("acme"), super::DATA_SINKS));
    let service = stage.serve().await;
    stage.post("acme", &Story::new(1, "OPS").created(), "1").await;
    let orphan = json!([{ "sink": "late", "waiting": 1 }]);
    assert_eq!(stage.cli_json(&["queue", "prune", "--dry-run"]).await, orphan);
    let told = stage.cli(&["queue", "prune", "--dry-run"]).await;
    assert_eq!(squeezed(&told.out), "SINK WAITING\nlate 1 would be given up");
    assert_eq!(stage.cli_json(&["queue", "prune"]).await, orphan);
    assert_eq!(stage.cli_json(&["queue", "prune"]).await, json!([]));
    let rows = stage.cli_json(&["queue", "status"]).await;
    assert!(rows.as_array().expect("rows").iter().all(|row| row["sink"] != "late"), "{rows}");
    service.terminate().await;
}
