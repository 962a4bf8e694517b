//! What a template is given: the context as values of the engine, where null is undefined and bodies know that they are Markdown.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;

use crate::render::Dialect;

/// The members whose `body` is Markdown, wherever they stand.
const WITH_BODY: [&str; 5] = ["issue", "comment", "worklog", "now", "parent"];
/// What Jira answered as it is: nothing in it is Markdown that this room wrote.
const AS_JIRA_SAID: &str = "lookup";

/// Markdown that is printed in the dialect. Whoever computes with it gets its plain words, which are escaped like any others.
#[derive(Debug)]
pub(super) struct Body {
    markdown: String,
    dialect: Dialect,
    shown: OnceLock<String>,
    words: OnceLock<String>,
}

impl Body {
    pub(super) fn shown(&self) -> &str {
        self.shown.get_or_init(|| self.dialect.convert(&self.markdown))
    }

    pub(super) fn words(&self) -> &str {
        self.words.get_or_init(|| Dialect::Plain.convert(&self.markdown))
    }
}

impl Object for Body {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.markdown.trim().is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Something with a name: a person, a status, a ticket. Printed it is the name, its members are there all the same.
#[derive(Debug)]
struct Thing {
    name: String,
    members: Value,
}

impl Object for Thing {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.members.get_item(key).ok().filter(|member| !member.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.members.try_iter().map_or(Enumerator::Empty, |keys| Enumerator::Values(keys.collect()))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The fields of an issue by name: `field("Story Points")`.
#[derive(Debug)]
struct Fields(Value);

impl Object for Fields {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        match arguments {
            [name] => Ok(self.0.get_item(name).unwrap_or(Value::UNDEFINED)),
            _ => Err(Error::new(ErrorKind::InvalidOperation, "`field` takes one name")),
        }
    }
}

/// The roots that a template names; the others need no conversion.
pub(super) fn context<'r>(json: &Json, roots: impl Iterator<Item = &'r str>, dialect: Dialect) -> Value {
    let roots: BTreeSet<&str> = roots.collect();
    let root = |name: &'r str| {
        let bodies = (name != AS_JIRA_SAID).then_some(dialect);
        let value = json.get(name).map_or(Value::UNDEFINED, |member| value(name, member, bodies));
        let value = if name == "field" { Value::from_object(Fields(value)) } else { value };
        (name, value)
    };
    Value::from_pairs(roots.iter().map(|name| root(name)))
}

/// `bodies`: the dialect of those in it that are Markdown.
fn value(name: &str, json: &Json, bodies: Option<Dialect>) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(is) => Value::from(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(|item| value("", item, bodies)).collect::<Vec<_>>().into(),
        Json::Object(members) => {
            let values = Value::from_pairs(members.iter().map(|(key, member)| {
                let shown = match (member, bodies) {
                    (Json::String(markdown), Some(dialect)) if key == "body" && WITH_BODY.contains(&name) => body(markdown, dialect),
                    (member, _) => value(key, member, bodies),
                };
                (key.as_str(), shown)
            }));
            match ["name", "key"].into_iter().find_map(|name| members.get(name)?.as_str()) {
                Some(name) if members.contains_key("id") => Value::from_object(Thing { name: name.to_owned(), members: values }),
                _ => values,
            }
        }
    }
}

fn body(markdown: &str, dialect: Dialect) -> Value {
    Value::from_object(Body { markdown: markdown.to_owned(), dialect, shown: OnceLock::new(), words: OnceLock::new() })
}
