//! A configuration with its rules compiled: what is wrong with either is told in one report.

use std::sync::Arc;

use crate::config::{Config, Draft, Problems, SinkSettings};
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
            (rule.name.clone(), RuleSettings { when: rule.when.clone(), send, enabled: rule.enabled, lookup: rule.lookup.clone() })
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
    let place = match &error.part {
        RulePart::When => rule.when_place.clone(),
        RulePart::Lookup(name) => rule.lookup_places.get(name).unwrap_or(&rule.place).clone(),
        RulePart::Send(number, member) => rule.send.get(*number).map_or(&rule.place, |send| send.place_of(member)).clone(),
    };
    problems.add(place, format!("`[rule.{:?}]`: {}", error.rule, error.message), error.hint);
}

#[cfg(test)]
mod tests {
    use super::*;

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
