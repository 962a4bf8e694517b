//! What changed: the changelog of an update, and the transition that a post function tells of.

use serde::{Deserialize, Serialize};

use super::scalar::{Id, Text, known, owned_id};
use crate::event::{Change, Value};

#[derive(Debug, Deserialize)]
pub(crate) struct Changelog<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    items: Option<Vec<Item<'a>>>,
}

/// One changed field. Data Center gives no field id, and numbers may stand for the ids.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item<'a> {
    #[serde(borrow)]
    field: Option<Text<'a>>,
    field_id: Option<Text<'a>>,
    fieldtype: Option<Text<'a>>,
    from: Option<Id<'a>>,
    from_string: Option<Id<'a>>,
    to: Option<Id<'a>>,
    #[serde(rename = "toString")]
    to_string: Option<Id<'a>>,
}

impl<'a> Changelog<'a> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    pub(crate) fn items(&self) -> &[Item<'a>] {
        self.items.as_deref().unwrap_or_default()
    }
}

impl Item<'_> {
    fn key(&self) -> Option<&str> {
        [&self.field_id, &self.field].into_iter().flatten().map(Text::as_str).find(|name| !name.is_empty())
    }

    pub(crate) fn change(&self) -> Change {
        let name = self.field.as_ref().map(|name| name.as_str().to_owned()).filter(|name| !name.is_empty());
        Change {
            field: self.key().unwrap_or_default().to_owned(),
            name,
            custom: self.fieldtype.as_ref().is_some_and(|kind| kind.as_str() == "custom"),
            from: side(self.from.as_ref(), self.from_string.as_ref()),
            to: side(self.to.as_ref(), self.to_string.as_ref()),
        }
    }

    /// As it goes into the hash of an update that has no changelog id: as Jira wrote it, `null` where absent.
    pub(crate) fn hashed(&self) -> impl Serialize {
        let text = |id: &Option<Id<'_>>| id.as_ref().map(|id| id.0.to_string());
        (self.key().map(str::to_owned), text(&self.from), text(&self.from_string), text(&self.to), text(&self.to_string))
    }
}

/// Jira writes "nothing" as `null` or as empty text, by field.
fn side(id: Option<&Id<'_>>, text: Option<&Id<'_>>) -> Option<Value> {
    let value = Value { id: owned_id(id), text: owned_id(text) };
    Some(value).filter(|value| value.id.is_some() || value.text.is_some())
}

/// What a workflow's post function tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transition<'a> {
    #[serde(borrow)]
    transition_id: Option<Id<'a>>,
    id: Option<Id<'a>>,
}

impl Transition<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.transition_id.as_ref()).or_else(|| known(self.id.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_change() {
        let check = |json: &str, field: &str, from: Option<(Option<&str>, Option<&str>)>, to: Option<(Option<&str>, Option<&str>)>| {
            let side = |side: Option<(Option<&str>, Option<&str>)>| {
                side.map(|(id, text)| Value { id: id.map(str::to_owned), text: text.map(str::to_owned) })
            };
            let change = serde_json::from_str::<Item<'_>>(json).expect("an item").change();
            assert_eq!((change.field.as_str(), change.from, change.to), (field, side(from), side(to)), "{json}");
        };
        check(
            r#"{"field":"Status","fieldId":"status","from":10000,"fromString":"To Do","to":"3","toString":"On Hold"}"#,
            "status",
            Some((Some("10000"), Some("To Do"))),
            Some((Some("3"), Some("On Hold"))),
        );
        check(
            r#"{"field":"Sprint","from":"","fromString":"","to":"7","toString":"Sprint 3"}"#,
            "Sprint",
            None,
            Some((Some("7"), Some("Sprint 3"))),
        );
        check(r#"{"field":"labels","from":null,"fromString":"red","to":null,"toString":""}"#, "labels", Some((None, Some("red"))), None);
        check("{}", "", None, None);
    }
}
