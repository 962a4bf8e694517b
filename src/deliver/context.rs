//! What a rule and a template see: the event's data, its members as shorthands, `change`, `now`, `field` and `folded`, and what was asked for beside it.

use serde_json::{Map, Value, json};

use super::Names;
use super::extras::Extras;
use super::fields::{self, FieldNames};
use super::jql;
use crate::event::{Change, Event, Issue};
use crate::render::Dialect;

/// What is known of an event when it is decided about or shown.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) event: &'a Event,
    /// The issue as it was read for this event.
    pub(crate) now: Option<&'a Issue>,
    /// The site's fields by name; without them fields go by their ids.
    pub(crate) fields: Option<&'a FieldNames>,
    /// What Jira said of its issue, where rules have a JQL. None: it was not asked.
    pub(crate) jql: Option<&'a jql::Answers>,
    /// All that are told together, this one among them, as one message shows them. Empty: it stands alone.
    pub(crate) folded: &'a [&'a Event],
    /// What was asked for this message alone.
    pub(crate) extras: Option<&'a Extras>,
}

impl<'a> Known<'a> {
    pub(crate) fn of(event: &'a Event) -> Self {
        Self { event, now: None, fields: None, jql: None, folded: &[], extras: None }
    }
}

/// Everything of an event under the names that rules and templates use. All names exist, null where the event has none.
pub(crate) fn of_event(known: &Known<'_>, names: &Names) -> Value {
    let event = known.event;
    let mut data = data_of(event);
    name_project(&mut data);
    let mut root = Map::new();
    for name in names.roots() {
        root.insert(name.into(), data.get(name).cloned().unwrap_or_default());
    }
    let mut now = known.now.map(|issue| serde_json::to_value(issue).unwrap_or_default()).unwrap_or_default();
    if let (Some(members), Some(project)) = (now.as_object_mut(), data.get("project")) {
        members.insert("project".into(), project.clone());
    }
    let folded = if known.folded.is_empty() { vec![data.clone()] } else { known.folded.iter().map(|event| data_of(event)).collect() };
    root.insert("field".into(), fields::values(event.data.issue.as_deref().or(known.now), known.fields));
    root.insert("now".into(), now);
    root.insert("change".into(), changes(&event.data.changes));
    root.insert("folded".into(), Value::Array(folded));
    if let Some(extras) = known.extras {
        root.insert("lookup".into(), Value::Object(extras.lookup.clone()));
        root.insert("watchers".into(), extras.watchers.clone());
        root.insert("parent".into(), extras.parent.clone());
    }
    root.insert("event".into(), data);
    Value::Object(root)
}

/// The data with people called by their names where a text mentions them by their ids.
fn data_of(event: &Event) -> Value {
    let mut data = serde_json::to_value(&event.data).unwrap_or_default();
    let people = people_in(&data);
    for place in ["/issue/body", "/comment/body", "/worklog/body"] {
        if let Some(Value::String(body)) = data.pointer_mut(place)
            && body.contains('@')
        {
            for (id, name) in &people {
                *body = body.replace(&format!("@{id}"), &format!("@{}", Dialect::Markdown.escape(name)));
            }
        }
    }
    data
}

/// Everybody whom the data name, by id; longer ids first, so that none is taken for the beginning of another.
fn people_in(data: &Value) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut places = vec![data];
    while let Some(place) = places.pop() {
        let Some(members) = place.as_object() else { continue };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let (Some(id), Some(name), true) = (text("id"), text("name"), members.contains_key("email"))
            && !found.iter().any(|(known, _)| known == id)
        {
            found.push((id.to_owned(), name.to_owned()));
        }
        places.extend(members.iter().filter(|(name, _)| *name != "custom").map(|(_, value)| value));
    }
    found.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
    found
}

/// Leaves out what was not read yet (`now`; of a reduced issue what its webhook did not carry), so that asking for it is an error and not a wrong answer.
pub(crate) fn without_unknown(mut context: Value, is_reduced: bool) -> Value {
    if is_reduced {
        prune(context.get_mut("issue"));
        prune(context.get_mut("event").and_then(|event| event.get_mut("issue")));
    }
    if let Some(root) = context.as_object_mut() {
        if is_reduced && let Some(field) = root.get_mut("field") {
            *field = Value::Null;
        }
        for (name, is_unknown) in [("project", is_reduced), ("now", true)] {
            if is_unknown && root.get(name).is_some_and(Value::is_null) {
                root.remove(name);
            }
        }
    }
    context
}

fn prune(issue: Option<&mut Value>) {
    let unknown =
        |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if let Some(members) = issue.and_then(Value::as_object_mut) {
        members.retain(|_, value| !unknown(value));
    }
}

/// `issue.project` beside `project`: rules read more naturally so.
fn name_project(data: &mut Value) {
    let project = data.get("project").cloned().unwrap_or_default();
    if let Some(issue) = data.get_mut("issue").and_then(Value::as_object_mut) {
        issue.insert("project".into(), project);
    }
}

/// `change`: from field id, and from the field's name where that is free, to what changed.
fn changes(changes: &[Change]) -> Value {
    let mut map = Map::new();
    for change in changes {
        let (from, to) = (change.from.as_ref(), change.to.as_ref());
        let entry = json!({
            "from": from.and_then(|value| value.text.as_deref()),
            "to": to.and_then(|value| value.text.as_deref()),
            "from_id": from.and_then(|value| value.id.as_deref()),
            "to_id": to.and_then(|value| value.id.as_deref()),
        });
        let name = change.name.as_deref().unwrap_or(&change.field);
        let (lower_field, lower_name) = (change.field.to_lowercase(), name.to_lowercase());
        let id = if change.custom { None } else { system_id(&lower_name) };
        for name in [change.field.as_str(), lower_field.as_str(), name, lower_name.as_str()].into_iter().chain(id) {
            map.entry(name).or_insert_with(|| entry.clone());
        }
    }
    Value::Object(map)
}

/// Data Center tells of a change by the field's name only; where the id of a system field is more than that in lower case.
fn system_id(name: &str) -> Option<&'static str> {
    Some(match name {
        "fix version" => "fixVersions",
        "version" => "versions",
        "component" => "components",
        "link" => "issuelinks",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_the_same_names_on_cloud_and_on_data_center() {
        let named = |field: &str, name: &str, custom: bool| {
            let change = Change { field: field.to_owned(), name: Some(name.to_owned()), custom, from: None, to: None };
            changes(&[change]).as_object().expect("a map").keys().cloned().collect::<Vec<_>>().join(" ")
        };
        for (cloud, data_center, name, custom, both) in [
            ("fixVersions", "Fix Version", "Fix Version", false, "fixVersions"),
            ("versions", "Version", "Version", false, "versions"),
            ("components", "Component", "Component", false, "components"),
            ("issuelinks", "Link", "Link", false, "issuelinks"),
            ("status", "status", "status", false, "status"),
            ("issuetype", "issuetype", "issuetype", false, "issuetype"),
            ("customfield_10020", "Sprint", "Sprint", true, "sprint"),
        ] {
            for field in [cloud, data_center] {
                let names = named(field, name, custom);
                assert!(names.split(' ').any(|found| found == both), "{field}: {names}");
            }
        }
        assert_eq!(named("Version", "Version", true), "Version version", "a field of one's own is none of Jira's");
    }
}
