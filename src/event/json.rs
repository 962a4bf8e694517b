//! JSON that is carried, not understood: custom fields travel as Jira wrote them, without being parsed at the door.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// The members of an object in one piece of text, in the order in which they came. None is `{}`.
#[derive(Debug, Clone, Default)]
pub struct Members(Option<Box<RawValue>>);

const EMPTY: &str = "{}";

impl Members {
    /// Without the white space between tokens: an event must fit on one line.
    pub fn new<'a>(members: impl Iterator<Item = (&'a str, &'a RawValue)> + Clone) -> Self {
        if members.clone().next().is_none() {
            return Self(None);
        }
        let written = to_raw_value(&Written(members)).expect("text and JSON are written as JSON");
        if memchr::memchr2(b'\n', b'\r', written.get().as_bytes()).is_none() {
            return Self(Some(written));
        }
        Self(Some(RawValue::from_string(compact(written.get())).expect("JSON without its white space is JSON")))
    }

    pub fn text(&self) -> &str {
        self.0.as_ref().map_or(EMPTY, |raw| raw.get())
    }
}

struct Written<I>(I);

impl<'a, I: Iterator<Item = (&'a str, &'a RawValue)> + Clone> Serialize for Written<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.clone() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match raw.get() {
            EMPTY => Ok(Self(None)),
            text if text.starts_with('{') => Ok(Self(Some(raw))),
            _ => Err(serde::de::Error::custom("an object is due")),
        }
    }
}

fn compact(text: &str) -> String {
    let (mut kept, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        kept.push(c);
    }
    kept
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl JsonSchema for Members {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Members".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members {
        let read: Vec<(String, Box<RawValue>)> = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).map_or_else(
            |_| Vec::new(),
            |map| map.into_iter().map(|(name, value)| (name, to_raw_value(&value).expect("a value"))).collect(),
        );
        Members::new(read.iter().map(|(name, value)| (name.as_str(), &**value)))
    }

    #[test]
    fn white_space_between_tokens_goes_and_that_within_strings_stays() {
        let pretty: &RawValue = serde_json::from_str("[ 1,\n 2,\r\n \"c\\\" d\\\\\", \" e \" ]").expect("it is JSON");
        let members = Members::new([("a \"b\"", pretty)].into_iter());
        assert_eq!(members.text(), r#"{"a \"b\"":[1,2,"c\" d\\"," e "]}"#);
    }

    #[test]
    fn they_come_back_as_they_were() {
        for text in ["{}", r#"{"customfield_2":null,"customfield_1":{"value":"Shop"}}"#] {
            let members = members(text);
            assert_eq!(serde_json::to_string(&members).expect("written"), text);
            assert_eq!(serde_json::from_str::<Members>(text).expect("read"), members);
        }
        for bad in ["[]", "null", "7"] {
            assert!(serde_json::from_str::<Members>(bad).is_err(), "{bad}");
        }
    }
}
