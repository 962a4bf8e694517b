//! `rule list|enable|disable|test`.

use std::path::PathBuf;

use serde_json::json;

use super::admin::Admin;
use super::arguments::{Options, RuleCommand};
use super::output::Output;
use super::{Ended, Failure};
use crate::api::RuleView;
use crate::app;
use crate::config::{self, Config};
use crate::deliver::{Rehearsed, RehearsedDelivery};

pub(crate) async fn run(what: RuleCommand, options: &Options, mut output: Output) -> Ended {
    let (name, order) = match what {
        RuleCommand::List => return list(options, output).await,
        RuleCommand::Test { files, connection } => return test(&files, connection.as_deref(), options, output),
        RuleCommand::Enable { name } => (name, "enable"),
        RuleCommand::Disable { name } => (name, "disable"),
    };
    let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
    let rule: RuleView = Admin::find(options)?.post(&format!("rules/{encoded}/{order}"), &json!({})).await?;
    if output.is_json {
        return Ok(output.json(&rule)?);
    }
    Ok(output.line(&format!("rule `{}` is {}", rule.name, state(&rule)))?)
}

fn state(rule: &RuleView) -> &'static str {
    if rule.enabled { "enabled" } else { "disabled" }
}

async fn list(options: &Options, mut output: Output) -> Ended {
    let rules: Vec<RuleView> = Admin::find(options)?.get("rules").await?;
    if output.is_json {
        return Ok(output.json(&rules)?);
    }
    let sinks = |rule: &RuleView| rule.sinks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let row = |rule: &RuleView| {
        let when = rule.jql.as_ref().map_or_else(|| rule.when.clone(), |jql| format!("{} and JQL: {jql}", rule.when));
        vec![rule.name.clone(), state(rule).to_owned(), sinks(rule), rule.owner.clone().unwrap_or_default(), when]
    };
    Ok(output.table(&["NAME", "STATE", "SINKS", "OWNER", "WHEN"], rules.iter().map(row).collect(), "no rules are configured")?)
}

/// Without a service, and without the secrets that only a service needs.
fn test(files: &[PathBuf], connection: Option<&str>, options: &Options, mut output: Output) -> Ended {
    if let Some(hint) = options.no_file() {
        output.error(&format!("{hint}\nwithout one there are no rules and no sinks but what the environment sets"));
    }
    let draft = Config::draft_without_secrets(options.config.as_deref(), config::environment());
    let prepared = app::prepare(draft).map_err(|problems| Failure::Configuration(problems.to_string()))?;
    let mut events = Vec::new();
    for file in files {
        let wrong = |err: anyhow::Error| Failure::Other(err.context(format!("`{}` cannot be used", file.display())));
        let text = std::fs::read_to_string(file).map_err(|err| wrong(err.into()))?;
        events.extend(app::recorded(&text, &prepared.config.connections, connection).map_err(wrong)?);
    }
    let rehearsed = app::rehearsal(&prepared, &events);
    if output.is_json {
        // Indented: it is kept in a repository, where people read what changed.
        return Ok(output.line(&format!("{:#}", json!(rehearsed)))?);
    }
    rehearsed.iter().try_for_each(|event| show(event, &mut output))
}

fn show(event: &Rehearsed, output: &mut Output) -> Ended {
    output.line(&format!("{}  {}  {}", event.subject, event.kind, event.event_id))?;
    for delivery in &event.deliveries {
        output.line(&told(delivery))?;
        for ask in &delivery.asks {
            output.line(&format!("              ? {ask}"))?;
        }
        let text = delivery.message.iter().flat_map(|message| message.text.lines());
        for line in text {
            output.line(format!("              | {line}").trim_end())?;
        }
    }
    Ok(())
}

fn told(delivery: &RehearsedDelivery) -> String {
    let target = if delivery.target == delivery.sink.as_str() { String::new() } else { format!(" {}", delivery.target) };
    let rule = delivery.rule.as_ref().map(|rule| format!(" by rule `{rule}`")).unwrap_or_default();
    let reason = delivery.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("    {:<9} {}{target}{rule}{reason}", delivery.outcome, delivery.sink)
}
