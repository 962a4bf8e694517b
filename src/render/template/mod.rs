//! Templates of messages: what a rule's author writes, filled with what an event says.
//!
//! Checked when it is compiled: every name must exist, every filter too, and no other file can be reached. When it is rendered every
//! value is escaped once for the dialect; bodies, which are Markdown, are converted; what is null prints as nothing. Work and output
//! are bounded.

mod blocks;
mod filters;
mod names;
mod path;
mod tokens;
mod values;

pub use blocks::JsonTemplate;
pub use path::PathTemplate;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use super::{Dialect, MAX_BYTES};
use values::Body;

/// A message is a few lines; this is a small book.
const SOURCE_MAX: usize = 16 * 1024;
/// One unit is an instruction or 64 bytes: enough to write the longest body twice, far below a second.
const FUEL: u64 = 200_000;
const DEPTH_MAX: usize = 32;
const NAME: &str = "template";

/// Why a template cannot be used. The remedy is always to change it, as the hint says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", self.place())]
pub struct TemplateError {
    /// Where in a structure of templates, as in `[0].text.text`.
    pub member: Option<String>,
    /// The line within the template, from 1.
    pub line: Option<usize>,
    pub reason: String,
    pub hint: String,
}

impl TemplateError {
    fn new(line: Option<usize>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { member: None, line, reason: reason.into(), hint: hint.into() }
    }

    fn place(&self) -> String {
        let member = self.member.as_ref().map(|member| format!("`{member}`: ")).unwrap_or_default();
        let line = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        member + &line
    }
}

/// Why a message could not be composed. Trying again does not help: the event or the template must be another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the template does more work than a message may take")]
    TooMuchWork,
    #[error("{}{reason}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Failed { line: Option<usize>, reason: String },
}

pub struct Template {
    environment: Environment<'static>,
    dialect: Dialect,
    references: Vec<Vec<String>>,
}

impl Template {
    /// `known` says whether an event has this member path, as in `["issue", "summary"]`.
    pub fn compile(source: &str, dialect: Dialect, known: &dyn Fn(&[&str]) -> bool) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_MAX {
            let reason = format!("the template has {} bytes, more than {SOURCE_MAX}", source.len());
            return Err(TemplateError::new(None, reason, "shorten it"));
        }
        let mut environment = environment(dialect);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|err| syntax(&err))?;
        let references = names::check(source, known)?;
        Ok(Self { environment, dialect, references })
    }

    /// The member paths that it names, each once; a field named by `field("...")` is `["field", "..."]`.
    pub fn references(&self) -> Vec<Vec<String>> {
        self.references.clone()
    }

    /// `context` has a member for each root: `event`, `issue`, `change` ...; `field` holds the values by the fields' names.
    pub fn render(&self, context: &serde_json::Value) -> Result<String, RenderError> {
        let roots = self.references.iter().filter_map(|path| path.first().map(String::as_str));
        let context = values::context(context, roots, self.dialect);
        let template = self.environment.get_template(NAME).map_err(|err| failed(&err))?;
        let text = template.render(context).map_err(|err| failed(&err))?;
        Ok(self.dialect.bounded(text, MAX_BYTES))
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("dialect", &self.dialect).field("references", &self.references).finish_non_exhaustive()
    }
}

fn environment(dialect: Dialect) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    // Any escaping at all makes the engine keep apart what is escaped already and what is not.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("dialect".into()));
    environment.set_formatter(move |out, _, value| {
        if value.is_undefined() || value.is_none() {
            return Ok(());
        }
        if let Some(body) = value.downcast_object_ref::<Body>() {
            return Ok(out.write_str(body.shown())?);
        }
        match value.as_str() {
            Some(text) if value.is_safe() => out.write_str(text)?,
            Some(text) => out.write_str(&dialect.escape(text))?,
            // As in JSON; the engine would write `True`.
            None if value.kind() == ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" })?,
            None => out.write_str(&dialect.escape(&value.to_string()))?,
        }
        Ok(())
    });
    filters::install(&mut environment, dialect);
    environment
}

fn syntax(err: &minijinja::Error) -> TemplateError {
    let reason = err.detail().map_or_else(|| err.kind().to_string(), str::to_owned);
    TemplateError::new(err.line(), reason, "a template is text with `{{ name }}` and `{% if name %} ... {% endif %}` in it")
}

fn failed(err: &minijinja::Error) -> RenderError {
    if err.kind() == ErrorKind::OutOfFuel {
        return RenderError::TooMuchWork;
    }
    let reason = err.detail().map_or_else(|| err.kind().to_string(), |detail| format!("{}: {detail}", err.kind()));
    RenderError::Failed { line: err.line(), reason }
}

#[cfg(test)]
mod tests;
