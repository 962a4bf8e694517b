//! JSON that is carried, not understood: custom fields travel as Jira wrote them, without being parsed at the door.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// None is `null`, as most custom fields are: it takes no memory of its own.
#[derive(Debug, Clone)]
pub struct Json(Option<Box<RawValue>>);

const NULL: &str = "null";

impl Json {
    pub fn text(&self) -> &str {
        self.0.as_ref().map_or(NULL, |raw| raw.get())
    }

    /// As a value. What cannot be read as one (nested beyond reason, half a surrogate) is `null`.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Some(raw).filter(|raw| raw.get() != NULL)))
    }
}

impl From<&RawValue> for Json {
    /// Without the white space between tokens: an event must fit on one line.
    fn from(raw: &RawValue) -> Self {
        if raw.get() == NULL {
            return Self(None);
        }
        if !raw.get().contains(['\n', '\r']) {
            return Self(Some(raw.to_owned()));
        }
        Self(Some(RawValue::from_string(compact(raw.get())).expect("JSON without its white space is JSON")))
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

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        if value.is_null() {
            return Self(None);
        }
        Self(Some(RawValue::from_string(value.to_string()).expect("a value is written as JSON")))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_goes_and_that_within_strings_stays() {
        let pretty = "{\n  \"a b\": [ 1,\n 2 ],\r\n \"c\\\" d\\\\\": \" e \"\n}";
        let raw: &RawValue = serde_json::from_str(pretty).expect("it is JSON");
        assert_eq!(Json::from(raw).text(), r#"{"a b":[1,2],"c\" d\\":" e "}"#);
    }
}
