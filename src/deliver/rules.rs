//! Rules: compiled once at load, asked for every event. A rule that cannot be computed is refused at load, with the part that is wrong.
//!
//! CEL keeps its own meaning: `true || error` is true in either order. What still ends in an error does not match.

mod compile;
mod expression;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use expression::{Answer, Expression};

use super::names::Names;
use super::settings::RuleSettings;
use crate::render::{Dialect, JsonTemplate, RenderError, Template};
use crate::setting::SinkName;
use crate::sink::Message;

/// All rules, in the order of the file.
#[derive(Debug, Default)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub enabled: bool,
    pub when: Expression,
    pub sends: Vec<Send>,
}

/// One destination of a rule.
#[derive(Debug)]
pub struct Send {
    pub to: SinkName,
    pub target: Arc<str>,
    pub message: Option<MessageTemplates>,
}

#[derive(Debug)]
pub struct MessageTemplates {
    text: Template,
    blocks: Option<JsonTemplate>,
    username: Option<String>,
    icon_url: Option<String>,
}

impl MessageTemplates {
    pub fn render(&self, context: &Value) -> Result<Message, RenderError> {
        Ok(Message {
            text: self.text.render(context)?,
            blocks: self.blocks.as_ref().map(|blocks| blocks.render(context)).transpose()?,
            username: self.username.clone(),
            icon_url: self.icon_url.clone(),
        })
    }

    /// The member paths that it shows.
    pub fn references(&self) -> Vec<Vec<String>> {
        let mut paths = self.text.references();
        paths.extend(self.blocks.as_ref().map(JsonTemplate::references).unwrap_or_default());
        paths
    }
}

/// What a rule must know of a sink to be compiled.
#[derive(Debug, Clone)]
pub struct SinkTraits {
    /// How messages are written; none where it takes events, not messages.
    pub dialect: Option<Dialect>,
    /// Where it sends to if the rule names no channel.
    pub target: Option<Arc<str>>,
}

/// Which part of a rule is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePart {
    When,
    /// The entry of `send` with this number, from 0.
    Send(usize),
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

    pub fn list(&self) -> &[Rule] {
        &self.rules
    }
}
