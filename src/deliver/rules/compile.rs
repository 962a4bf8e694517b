//! Compiling all rules together, on a thread with a stack that CEL's parser cannot exhaust.

use std::sync::Arc;

use super::{Expression, MessageTemplates, Rule, RuleError, RulePart, Rules, Send, SinkTraits};
use crate::deliver::names::Names;
use crate::deliver::settings::{RuleSettings, SendSettings};
use crate::render::{Dialect, JsonTemplate, Template};
use crate::setting::SinkName;

/// Enough for the deepest expression that the limits admit, in a debug build.
const STACK_BYTES: usize = 32 << 20;

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
    let when = Expression::compile(&settings.when, names).map_err(|what| wrong(RulePart::When, what)).ok();
    if settings.send.is_empty() {
        wrong(RulePart::When, ("`send` is empty: the rule does nothing".into(), "add `send = [{ to = \"a sink\" }]`".into()));
    }
    let mut sends = Vec::new();
    for (number, entry) in settings.send.iter().enumerate() {
        // A sink that does not exist is told by the configuration, which knows all names.
        let Some(traits) = sinks(&entry.to) else { continue };
        match send(entry, &traits, names) {
            Ok(send) => sends.push(send),
            Err(what) => wrong(RulePart::Send(number), what),
        }
    }
    let when = when?;
    (errors.len() == before).then(|| Rule { name: name.into(), enabled: settings.enabled, when, sends })
}

fn send(entry: &SendSettings, traits: &SinkTraits, names: &Names) -> Result<Send, (String, String)> {
    let Some(dialect) = traits.dialect else {
        let composed = [("template", entry.template.is_some()), ("blocks", entry.blocks.is_some()), ("channel", entry.channel.is_some())];
        if let Some((member, _)) = composed.iter().find(|(_, given)| *given) {
            return Err((format!("`{}` takes events, not messages: it has no use for `{member}`", entry.to), format!("remove `{member}`")));
        }
        return Ok(Send { to: entry.to.clone(), target: entry.to.as_str().into(), message: None });
    };
    let target = entry.channel.as_deref().map(Arc::from).or_else(|| traits.target.clone()).ok_or_else(|| {
        (format!("no channel: neither this `send` nor the sink `{}` names one", entry.to), "add `channel = \"#name\"`".to_owned())
    })?;
    let message = message(entry, dialect, names)?;
    Ok(Send { to: entry.to.clone(), target, message: Some(message) })
}

fn message(entry: &SendSettings, dialect: Dialect, names: &Names) -> Result<MessageTemplates, (String, String)> {
    let known = |path: &[&str]| names.check(path).is_ok();
    let told = |err: crate::render::TemplateError| (format!("the template cannot be used: {}", err), err.hint.clone());
    let source = entry.template.as_deref().unwrap_or(crate::render::default::MESSAGE);
    Ok(MessageTemplates {
        text: Template::compile(source, dialect, &known).map_err(told)?,
        blocks: entry.blocks.as_ref().map(|blocks| JsonTemplate::compile(blocks, dialect, &known)).transpose().map_err(told)?,
        username: entry.username.clone(),
        icon_url: entry.icon_url.clone(),
    })
}
