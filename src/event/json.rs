//! JSON that is carried, not understood: custom fields travel as Jira wrote them, without being parsed at the receiver.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// The members of an object in one piece of text, in the order in which they came. None is `{}`.
#[derive(Debug, Clone, Default)]
pub struct Members(Option<Box<RawValue>>);

const EMPTY: &str = "{}";

/// How deep a value may nest. Readers of JSON, ours and others', give up at 128 levels, and an event adds some levels around what it
/// carries.
const DEPTH_MAX: usize = 64;
/// A number with more digits may be beyond what readers of JSON can represent.
const DIGITS_MAX: usize = 300;

/// Whether a reader can take the value: what is JSON by its grammar may nest beyond reason, hold half of a surrogate pair, or a number
/// beyond all numbers.
pub fn is_readable(json: &str) -> bool {
    is_readable_within(json, DEPTH_MAX)
}

/// Parses only what looks odd: most values do not.
fn is_readable_within(json: &str, depth_max: usize) -> bool {
    let Looks { depth, is_odd } = look_at(json);
    depth <= depth_max && (!is_odd || serde_json::from_str::<serde_json::Value>(json).is_ok())
}

/// What the bytes of a value show without parsing it.
#[derive(Default)]
struct Looks {
    depth: usize,
    is_odd: bool,
}

fn look_at(json: &str) -> Looks {
    let (mut looks, mut depth, mut digits, mut rest) = (Looks::default(), 0_usize, 0_usize, json.as_bytes());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => {
                let (behind, has_surrogate) = pass_string(behind);
                rest = behind;
                looks.is_odd |= has_surrogate;
            }
            b'{' | b'[' => {
                depth += 1;
                looks.depth = depth.max(looks.depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'e' | b'E' if digits > 0 => looks.is_odd = true,
            _ => {}
        }
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        looks.is_odd |= digits > DIGITS_MAX;
    }
    looks
}

/// What comes behind the string that has begun, and whether it may hold a part of a surrogate pair.
fn pass_string(mut rest: &[u8]) -> (&[u8], bool) {
    let mut has_surrogate = false;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        match rest.get(at..).unwrap_or_default() {
            [b'\\', escaped @ ..] => {
                has_surrogate |= matches!(escaped, [b'u', b'd' | b'D', ..]);
                rest = escaped.get(1..).unwrap_or_default();
            }
            [_, behind @ ..] => return (behind, has_surrogate),
            [] => break,
        }
    }
    (&[], has_surrogate)
}

impl Members {
    /// Without the white space between tokens: an event must fit on one line. What no reader can take is `null`.
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
            map.serialize_entry(name, &Some(value).filter(|value| is_readable(value.get())))?;
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
            text if text.starts_with('{') && !is_readable_within(text, DEPTH_MAX + 1) => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(<D::Error as serde::de::Error>::custom)?;
                Ok(Self::new(members.iter().map(|(name, value)| (name.as_str(), *value))))
            }
            text if text.starts_with('{') => Ok(Self(Some(raw))),
            _ => Err(serde::de::Error::custom("an object is due")),
        }
    }
}

pub(super) fn compact(text: &str) -> String {
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

    #[test]
    fn what_no_reader_can_take_is_null_and_the_rest_stays() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":["#.repeat(depth / 2), "]}".repeat(depth / 2));
        let flat = format!("[{}]", r#"{"text":"[[[{{{\"[[["},"#.repeat(200) + "[]");
        let of = |texts: &[&str]| {
            let values: Vec<Box<RawValue>> = texts.iter().map(|text| RawValue::from_string((*text).to_owned()).expect("JSON")).collect();
            Members::new(["a", "b", "c"].into_iter().zip(values.iter().map(|value| &**value)))
        };
        let members = of(&[nested(64).as_str(), nested(10_000).as_str(), flat.as_str()]);
        assert_eq!(members.text(), format!(r#"{{"a":{},"b":null,"c":{flat}}}"#, nested(64)));
        let long = "9".repeat(400);
        for (odd, is_taken) in [
            (nested(66).as_str(), false),
            (r#"["half \ud800"]"#, false),
            (r#"["half \\\udc00"]"#, false),
            (r#"["whole \ud83d\ude00", "\\ud800", "\ud55c"]"#, true),
            ("1e999", false),
            (r#"{"n":[1.5E999]}"#, false),
            (r#"{"n":[1.5E99, true, "1e999"]}"#, true),
            (long.as_str(), false),
        ] {
            let expected = format!(r#"{{"a":{}}}"#, if is_taken { odd } else { "null" });
            assert_eq!(of(&[odd]).text(), expected);
            assert_eq!(serde_json::from_str::<Members>(&format!(r#"{{"a":{odd}}}"#)).expect("members").text(), expected);
        }
        assert!(serde_json::to_value(&members).is_ok(), "whoever reads it can");
        let read = |text: &str| serde_json::from_str::<Members>(text).expect("members");
        assert_eq!(read(members.text()), members);
        assert_eq!(read(&format!(r#"{{"a":1,"b":{}}}"#, nested(10_000))).text(), r#"{"a":1,"b":null}"#);
    }
}
