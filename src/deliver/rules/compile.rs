//! Compiling all rules together, on a thread with a stack that CEL's parser cannot exhaust.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::{Expression, MessageTemplates, Rule, RuleError, RulePart, Rules, Send, SinkTraits};
use crate::deliver::extras::ExtrasSpec;
use crate::deliver::fields;
use crate::deliver::jql;
use crate::deliver::lookup::{self, Lookup};
use crate::deliver::names::Names;
use crate::deliver::settings::{RuleSettings, SendSettings};
use crate::render::{Dialect, JsonTemplate, Template};
use crate::setting::SinkName;
use crate::sink::slack;

/// Enough for the deepest expression that the limits admit, in a debug build.
const STACK_BYTES: usize = 32 << 20;

/// How long the ready-made message waits for what belongs to it: a change, its comment and the twin of either come within a second or two.
const SETTLE: Duration = Duration::from_secs(2);
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Whether a template may name this member path.
type Known<'a> = &'a dyn Fn(&[&str]) -> bool;
type Sinks<'a> = &'a (dyn Fn(&SinkName) -> Option<SinkTraits> + Sync);

pub(super) fn all(rules: &[(String, RuleSettings)], sinks: Sinks<'_>, names: &Names) -> Result<Rules, Vec<RuleError>> {
    let work = || {
        let (mut compiled, mut errors) = (Vec::new(), Vec::new());
        for (name, settings) in rules {
            compiled.extend(one(name, settings, sinks, names, &mut errors));
        }
        if errors.is_empty() { Ok(Rules { rules: compiled }) } else { Err(errors) }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("rules".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let failed = |why: String| {
            vec![RuleError { rule: String::new(), part: RulePart::When, message: why, hint: "this is a defect; please report it".into() }]
        };
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed("compiling the rules panicked".into()))),
            Err(err) => Err(failed(format!("no thread for compiling the rules: {err}"))),
        }
    })
}

fn one(name: &str, settings: &RuleSettings, sinks: Sinks<'_>, names: &Names, errors: &mut Vec<RuleError>) -> Option<Rule> {
    let before = errors.len();
    let mut wrong = |part, (message, hint): (String, String)| errors.push(RuleError { rule: name.to_owned(), part, message, hint });
    if settings.when.is_none() && settings.jql.is_none() {
        let message = "the rule has neither `when` nor `jql`, so it does not say which events it is for".to_owned();
        wrong(RulePart::When, (message, "add `when`; `when = \"true\"` is for every event".into()));
    }
    let when = settings.when.as_deref().unwrap_or("true");
    let when = Expression::compile(when, names).map_err(|what| wrong(RulePart::When, what)).ok();
    let jql = settings.jql.as_deref().and_then(|text| jql::compile(text).map_err(|what| wrong(RulePart::Jql, what)).ok());
    if settings.send.is_empty() {
        wrong(RulePart::When, ("`send` is empty: the rule does nothing".into(), "add `send = [{ to = \"a sink\" }]`".into()));
    }
    let (lookups, mistakes) = lookup::compile(&settings.lookup, names);
    mistakes.into_iter().for_each(|(name, what)| wrong(RulePart::Lookup(name), what));
    // By what is written: a lookup that is wrong is told of once.
    let known = |path: &[&str]| match path {
        ["lookup"] => !settings.lookup.is_empty(),
        ["lookup", name, ..] => settings.lookup.contains_key(*name),
        path => names.check(path).is_ok(),
    };
    let mut sends = Vec::new();
    for (number, entry) in settings.send.iter().enumerate() {
        // A sink that does not exist is told by the configuration, which knows all names.
        let Some(traits) = sinks(&entry.to) else { continue };
        match send(entry, &traits, &known, &lookups) {
            Ok(send) => sends.push(send),
            Err(mistakes) => {
                for (member, message, hint) in mistakes {
                    wrong(RulePart::Send(number, member), (message, hint));
                }
            }
        }
    }
    check_lookups(&lookups, &sends, sends.len() == settings.send.len(), sinks, &mut wrong);
    let blind = settings.send.iter().find(|entry| sinks(&entry.to).is_some_and(|traits| traits.dialect.is_none()));
    if let Some(entry) = blind.filter(|_| settings.jql.is_some()) {
        let message = format!("`{}` takes events as they come: Jira is asked nothing for it, and so no `jql`", entry.to);
        let hint = "say with `when` what the event itself tells, or make a rule of its own for that sink";
        wrong(RulePart::Jql, (message, hint.into()));
    }
    let when = when?;
    if let Some(entry) = blind
        && (when.references().iter().any(|path| path.first().is_some_and(|root| root == "now"))
            || fields::are_named(when.references().iter()))
    {
        let message = format!("`{}` takes events as they come: `now` and fields by their names are not known there", entry.to);
        let hint = "compare with members of `issue`, write the field's id as in `field(\"customfield_10016\")`, or make a rule of its own for that sink";
        errors.push(RuleError { rule: name.to_owned(), part: RulePart::When, message, hint: hint.into() });
    }
    (errors.len() == before).then(|| Rule {
        name: name.into(),
        by_file: settings.enabled,
        enabled: AtomicBool::new(settings.enabled),
        when,
        jql,
        sends,
    })
}

/// Each is shown somewhere, and nowhere that may not see what it could answer. `is_whole`: all that the rule sends is known.
fn check_lookups(
    lookups: &[Arc<Lookup>],
    sends: &[Send],
    is_whole: bool,
    sinks: Sinks<'_>,
    wrong: &mut impl FnMut(RulePart, (String, String)),
) {
    for lookup in lookups {
        let asked = |send: &Send| {
            send.message.as_ref().is_some_and(|message| message.extras().lookups().iter().any(|asked| Arc::ptr_eq(asked, lookup)))
        };
        let is_cleared = |send: &Send| sinks(&send.to).is_some_and(|traits| traits.is_cleared);
        let part = RulePart::Lookup(lookup.name.clone());
        if is_whole && !sends.iter().any(asked) {
            let message = format!("no template of the rule shows `lookup.{}`", lookup.name);
            wrong(part, (message, format!("write `{{{{ lookup.{} }}}}` in one, or remove it", lookup.name)));
        } else if let Some(send) = sends.iter().find(|send| asked(send) && !is_cleared(send) && !lookup.may_show_to_all()) {
            wrong(part, lookup::unguarded(lookup, send.to.as_str()));
        }
    }
}

/// Which member of an entry of `send` is wrong, why, and what to do.
type Mistake = (&'static str, String, String);

fn send(entry: &SendSettings, traits: &SinkTraits, known: Known<'_>, lookups: &[Arc<Lookup>]) -> Result<Send, Vec<Mistake>> {
    let Some(dialect) = traits.dialect else {
        let composed = [
            ("template", entry.template.is_some()),
            ("blocks", entry.blocks.is_some()),
            ("channel", entry.channel.is_some()),
            ("attachments", entry.attachments.is_some()),
            ("settle", entry.settle.is_some()),
            ("thread", entry.thread.is_some()),
        ];
        let message = |member| format!("`{}` takes events, not messages: it has no use for `{member}`", entry.to);
        let given = composed.into_iter().filter(|(_, given)| *given);
        let mistakes: Vec<Mistake> = given.map(|(member, _)| (member, message(member), format!("remove `{member}`"))).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (to, target) = (entry.to.clone(), entry.to.as_str().into());
        return Ok(Send { to, target, whom: None, message: None, settle: Duration::ZERO, in_thread: false });
    };
    let mut mistakes: Vec<Mistake> = Vec::new();
    let target: Option<Arc<str>> = entry.channel.as_deref().map(Arc::from).or_else(|| traits.target.clone());
    if target.is_none() {
        let message = format!("no channel: neither this `send` nor the sink `{}` names one", entry.to);
        mistakes.push(("to", message, "add `channel = \"#name\"`".to_owned()));
    }
    if entry.thread.is_some() && !traits.has_threads {
        let hint = "remove `thread`, or give the sink a `token` instead of a `webhook_url`".to_owned();
        let message = format!("`{}` has no threads: an incoming webhook does not tell what its messages are called", entry.to);
        mistakes.push(("thread", message, hint));
    }
    let settle = entry.settle.map_or(if entry.template.is_none() { SETTLE } else { Duration::ZERO }, |span| span.0);
    if settle > SETTLE_MAX {
        let hint = "write at most `1m`: every message waits for so long".to_owned();
        mistakes.push(("settle", "`settle` is longer than a minute".to_owned(), hint));
    }
    let message = message(entry, dialect, known, lookups).map_err(|wrong| mistakes.extend(wrong)).ok();
    if !traits.has_threads && entry.channel.as_deref().is_some_and(|channel| !channel.starts_with('@')) {
        let hint = "remove `channel`, or give the sink a `token` instead of a `webhook_url`".to_owned();
        mistakes.push(("channel", format!("`{}` is an incoming webhook, which has a channel of its own", entry.to), hint));
    }
    // That of the sink is looked at with the sink.
    if let Some(channel) = entry.channel.as_deref().filter(|channel| !channel.starts_with('@') && !slack::is_channel(channel)) {
        mistakes.push(("channel", format!("`{channel}` is no channel"), format!("write {}", slack::CHANNELS)));
    }
    let whom = target.as_deref().map_or(Ok(None), |target| whom(target, traits));
    let whom = whom.unwrap_or_else(|(message, hint)| {
        mistakes.push(("channel", message, hint));
        None
    });
    match (target, mistakes.is_empty()) {
        (Some(target), true) => Ok(Send { to: entry.to.clone(), target, whom, message, settle, in_thread: entry.thread.is_some() }),
        _ => Err(mistakes),
    }
}

/// A channel that is a person is written by what the person is to the event.
fn whom(target: &str, traits: &SinkTraits) -> Result<Option<&'static [&'static str]>, (String, String)> {
    if !target.starts_with('@') {
        return Ok(None);
    }
    if !traits.has_threads {
        return Err(("an incoming webhook cannot write to a person".into(), "give the sink a `token` instead of a `webhook_url`".into()));
    }
    let known = PEOPLE.iter().find(|(name, _)| *name == target).map(|(_, path)| *path);
    known.map(Some).ok_or_else(|| {
        let names: Vec<String> = PEOPLE.iter().map(|(name, _)| format!("`{name}`")).collect();
        (format!("there is nobody called `{target}`"), format!("write one of {}, or a user's id as in `U0123ABCD`", names.join(", ")))
    })
}

const PEOPLE: [(&str, &[&str]); 4] = [
    ("@assignee", &["issue", "assignee"]),
    ("@reporter", &["issue", "reporter"]),
    ("@creator", &["issue", "creator"]),
    ("@actor", &["actor"]),
];

fn message(entry: &SendSettings, dialect: Dialect, known: Known<'_>, lookups: &[Arc<Lookup>]) -> Result<MessageTemplates, Vec<Mistake>> {
    let told = |member: &'static str, err: &crate::render::TemplateError| -> Mistake {
        (member, format!("the template cannot be used: {err}"), err.hint.clone())
    };
    let json = |member: &'static str, given: Option<&Value>| -> Result<Option<JsonTemplate>, Mistake> {
        let list = json_of(member, given).map_err(|(message, hint)| (member, message, hint))?;
        list.map(|list| JsonTemplate::compile(&list, dialect, known).map_err(|err| told(member, &err))).transpose()
    };
    let source = entry.template.as_deref().unwrap_or(crate::render::default::MESSAGE);
    let text = Template::compile(source, dialect, known).map_err(|err| told("template", &err));
    let (text, blocks, attachments) = match (text, json("blocks", entry.blocks.as_ref()), json("attachments", entry.attachments.as_ref())) {
        (Ok(text), Ok(blocks), Ok(attachments)) => (text, blocks, attachments),
        (text, blocks, attachments) => {
            return Err([text.err(), blocks.err(), attachments.err()].into_iter().flatten().collect());
        }
    };
    let mut references = text.references();
    references.extend([&blocks, &attachments].into_iter().flatten().flat_map(JsonTemplate::references));
    let extras = ExtrasSpec::of(&references, lookups);
    references.extend(extras.references());
    Ok(MessageTemplates {
        text,
        blocks,
        attachments,
        username: entry.username.clone(),
        icon_url: entry.icon_url.clone(),
        extras,
        references,
    })
}

/// A list as it stands in the file, or the text of one in JSON, as Slack's own tools write it.
fn json_of(member: &str, given: Option<&Value>) -> Result<Option<Value>, (String, String)> {
    let list = match given {
        None => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|err| {
            (
                format!("`{member}` is no JSON: {err}"),
                "write the list as Slack's Block Kit Builder gives it; texts in it are templates".to_owned(),
            )
        })?,
        Some(written) => written.clone(),
    };
    // The Builder wraps its list.
    let list = list.get(member).cloned().unwrap_or(list);
    if list.is_array() {
        return Ok(Some(list));
    }
    Err((format!("`{member}` is not a list"), format!("write `{member} = [{{ ... }}]`, or the JSON text of such a list")))
}
