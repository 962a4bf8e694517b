//! Rules: compiled once at load, asked for every event. A rule that cannot be computed is refused at load, with the part that is wrong.
//!
//! CEL keeps its own meaning: `true || error` is true in either order. What still ends in an error does not match.

mod compile;
mod expression;
mod kinds;
mod projects;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

pub(crate) use expression::{Answer, Expression, Wrong};

use super::extras::ExtrasSpec;
use super::jql::Jql;
use super::names::Names;
use super::settings::RuleSettings;
use crate::render::{Dialect, JsonTemplate, RenderError, Template};
use crate::setting::SinkName;
use crate::sink::Message;
use crate::store::{Store, StoreError};

/// All rules, in the order of the file.
#[derive(Debug, Default)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    /// As the file says.
    by_file: bool,
    /// As it is now: an order may say otherwise.
    enabled: AtomicBool,
    pub when: Expression,
    pub(crate) jql: Option<Jql>,
    pub sends: Vec<Send>,
}

impl Rule {
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }
}

/// The control row that mutes a rule, or lets one speak that the file mutes.
pub fn enabled_control(rule: &str) -> String {
    format!("{CONTROLS}{rule}{ENABLED}")
}

const CONTROLS: &str = "rule/";
const ENABLED: &str = "/enabled";

/// One destination of a rule.
#[derive(Debug)]
pub struct Send {
    pub to: SinkName,
    pub target: Arc<str>,
    /// The member path of the person whom the target means, as `@assignee` does.
    pub(crate) whom: Option<&'static [&'static str]>,
    pub message: Option<MessageTemplates>,
    /// The span within which events of one issue by one person become one message; zero: each is a message of its own.
    pub settle: Duration,
    /// What is said of one issue goes into one thread.
    pub in_thread: bool,
}

#[derive(Debug)]
pub struct MessageTemplates {
    text: Template,
    blocks: Option<JsonTemplate>,
    attachments: Option<JsonTemplate>,
    username: Option<String>,
    icon_url: Option<String>,
    extras: ExtrasSpec,
    references: Vec<Vec<String>>,
}

impl MessageTemplates {
    pub fn render(&self, context: &Value) -> Result<Message, RenderError> {
        Ok(Message {
            text: self.text.render(context)?,
            blocks: self.blocks.as_ref().map(|blocks| blocks.render(context)).transpose()?,
            attachments: self.attachments.as_ref().map(|attachments| attachments.render(context)).transpose()?,
            username: self.username.clone(),
            icon_url: self.icon_url.clone(),
            thread: None,
        })
    }

    /// The member paths that it shows, and those that it takes to ask for the rest.
    pub fn references(&self) -> &[Vec<String>] {
        &self.references
    }

    /// What is to be asked of Jira for it.
    pub(crate) fn extras(&self) -> &ExtrasSpec {
        &self.extras
    }
}

/// What a rule must know of a sink to be compiled.
#[derive(Debug, Clone)]
pub struct SinkTraits {
    /// How messages are written; none where it takes events, not messages.
    pub dialect: Option<Dialect>,
    /// Where it sends to if the rule names no channel.
    pub target: Option<Arc<str>>,
    /// Whether it tells what a message is called, so that others can answer it.
    pub has_threads: bool,
    /// Whether it may be shown whatever Jira answers.
    pub is_cleared: bool,
}

/// Which part of a rule is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulePart {
    When,
    Jql,
    Lookup(String),
    /// A member of the entry of `send` with this number, from 0.
    Send(usize, &'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    pub rule: String,
    pub part: RulePart,
    pub message: String,
    pub hint: String,
}

impl Rules {
    /// Compiles all, and tells everything that is wrong.
    pub fn compile(
        rules: &[(String, RuleSettings)],
        sinks: &(dyn Fn(&SinkName) -> Option<SinkTraits> + Sync),
        names: &Names,
    ) -> Result<Self, Vec<RuleError>> {
        compile::all(rules, sinks, names)
    }

    /// The rules that name a sink, disabled ones too: a muted rule still narrows.
    pub fn of_sink<'a>(&'a self, sink: &'a SinkName) -> impl Iterator<Item = (&'a Rule, &'a Send)> {
        self.rules.iter().flat_map(move |rule| rule.sends.iter().filter(move |send| send.to == *sink).map(move |send| (rule, send)))
    }

    /// The entry of a rule that sends to this target.
    pub fn find<'a>(&'a self, rule: &str, sink: &'a SinkName, target: &str) -> Option<(&'a Rule, &'a Send)> {
        self.of_sink(sink).find(|(candidate, send)| *candidate.name == *rule && *send.target == *target)
    }

    /// Reads the orders about rules.
    pub async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let orders = store.controls(CONTROLS).await?;
        for rule in &self.rules {
            let order = orders.iter().find(|(name, _)| *name == enabled_control(&rule.name));
            let enabled = order.map_or(rule.by_file, |(_, value)| value == "true");
            if rule.enabled.swap(enabled, Ordering::Relaxed) != enabled {
                tracing::info!(rule = &*rule.name, "rule `{}` is {}", rule.name, if enabled { "enabled" } else { "disabled" });
            }
        }
        Ok(())
    }

    pub fn list(&self) -> &[Rule] {
        &self.rules
    }
}
