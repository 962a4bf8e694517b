//! The fields of an issue as `field("Story Points")` gives them: by id, and by the name that the site shows.
//!
//! Names are neither unique nor stable, so they are asked of Jira, once an hour for each site, and only where a rule uses one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::event::{Issue, Markup};
use crate::jira::{Asked, Jira};
use crate::render::{self, Dialect};
use crate::setting::ConnectionName;

/// A field that gets a new name is known by it after so long.
const ASKED_EVERY: Duration = Duration::from_secs(3_600);

/// Ids by name. Of two fields with one name the first that Jira lists has it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct FieldNames(BTreeMap<String, String>);

/// The names of every site that was asked.
#[derive(Default)]
pub(crate) struct FieldCache(Mutex<BTreeMap<ConnectionName, (Instant, FieldNames)>>);

impl FieldCache {
    pub(crate) async fn names(&self, connection: &ConnectionName, jira: &Jira) -> Asked<FieldNames> {
        // Held while Jira is asked: the other lanes want the same answer.
        let mut known = self.0.lock().await;
        if let Some((asked, names)) = known.get(connection)
            && asked.elapsed() < ASKED_EVERY
        {
            return Ok(names.clone());
        }
        let mut names = BTreeMap::new();
        for field in jira.fields().await? {
            names.entry(field.name).or_insert(field.id);
        }
        known.insert(connection.clone(), (Instant::now(), FieldNames(names.clone())));
        Ok(FieldNames(names))
    }
}

/// Whether a reference to a field can be answered without knowing names.
pub(crate) fn is_id(name: &str) -> bool {
    name.starts_with("customfield_") || SYSTEM.iter().any(|(id, _)| *id == name)
}

/// Whether one of these member paths is `field("Name")`.
pub(crate) fn are_named<'a>(mut paths: impl Iterator<Item = &'a Vec<String>>) -> bool {
    paths.any(|path| path.first().is_some_and(|root| root == "field") && path.get(1).is_some_and(|name| !is_id(name)))
}

/// Jira's ids of the fields that have members of their own here.
const SYSTEM: [(&str, &str); 14] = [
    ("summary", "/summary"),
    ("description", "/body"),
    ("issuetype", "/type"),
    ("status", "/status"),
    ("priority", "/priority"),
    ("resolution", "/resolution"),
    ("assignee", "/assignee"),
    ("reporter", "/reporter"),
    ("creator", "/creator"),
    ("labels", "/labels"),
    ("components", "/components"),
    ("fixVersions", "/fix_versions"),
    ("versions", "/affects_versions"),
    ("duedate", "/due_on"),
];

/// From ids and names to values that read as people would write them.
pub(crate) fn values(issue: Option<&Issue>, names: Option<&FieldNames>) -> Value {
    let Some(issue) = issue else { return Value::Null };
    let written = serde_json::to_value(issue).unwrap_or_default();
    let mut values = Map::new();
    for (id, place) in SYSTEM {
        values.insert(id.to_owned(), plain(written.pointer(place).unwrap_or(&Value::Null)));
    }
    for (id, value) in written.get("custom").and_then(Value::as_object).into_iter().flatten() {
        values.insert(id.clone(), plain(value));
    }
    for (name, id) in names.map(|names| &names.0).into_iter().flatten() {
        // A field that Jira knows and this issue does not have is null, and no mistake.
        let value = values.get(id).cloned().unwrap_or_default();
        values.entry(name.clone()).or_insert(value);
    }
    Value::Object(values)
}

/// An option is its value, a person the name, a document its words; lists likewise.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Object(members) if members.get("type").is_some_and(|kind| kind == "doc") => {
            let markdown = render::to_markdown(Markup::Document(&value.to_string()));
            Value::String(Dialect::Plain.convert(&markdown))
        }
        Value::Object(members) => {
            let named = ["value", "displayName", "name"].into_iter().find_map(|name| members.get(name).filter(|value| !value.is_null()));
            let inner = members.get("child").map(plain).filter(|child| !child.is_null());
            match (named, inner) {
                (Some(Value::String(outer)), Some(Value::String(inner))) => Value::String(format!("{outer} / {inner}")),
                (Some(named), _) => named.clone(),
                (None, _) => value.clone(),
            }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_reads_as_people_would_write_it() {
        for (given, expected) in [
            (json!(5.0), json!(5.0)),
            (json!({ "self": "https://x.example", "value": "Shop", "id": "1" }), json!("Shop")),
            (json!({ "value": "Shop", "child": { "value": "Tea" } }), json!("Shop / Tea")),
            (json!([{ "displayName": "Jane Doe", "accountId": "1" }, { "name": "Sprint 4" }]), json!(["Jane Doe", "Sprint 4"])),
            (
                json!({ "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": [{ "type": "text", "text": "Hello" }] }] }),
                json!("Hello"),
            ),
            (json!(null), json!(null)),
        ] {
            assert_eq!(plain(&given), expected, "{given}");
        }
    }

    #[test]
    fn a_field_goes_by_id_and_by_name() {
        let raw = |json: Value| serde_json::from_value(json).expect("members");
        let issue = Issue { custom: raw(json!({ "customfield_10016": 5 })), labels: vec!["guide".into()], ..Issue::only_id("7") };
        let name = |name: &str, id: &str| (name.to_owned(), id.to_owned());
        let names = FieldNames(BTreeMap::from([
            name("Story Points", "customfield_10016"),
            name("Etiketten", "labels"),
            name("Epic", "customfield_9"),
        ]));
        let values = values(Some(&issue), Some(&names));
        assert_eq!((&values["customfield_10016"], &values["Story Points"]), (&json!(5), &json!(5)));
        assert_eq!((&values["Etiketten"], &values["Epic"], values.get("Nobody's")), (&json!(["guide"]), &json!(null), None));
        assert!(is_id("customfield_1") && is_id("labels") && !is_id("Story Points"));
    }
}
