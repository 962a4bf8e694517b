//! Which names rules and templates may use: generated from the event's own types, so that a misspelt member is found at load.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::event;

/// Every root that a rule or a template sees, with its schema. All of them always exist, null where the event has none.
#[derive(Debug, Clone)]
pub struct Names {
    roots: Vec<(&'static str, Value)>,
    definitions: serde_json::Map<String, Value>,
}

/// What only templates see: it is asked for when a message is about to be made.
const TEMPLATE_ONLY: [&str; 3] = ["lookup", "watchers", "parent"];
/// Roots that are no members of an event.
const NO_MEMBERS: [&str; 5] = ["event", "now", "change", "folded", "field"];

pub(crate) fn is_template_only(root: &str) -> bool {
    TEMPLATE_ONLY.contains(&root)
}

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    pub path: String,
    pub nearest: Option<String>,
}

impl Names {
    pub fn of_events() -> Self {
        let mut generator = SchemaGenerator::default();
        let mut roots = vec![
            ("event", schema::<event::Data>(&mut generator)),
            ("jira", schema::<event::Delivered>(&mut generator)),
            ("actor", schema::<event::Actor>(&mut generator)),
            ("project", schema::<event::Project>(&mut generator)),
            ("issue", schema::<event::Issue>(&mut generator)),
            ("now", schema::<event::Issue>(&mut generator)),
            ("changes", schema::<Vec<event::Change>>(&mut generator)),
            ("degraded", schema::<Vec<String>>(&mut generator)),
            ("change", Value::Bool(true)),
            ("folded", schema::<Vec<event::Data>>(&mut generator)),
            ("field", Value::Bool(true)),
            ("lookup", Value::Bool(true)),
            ("watchers", schema::<Vec<event::Person>>(&mut generator)),
            ("parent", schema::<event::Issue>(&mut generator)),
            ("comment", schema::<event::Comment>(&mut generator)),
            ("worklog", schema::<event::Worklog>(&mut generator)),
            ("attachment", schema::<event::Attachment>(&mut generator)),
            ("link", schema::<event::Link>(&mut generator)),
            ("sprint", schema::<event::Sprint>(&mut generator)),
            ("board", schema::<event::Board>(&mut generator)),
            ("version", schema::<event::Version>(&mut generator)),
            ("user", schema::<event::User>(&mut generator)),
            ("filter", schema::<event::Filter>(&mut generator)),
            ("issuetype", schema::<event::IssueTypeEntity>(&mut generator)),
            ("property", schema::<event::Property>(&mut generator)),
            ("option", schema::<event::OptionChange>(&mut generator)),
            ("app", schema::<event::App>(&mut generator)),
            ("unrecognized", schema::<event::Unrecognized>(&mut generator)),
            ("report", schema::<event::Report>(&mut generator)),
        ];
        let definitions = with_members(generator.definitions().clone(), &roots);
        roots.shrink_to_fit();
        Self { roots, definitions }
    }

    pub fn roots(&self) -> impl Iterator<Item = &'static str> {
        self.roots.iter().map(|(name, _)| *name)
    }

    /// Whether a path such as `["issue", "status", "name"]` leads to something that can exist.
    pub fn check(&self, path: &[&str]) -> Result<(), Unknown> {
        let Some((root, rest)) = path.split_first() else { return Ok(()) };
        let Some((_, schema)) = self.roots.iter().find(|(name, _)| name == root) else {
            return Err(Unknown { path: (*root).to_owned(), nearest: nearest(root, self.roots()) });
        };
        let mut places = vec![schema];
        for (depth, member) in rest.iter().enumerate() {
            let mut objects = Vec::new();
            places.iter().for_each(|place| self.objects(place, &mut objects));
            if objects.iter().any(|object| is_open(object)) {
                return Ok(());
            }
            let next: Vec<&Value> = objects.iter().filter_map(|object| object.get("properties")?.get(*member)).collect();
            if next.is_empty() {
                let known = objects.iter().filter_map(|object| object.get("properties")?.as_object()).flat_map(|members| members.keys());
                let before = path[..=depth].join(".");
                let nearest = nearest(member, known.map(String::as_str)).map(|name| format!("{before}.{name}"));
                return Err(Unknown { path: path[..=depth + 1].join("."), nearest });
            }
            places = next;
        }
        Ok(())
    }

    /// The object schemas that a schema stands for, through references and alternatives.
    fn objects<'a>(&'a self, schema: &'a Value, found: &mut Vec<&'a Value>) {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
            if let Some(definition) = self.definitions.get(name) {
                self.objects(definition, found);
            }
            return;
        }
        for combination in ["anyOf", "oneOf", "allOf"] {
            for part in schema.get(combination).and_then(Value::as_array).into_iter().flatten() {
                self.objects(part, found);
            }
        }
        if schema.get("properties").is_some() || is_open(schema) {
            found.push(schema);
        }
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// `issue.project` reads more naturally in rules, and every event has every shorthand: the alternatives of the schema become members.
fn with_members(mut definitions: serde_json::Map<String, Value>, roots: &[(&'static str, Value)]) -> serde_json::Map<String, Value> {
    if let Some(members) = properties(&mut definitions, "Issue") {
        members.insert("project".into(), serde_json::json!({ "$ref": "#/$defs/Project" }));
    }
    if let Some(data) = definitions.get_mut("Data").and_then(Value::as_object_mut) {
        data.retain(|name, _| !matches!(name.as_str(), "anyOf" | "oneOf" | "allOf"));
    }
    if let Some(members) = properties(&mut definitions, "Data") {
        for (name, schema) in roots.iter().filter(|(name, _)| !NO_MEMBERS.contains(name) && !is_template_only(name)) {
            members.entry(*name).or_insert_with(|| schema.clone());
        }
    }
    definitions
}

fn properties<'a>(definitions: &'a mut serde_json::Map<String, Value>, name: &str) -> Option<&'a mut serde_json::Map<String, Value>> {
    definitions.get_mut(name)?.get_mut("properties")?.as_object_mut()
}

/// Anything may be in it: a map with free names, or a value of any form.
fn is_open(schema: &Value) -> bool {
    match schema {
        Value::Bool(any) => *any,
        Value::Object(members) => {
            let free = members.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
            free || members.keys().all(|key| matches!(key.as_str(), "description" | "title" | "default"))
        }
        _ => false,
    }
}

/// The known name that a misspelt one probably means.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let allowed = wrong.chars().count().div_ceil(3).max(1);
    known.map(|name| (distance(wrong, name), name)).filter(|(steps, _)| *steps <= allowed).min().map(|(_, name)| name.to_owned())
}

/// Levenshtein's distance, for short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_checked_against_the_published_data() {
        let names = Names::of_events();
        for good in [
            "event.kind",
            "issue.key",
            "issue.project.key",
            "issue.status.name",
            "issue.custom.customfield_10020",
            "change.status.to",
            "now.labels",
            "comment.author.name",
            "event.issue.summary",
            "event.comment.body",
            "sprint.previous.state",
            "property.value.x",
            "issue.type.name",
            "sprint.name",
            "actor.id",
            "event.project.key",
            "field.Story Points",
            "folded",
            "watchers",
            "parent.status.name",
            "parent.project.key",
            "lookup.anything.below",
        ] {
            assert_eq!(names.check(&good.split('.').collect::<Vec<_>>()), Ok(()), "{good}");
        }
        let check = |path: &str, unknown: &str, nearest: Option<&str>| {
            let expected = Err(Unknown { path: unknown.into(), nearest: nearest.map(str::to_owned) });
            assert_eq!(names.check(&path.split('.').collect::<Vec<_>>()), expected, "{path}");
        };
        check("event.kindd", "event.kindd", Some("event.kind"));
        check("isue.project.key", "isue", Some("issue"));
        check("issue.status.nme", "issue.status.nme", Some("issue.status.name"));
        check("comment.zzzzzz", "comment.zzzzzz", None);
        check("event.parent", "event.parent", None);
    }
}
