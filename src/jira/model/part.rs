//! Small parts of an issue: what has an id and a name, its type, its status, its parent.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scalar::{Flag, Id, Text, filled, known, owned_id};
use crate::event;

/// An object with `id` and `name`. Old samples write only the name, as text.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
}

impl Named<'_> {
    /// Nothing where neither is known.
    pub(crate) fn named(&self) -> Option<event::Named> {
        Some(self.level()).filter(|named| named.id.is_some() || named.name.is_some())
    }

    /// A level that is there restricts the issue, even where it has neither id nor name.
    pub(crate) fn level(&self) -> event::Named {
        event::Named { id: owned_id(self.id.as_ref()), name: filled(self.name.as_ref()) }
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a name, or a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Named { id: None, name: Some(Text(name.into())) })
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Named { id: None, name: Some(Text(name.to_owned().into())) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut named = Named::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "id" => named.id = map.next_value()?,
                "name" => named.name = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(named)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamedVisitor)
    }
}

/// What restricts: whatever stands there restricts, whether it can be read or not.
#[derive(Debug)]
pub(crate) struct Level<'a>(pub(crate) Named<'a>);

struct LevelVisitor;

impl<'de> Visitor<'de> for LevelVisitor {
    type Value = Named<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a security level")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        NamedVisitor.visit_borrowed_str(name)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        NamedVisitor.visit_str(name)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Named::default())
    }

    fn visit_i64<E>(self, id: i64) -> Result<Self::Value, E> {
        Ok(Named { id: Some(Id(id.to_string().into())), name: None })
    }

    fn visit_u64<E>(self, id: u64) -> Result<Self::Value, E> {
        Ok(Named { id: Some(Id(id.to_string().into())), name: None })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Named::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Named::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        NamedVisitor.visit_map(map)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Level<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LevelVisitor).map(Self)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct IssueType<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    subtask: Option<Flag>,
}

impl IssueType<'_> {
    pub(crate) fn kind(&self) -> Option<event::IssueType> {
        let kind = event::IssueType {
            id: owned_id(self.id.as_ref()),
            name: filled(self.name.as_ref()),
            subtask: self.subtask.is_some_and(|flag| flag.0),
        };
        Some(kind).filter(|kind| kind.id.is_some() || kind.name.is_some())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    status_category: Option<Category<'a>>,
}

#[derive(Debug, Deserialize)]
struct Category<'a> {
    #[serde(borrow)]
    key: Option<Text<'a>>,
}

impl Status<'_> {
    pub(crate) fn status(&self) -> Option<event::Status> {
        let key = self.status_category.as_ref().and_then(|category| category.key.as_ref());
        let category = match key.map(Text::as_str) {
            Some("new") => Some(event::Category::New),
            Some("indeterminate") => Some(event::Category::Indeterminate),
            Some("done") => Some(event::Category::Done),
            _ => None,
        };
        let status = event::Status { id: owned_id(self.id.as_ref()), name: filled(self.name.as_ref()), category };
        Some(status).filter(|status| status.id.is_some() || status.name.is_some())
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Parent<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    key: Option<Text<'a>>,
}

impl Parent<'_> {
    pub(crate) fn keyed(&self) -> Option<event::Keyed> {
        Some(event::Keyed { id: known(self.id.as_ref())?.to_owned(), key: filled(self.key.as_ref()) })
    }
}
