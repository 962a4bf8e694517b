//! Data that would be too long for a road: long texts are cut and marked, then lists too, and the issue is partial, so that whoever needs
//! all of it reads it from Jira. What identifies an event is no part of the data and stays whole.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Data, Entity, Members};

const MARK: &str = "… [cut]";

/// How much is left of texts, lists and custom fields.
pub(super) struct Level {
    text_max: usize,
    list_max: usize,
    with_custom: bool,
}

/// From gentle to what always fits into a megabyte.
pub(super) const LEVELS: [Level; 3] = [
    Level { text_max: 64 << 10, list_max: usize::MAX, with_custom: true },
    Level { text_max: 4 << 10, list_max: 256, with_custom: true },
    Level { text_max: 512, list_max: 16, with_custom: false },
];

impl Level {
    pub(super) fn apply(&self, data: &Data) -> Value {
        let mut data = data.clone();
        if let Some(issue) = &mut data.issue {
            issue.partial = true;
            issue.custom = self.shortened(&issue.custom);
        }
        match &mut data.entity {
            Some(Entity::Property(property)) if !self.keeps(&property.value) => property.value = Value::Null,
            Some(Entity::Option(option)) if !self.keeps(&option.value) => option.value = Value::Null,
            _ => {}
        }
        self.cut(serde_json::to_value(&data).unwrap_or_default())
    }

    fn shortened(&self, custom: &Members) -> Members {
        if !self.with_custom {
            return Members::default();
        }
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(custom.text()).unwrap_or_default();
        let is_short = |(name, value): &(&str, &RawValue)| name.len() <= self.text_max && value.get().len() <= self.text_max;
        Members::new(members.iter().map(|(name, value)| (name.as_str(), *value)).filter(is_short).take(self.list_max))
    }

    fn keeps(&self, value: &Value) -> bool {
        value.to_string().len() <= self.text_max
    }

    fn cut(&self, value: Value) -> Value {
        match value {
            Value::String(text) if text.len() > self.text_max => {
                let end = text.floor_char_boundary(self.text_max);
                Value::String(format!("{}{MARK}", text.get(..end).unwrap_or_default()))
            }
            Value::Array(list) => Value::Array(list.into_iter().take(self.list_max).map(|inner| self.cut(inner)).collect()),
            Value::Object(members) => Value::Object(members.into_iter().map(|(name, inner)| (name, self.cut(inner))).collect()),
            plain => plain,
        }
    }
}
