//! What a rule and a template see: the event's data, its members as shorthands, `change` and `now`.

use serde_json::{Map, Value, json};

use super::Names;
use crate::event::{Event, Issue};

/// Everything of an event under the names that rules and templates use. All names exist, null where the event has none.
pub(crate) fn of_event(event: &Event, now: Option<&Issue>, names: &Names) -> Value {
    let mut data = serde_json::to_value(&event.data).unwrap_or_default();
    name_project(&mut data);
    let mut root = Map::new();
    for name in names.roots() {
        root.insert(name.into(), data.get(name).cloned().unwrap_or_default());
    }
    let mut now = now.map(|issue| serde_json::to_value(issue).unwrap_or_default()).unwrap_or_default();
    if let (Some(members), Some(project)) = (now.as_object_mut(), data.get("project")) {
        members.insert("project".into(), project.clone());
    }
    root.insert("now".into(), now);
    root.insert("change".into(), changes(event));
    root.insert("event".into(), data);
    Value::Object(root)
}

/// Leaves out what was not read yet (`now`; of a reduced issue what its webhook did not carry), so that asking for it is an error and not a wrong answer.
pub(crate) fn without_unknown(mut context: Value, is_reduced: bool) -> Value {
    if is_reduced {
        prune(context.get_mut("issue"));
        prune(context.get_mut("event").and_then(|event| event.get_mut("issue")));
    }
    if let Some(root) = context.as_object_mut() {
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
fn changes(event: &Event) -> Value {
    let mut map = Map::new();
    for change in &event.data.changes {
        let (from, to) = (change.from.as_ref(), change.to.as_ref());
        let entry = json!({
            "from": from.and_then(|value| value.text.as_deref()),
            "to": to.and_then(|value| value.text.as_deref()),
            "from_id": from.and_then(|value| value.id.as_deref()),
            "to_id": to.and_then(|value| value.id.as_deref()),
        });
        let lower = change.field.to_lowercase();
        for name in [Some(change.field.as_str()), Some(lower.as_str()), change.name.as_deref()].into_iter().flatten() {
            map.entry(name).or_insert_with(|| entry.clone());
        }
    }
    Value::Object(map)
}
