//! A CEL expression: parsed within limits, walked against the schema, evaluated to yes, no or an error.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::objects::Key;
use cel::{Context, ExecutionError, Program};
use serde_json::Value;

use super::{kinds, projects};
use crate::deliver::names::{self, Names};
use crate::event::Project;

/// Longer conditions are programs, and belong into several rules.
const LENGTH_MAX: usize = 4 * 1024;
/// CEL's parser descends with every bracket, and a stack overflow ends the process.
const BRACKETS_MAX: usize = 32;
/// Evaluating descends with every operator, on the stack of whichever thread delivers.
const DEPTH_MAX: usize = 100;
/// What CEL offers besides operators and macros.
const FUNCTIONS: [&str; 14] =
    ["size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bool", "bytes", "type", "max", "min"];

/// The value of a field by its name or id.
const FIELD: &str = "field";

/// What CEL calls the dot before a member.
const MEMBER: &str = "_._";

/// How an expression ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// It asks for a member that the event does not have, which does not match: the path of that member.
    Absent(String),
    /// It could not be computed, which does not match; `trace` shows why.
    Error(String),
}

#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
    references: Vec<Vec<String>>,
    projects: BTreeSet<String>,
}

/// What is wrong, and what to do.
pub(crate) type Wrong = (String, String);

impl Expression {
    /// Must run on a thread with a large stack.
    pub(crate) fn compile(source: &str, names: &Names) -> Result<Self, Wrong> {
        check_limits(source)?;
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.to_string().lines().next().unwrap_or_default().trim_start_matches("ERROR: <input>:").to_owned();
            let hint = if has_lone_equals(source) {
                "write `==` to compare"
            } else {
                "compare with `event.kind == \"issue.created\" && issue.project.key == \"DOCS\"`"
            };
            (format!("`when` is not a CEL expression: {first}"), hint.to_owned())
        })?;
        let mut walk = Walk::default();
        walk.visit(&program.expression().expr);
        if walk.deepest > DEPTH_MAX {
            let hint = "split it into several rules, or compare with a list as in `issue.priority.name in [\"High\", \"Highest\"]`";
            return Err((format!("`when` nests operators deeper than {DEPTH_MAX}"), hint.into()));
        }
        if let Some(wrong) = walk.wrong {
            return Err(wrong);
        }
        for function in &walk.functions {
            let known = FUNCTIONS.contains(&function.as_str()) || function.starts_with(['_', '!', '-', '@']);
            if !known {
                return Err((
                    format!("`when` calls `{function}`, which does not exist"),
                    format!("the functions are {FIELD}, {}", FUNCTIONS.join(", ")),
                ));
            }
        }
        for path in &walk.paths {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            if let Some(root) = path.first().filter(|root| names::is_template_only(root)) {
                let hint = "use it in a template, where a condition is `{% if lookup.NAME %}...{% endif %}`";
                return Err((format!("`when` cannot use `{root}`: it is asked for only after a rule has matched"), hint.into()));
            }
            names.check(&path).map_err(|unknown| {
                let hint = unknown
                    .nearest
                    .map_or_else(|| "see the event's schema for its members".to_owned(), |name| format!("did you mean `{name}`?"));
                (format!("`when` names `{}`, which no event has", unknown.path), hint)
            })?;
        }
        let projects = projects::named(&program.expression().expr);
        Ok(Self { source: source.to_owned(), program, references: walk.paths, projects })
    }

    pub(crate) fn evaluate(&self, context: &Value) -> Answer {
        let mut variables = Context::default();
        for (name, value) in context.as_object().into_iter().flatten() {
            if self.names(name) && name != FIELD {
                variables.add_variable_from_value(name.as_str(), to_cel(value));
            }
        }
        if self.names(FIELD) {
            let fields = context.get(FIELD).cloned().unwrap_or_default();
            let value = move |name: Arc<String>| match fields.get(name.as_str()) {
                Some(value) => Ok(to_cel(value)),
                None => Err(ExecutionError::function_error(FIELD, format!("no field is called `{name}`"))),
            };
            if let Err(err) = variables.add_function(FIELD, value) {
                return Answer::Error(err.to_string());
            }
        }
        match self.program.execute(&variables) {
            Ok(cel::Value::Bool(true)) => Answer::Yes,
            Ok(cel::Value::Bool(false)) => Answer::No,
            Ok(other) => Answer::Error(format!("it is not true or false but of type {:?}", other.type_of())),
            Err(err) => match self.absent(&err, context) {
                Some(path) => Answer::Absent(path),
                None => Answer::Error(err.to_string().chars().take(200).collect()),
            },
        }
    }

    /// The first member that it names and the event does not have, where the error comes from that.
    fn absent(&self, err: &ExecutionError, context: &Value) -> Option<String> {
        let key = match err {
            ExecutionError::NoSuchKey(key) => Some(key.as_str()),
            // Something is null, and has no members.
            ExecutionError::NoSuchOverload(call) if call.function() == MEMBER => None,
            _ => return None,
        };
        let paths = self.references.iter().filter(|path| path.first().is_none_or(|root| root != FIELD));
        let mut absent = paths.filter_map(|path| missing(path, context));
        absent.find(|path| key.is_none_or(|key| path.last().is_some_and(|last| last == key))).map(|path| path.join("."))
    }

    fn names(&self, root: &str) -> bool {
        self.references.iter().any(|path| path.first().is_some_and(|first| first == root))
    }

    /// The member paths that it asks for; a field that it asks for is `["field", "Story Points"]`.
    pub(crate) fn references(&self) -> &[Vec<String>] {
        &self.references
    }

    /// Whether it matches only events of projects that it names by key or id, and this is one of them.
    pub(crate) fn names_project(&self, project: &Project) -> bool {
        self.projects.contains(&project.id) || project.key.as_ref().is_some_and(|key| self.projects.contains(key))
    }

    pub fn source(&self) -> &str {
        &self.source
    }
}

/// How far the path leads, where it ends before its last member.
fn missing<'a>(path: &'a [String], context: &Value) -> Option<&'a [String]> {
    let mut place = context;
    for (depth, name) in path.iter().enumerate() {
        let is_last = depth + 1 == path.len();
        match place.get(name) {
            Some(value) if is_last || !value.is_null() => place = value,
            _ => return path.get(..=depth),
        }
    }
    None
}

/// Whether it compares as other languages do, outside of a text.
fn has_lone_equals(source: &str) -> bool {
    let (mut quote, mut before): (Option<char>, char) = (None, ' ');
    let mut rest = source.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(_) if c == '\\' => {
                rest.next();
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c == '=' && !matches!(before, '=' | '!' | '<' | '>') && rest.peek() != Some(&'=') => return true,
            None => {}
        }
        before = c;
    }
    false
}

fn check_limits(source: &str) -> Result<(), Wrong> {
    if source.trim().is_empty() {
        return Err(("`when` is empty".into(), "write `true` for every event".into()));
    }
    if source.len() > LENGTH_MAX {
        return Err((format!("`when` is longer than {LENGTH_MAX} bytes"), "split it into several rules".into()));
    }
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > BRACKETS_MAX {
        return Err((format!("`when` nests brackets deeper than {BRACKETS_MAX}"), "split it into several rules".into()));
    }
    Ok(())
}

/// What an expression refers to.
#[derive(Default)]
struct Walk {
    paths: Vec<Vec<String>>,
    functions: Vec<String>,
    /// Variables that loops bind: not names of the event.
    locals: Vec<String>,
    /// The first thing that is wrong whatever the names mean.
    wrong: Option<Wrong>,
    depth: usize,
    deepest: usize,
}

impl Walk {
    fn visit(&mut self, expr: &Expr) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.visit_inside(expr);
        self.depth -= 1;
    }

    fn visit_inside(&mut self, expr: &Expr) {
        if let Some(path) = path_of(expr) {
            self.deepest = self.deepest.max(self.depth + path.len());
            if path[0] == FIELD {
                let hint = "`field` is a function: write `field(\"Story Points\") >= 5`".to_owned();
                self.wrong.get_or_insert(("`field` in `when` needs the name of a field in brackets".to_owned(), hint));
            }
            if !self.locals.contains(&path[0]) {
                self.paths.push(path);
            }
            return;
        }
        match expr {
            Expr::Call(call) if call.func_name == FIELD && call.target.is_none() => match call.args.as_slice() {
                [IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] => {
                    self.paths.push(vec![FIELD.to_owned(), name.inner().to_owned()]);
                }
                _ => {
                    let hint = "write the field's name or id as text: `field(\"Story Points\") >= 5`".to_owned();
                    self.wrong.get_or_insert(("`field` in `when` needs the name of a field".to_owned(), hint));
                }
            },
            Expr::Call(call) => {
                if !self.locals.iter().any(|local| local == kinds::ROOT)
                    && let Some(wrong) = kinds::mistake(call)
                {
                    self.wrong.get_or_insert(wrong);
                }
                self.functions.push(call.func_name.clone());
                self.visit_all(call.target.as_deref());
                self.visit_all(&call.args);
            }
            Expr::Comprehension(loops) => {
                self.visit_all([&loops.iter_range, &loops.accu_init]);
                let before = self.locals.len();
                self.locals.extend([loops.iter_var.clone(), loops.accu_var.clone()]);
                self.locals.extend(loops.iter_var2.clone());
                self.visit_all([&loops.loop_cond, &loops.loop_step, &loops.result]);
                self.locals.truncate(before);
            }
            Expr::List(list) => self.visit_all(&list.elements),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Struct(made) => made.entries.iter().for_each(|entry| self.visit_entry(&entry.expr)),
            Expr::Select(select) => self.visit(&select.operand.expr),
            Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => {}
        }
    }

    fn visit_all<'a>(&mut self, parts: impl IntoIterator<Item = &'a IdedExpr>) {
        parts.into_iter().for_each(|part| self.visit(&part.expr));
    }

    fn visit_entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value.expr),
            EntryExpr::MapEntry(entry) => self.visit_all([&entry.key, &entry.value]),
        }
    }
}

/// `issue.status.name` and `change["Fix Version"].to` as member paths.
pub(super) fn path_of(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => path_of(&select.operand.expr).map(|mut path| {
            path.push(select.field.clone());
            path
        }),
        Expr::Call(call) if call.func_name == "_[_]" && call.args.len() == 2 => match (path_of(&call.args[0].expr), &call.args[1].expr) {
            (Some(mut path), Expr::Literal(LiteralValue::String(name))) => {
                path.push(name.inner().to_owned());
                Some(path)
            }
            _ => None,
        },
        _ => None,
    }
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(is) => cel::Value::Bool(*is),
        Value::Number(number) => number.as_i64().map_or_else(|| cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)), cel::Value::Int),
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let map: HashMap<Key, cel::Value> = members.iter().map(|(name, value)| (Key::from(name.as_str()), to_cel(value))).collect();
            cel::Value::Map(map.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(source: &str) -> Result<Expression, Wrong> {
        Expression::compile(source, &Names::of_events())
    }

    #[test]
    fn what_ends_in_an_error_does_not_match() {
        let context = json!({
            "event": { "kind": "issue.updated" }, "change": {}, "issue": { "key": "DOCS-1", "labels": ["a", "b"], "resolution": null, "project": { "key": "DOCS" } },
            "comment": null, "field": { "Story Points": 5.0, "customfield_7": "Shop", "Epic": null },
        });
        let check = |source: &str, expected: Option<bool>| {
            let answer = compile(source).expect(source).evaluate(&context);
            let got = match answer {
                Answer::Yes => Some(true),
                Answer::No => Some(false),
                Answer::Absent(_) | Answer::Error(_) => None,
            };
            assert_eq!(got, expected, "{source}");
        };
        check("true", Some(true));
        check(r#"event.kind == "issue.updated" && issue.project.key == "DOCS""#, Some(true));
        check(r#"event.kind == "issue.updated" && change.status.to == "On Hold""#, None);
        check(r#"event.kind == "issue.created" && change.status.to == "On Hold""#, Some(false));
        check(r#"change.status.to == "On Hold" && event.kind == "issue.created""#, Some(false));
        check(r#"change.status.to != "On Hold""#, None);
        check(r#"!(change.status.to == "On Hold")"#, None);
        check(r#"change.status.to == "On Hold" || true"#, Some(true));
        check("comment.internal == true", None);
        check("comment == null", Some(true));
        check(r#""b" in issue.labels && issue.labels.size() == 2"#, Some(true));
        check(r#"issue.labels.exists(label, label.startsWith("a"))"#, Some(true));
        check(r#"change["Fix Version"].to == "1.0""#, None);
        check("issue.resolution == null", Some(true));
        check("issue.key", None);
        check(r#"field("Story Points") >= 5"#, Some(true));
        check(r#"field("customfield_7") == "Shop""#, Some(true));
        check(r#"field("Epic") == null"#, Some(true));
        check(r#"field("Nobody knows it") == null"#, None);
    }

    #[test]
    fn what_the_event_does_not_have_is_named() {
        let context = json!({ "event": { "kind": "issue.updated" }, "change": {}, "comment": null, "issue": { "summary": "x" } });
        let check = |source: &str, expected: Option<&str>| {
            let path = match compile(source).expect(source).evaluate(&context) {
                Answer::Absent(path) => Some(path),
                _ => None,
            };
            assert_eq!(path.as_deref(), expected, "{source}");
        };
        check(r#"event.kind == "issue.updated" && change.status.to == "On Hold""#, Some("change.status"));
        check(r#"change["Fix Version"].to == "1.0""#, Some("change.Fix Version"));
        check("comment.author.name == \"Max\"", Some("comment"));
        check(r#"(comment == null || comment.author.name == "Max") && change.status.to == "Done""#, Some("change.status"));
        check("int(issue.summary) > 3", None);
        check("comment == null", None);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_at_load() {
        let check = |source: &str, words: &str| {
            let (message, hint) = compile(source).expect_err(source);
            assert!(format!("{message}; {hint}").contains(words), "{source}: {message}; {hint}");
        };
        check(r#"event.kindd == "issue.created""#, "did you mean `event.kind`");
        check(r#"isue.project.key == "OPS""#, "`isue`");
        check("issue.labels.exists(l, l == isue.key)", "`isue`");
        check("shout(issue.key)", "`shout`");
        check("field(issue.key) == 1", "as text");
        check("field.Points == 1", "brackets");
        check("event.kind ==", "not a CEL expression");
        check(r#"event.kind = "issue.created""#, "not a CEL expression: 1:12: ");
        check(r#"event.kind = "issue.created""#, "; write `==` to compare");
        check(r#"event.kind == "a = b" &&"#, "; compare with");
        check(r#"event.kind == "issue.craeted""#, "`issue.craeted`, which is no kind of event; did you mean `issue.created`?");
        check(r#""coment.created" != event.kind"#, "did you mean `comment.created`?");
        check(r#"issue.key == "A-1" && event.kind in ["issue.created", "issue.opened by"]"#, "`issue.opened by`");
        check("", "empty");
        check(&"(".repeat(40), "deeper");
        check(&format!("1{} > 0", "+1".repeat(200)), "deeper");
        check(&format!("issue{} == null", ".key".repeat(200)), "deeper");
        check(&format!("\"{}\" == \"\"", "x".repeat(5000)), "longer");
    }
}
