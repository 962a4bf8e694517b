//! A configuration with its rules compiled: what is wrong with either is told in one report.

use std::sync::Arc;

use crate::config::{Config, Draft, Problems, Rule, Send, SinkSettings};
use crate::deliver::{Names, RuleError, RulePart, RuleSettings, Rules, SinkTraits};
use crate::render::Dialect;
use crate::setting::SinkName;

/// Ready to be started.
pub struct Prepared {
    pub config: Config,
    pub(crate) rules: Arc<Rules>,
    pub(crate) names: Arc<Names>,
}

/// Compiles the rules of a draft; `config check` and `serve` say the same because both come through here.
pub fn prepare(mut draft: Draft) -> Result<Prepared, Problems> {
    let names = Names::of_events();
    let written: Vec<(String, RuleSettings)> = draft
        .config
        .rules
        .iter()
        .map(|rule| {
            let send = rule.send.iter().map(|send| send.settings.clone()).collect();
            let (when, jql, lookup) = (rule.when.clone(), rule.jql.clone(), rule.lookup.clone());
            (rule.name.clone(), RuleSettings { when, jql, send, enabled: rule.enabled, lookup })
        })
        .collect();
    let config = &draft.config;
    let rules = match Rules::compile(&written, &|sink| traits_of(config, sink), &names) {
        Ok(rules) => rules,
        Err(errors) => {
            for error in errors {
                add(&draft.config, error, &mut draft.problems);
            }
            Rules::default()
        }
    };
    let config = draft.finish()?;
    Ok(Prepared { config, rules: Arc::new(rules), names: Arc::new(names) })
}

fn traits_of(config: &Config, name: &SinkName) -> Option<SinkTraits> {
    let sink = config.sinks.iter().find(|sink| sink.name == *name)?;
    let is_cleared = sink.clearance.clears_everything();
    Some(match &sink.settings {
        SinkSettings::Slack(slack) if slack.webhook_url.is_some() => {
            SinkTraits { dialect: Some(Dialect::SlackMrkdwn), target: Some(name.as_str().into()), has_threads: false, is_cleared }
        }
        SinkSettings::Slack(slack) => SinkTraits {
            dialect: Some(Dialect::SlackMrkdwn),
            target: slack.channel.as_deref().map(Arc::from),
            has_threads: true,
            is_cleared,
        },
        SinkSettings::Tickets(_)
        | SinkSettings::File(_)
        | SinkSettings::Stdout(_)
        | SinkSettings::Http(_)
        | SinkSettings::Amqp(_)
        | SinkSettings::Kafka(_) => SinkTraits { dialect: None, target: None, has_threads: false, is_cleared },
    })
}

fn add(config: &Config, error: RuleError, problems: &mut Problems) {
    let Some(rule) = config.rules.iter().find(|rule| rule.name == error.rule) else { return };
    if follows(config, rule, &error.part) {
        return;
    }
    let place = match &error.part {
        RulePart::When => rule.when_place.clone(),
        RulePart::Jql => rule.jql_place.clone(),
        RulePart::Lookup(name) => rule.lookup_places.get(name).unwrap_or(&rule.place).clone(),
        RulePart::Send(number, member) => rule.send.get(*number).map_or(&rule.place, |send| send.place_of(member)).clone(),
    };
    problems.add(place, format!("{}: {}", rule.label(), error.message), error.hint);
}

/// Something is missing because what was written for it is wrong, which was told.
fn follows(config: &Config, rule: &Rule, part: &RulePart) -> bool {
    let is_sink_cut = |send: &Send| config.sinks.iter().any(|sink| sink.name == send.settings.to && !sink.is_whole);
    match part {
        RulePart::When => !rule.is_whole && rule.when.is_none() && rule.jql.is_none(),
        // There is no channel.
        RulePart::Send(number, "to") => !rule.is_whole || rule.send.get(*number).is_some_and(is_sink_cut),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jql_that_cannot_be_asked_is_told_where_it_stands() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        let told = |auth: &str| {
            let text = format!(
                r##"[connection.acme]
url = "https://acme.example"
webhook = {{ token = "hush" }}
{auth}
[sink.team]
type = "slack"
token = "x"
channel = "#a"
[sink.events]
type = "file"
path = "events"
[rule.good]
jql = "project = DOCS"
send = [{{ to = "team" }}]
[rule.open]
when = "true"
jql = "project = DOCS) OR (project = SECRET"
send = [{{ to = "team" }}]
[rule.ordered]
jql = 'project = DOCS ORDER BY key'
send = [{{ to = "team" }}]
[rule.data]
jql = "project = DOCS"
send = [{{ to = "team" }}, {{ to = "events" }}]
[rule.none]
send = [{{ to = "team" }}]
"##
            );
            std::fs::write(&path, text).expect("a file");
            let problems = prepare(Config::draft(Some(&path), [])).err().expect("mistakes");
            let line = |finding: &crate::config::Finding| {
                assert!(!finding.hint.is_empty(), "{finding:?}");
                (finding.place.line, finding.message.clone())
            };
            problems.findings().iter().map(line).collect::<Vec<_>>()
        };
        let lines = |told: &[(usize, String)]| told.iter().map(|(line, _)| *line).collect::<Vec<_>>();
        let asking = told("auth = { type = \"pat\", token = \"x\" }");
        assert_eq!(lines(&asking), [17, 20, 23, 25], "{asking:?}");
        for ((_, message), words) in
            asking.iter().zip(["brackets", "ORDER BY", "`events` takes events as they come", "neither `when` nor `jql`"])
        {
            assert!(message.contains(words), "{message}");
        }
        let blind = told("");
        let unasked = blind.iter().filter(|(_, message)| message.contains("no connection has `auth`"));
        assert_eq!(unasked.map(|(line, _)| *line).collect::<Vec<_>>(), [13, 17, 20, 23], "{blind:?}");
    }

    #[test]
    fn what_is_missing_because_of_a_mistake_is_no_other_mistake() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        let text = r##"[sink.team]
type = "slack"
token = { evn = "TOKEN" }
channel = "#a"
[sink.other]
type = "slack"
token = "x"
chanel = "#a"
[rule.first]
when = "true"
send = [{ to = "team" }, { to = "other" }]
[rule."the second"]
whne = "true"
send = [{ to = "team" }]
[rule.third]
when = "isue.key == ''"
send = [{ to = "other", chanel = "#b" }]
"##;
        std::fs::write(&path, text).expect("a file");
        let problems = prepare(Config::draft(Some(&path), [])).err().expect("mistakes");
        let lines: Vec<usize> = problems.findings().iter().map(|finding| finding.place.line).collect();
        assert_eq!(lines, [3, 8, 13, 16, 17], "{problems}");
        let told = problems.to_string();
        assert!(told.contains("`[rule.third]`: `when` names `isue`") && told.contains("of `[rule.\"the second\"]`"), "{told}");
    }

    #[test]
    fn what_can_be_no_channel_is_told_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        let told = |sink: &str, rule: &str| {
            let text = format!(
                "[sink.team]\ntype = \"slack\"\ntoken = \"x\"\nchannel = {sink:?}\n[rule.all]\nwhen = \"true\"\n\
                send = [{{ to = \"team\" }},\n{{ to = \"team\", channel = {rule:?} }}]\n"
            );
            std::fs::write(&path, text).expect("a file");
            let problems = prepare(Config::draft(Some(&path), [])).err();
            problems.iter().flat_map(Problems::findings).map(|finding| finding.place.line).collect::<Vec<_>>()
        };
        for good in ["#docs", "docs", "#new-tickets_2", "C0123ABCD", "U0123ABCD", "#bücher", "@assignee"] {
            assert_eq!(told("#a", good), [0_usize; 0], "{good}");
        }
        for wrong in ["", "#", "new tickets!", "#new tickets", "#a.b", "#a,#b", &"x".repeat(81)] {
            assert_eq!(told("#a", wrong), [8], "{wrong}");
            assert_eq!(told(wrong, "#a"), [4], "{wrong}");
        }
    }

    #[test]
    fn every_mistake_of_a_send_is_told_where_it_stands() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        let text = r##"[sink.team]
type = "slack"
token = "x"
[sink.hook]
type = "slack"
webhook_url = "https://hooks.example/x"
[sink.events]
type = "file"
path = "events"
[rule.all]
when = "true"
send = [
  { to = "team", template = "{{ isue.key }}",
    channel = "@nobody",
    blocks = "{",
    attachments = 7,
    settle = "2m" },
  { to = "hook",
    channel = "#a",
    thread = "issue" },
  { to = "events",
    template = "x",
    blocks = [] },
]
"##;
        std::fs::write(&path, text).expect("a file");
        let problems = prepare(Config::draft(Some(&path), [])).err().expect("mistakes");
        let lines: Vec<usize> = problems.findings().iter().map(|finding| finding.place.line).collect();
        assert_eq!(lines, [13, 14, 15, 16, 17, 19, 20, 22, 23], "{problems}");
    }
}
