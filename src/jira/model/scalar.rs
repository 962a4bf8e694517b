//! Scalars as Jira writes them: borrowed text, ids that are text or numbers, booleans as text, times in three notations, rich text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::surrogate;
use crate::clock::Timestamp;
use crate::event::{Markup, ToMarkdown};

/// Text that stays a part of the body where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An id, kept as text whether Jira wrote text or a number. Never "0" made of the number 0: Jira has no such id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id<'a>(pub(crate) Cow<'a, str>);

/// A whole number, or text of one. What exceeds 64 bits is the nearest that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) i64);

/// `true`, `"true"` or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

/// A time as text with an offset or as milliseconds; nothing where it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Option<Timestamp>);

/// Wiki markup as text, or a document as an object; read only when it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rich<'a>(&'a RawValue);

/// A member that is text, or is there and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    Text(Cow<'a, str>),
    Other,
}

/// The text of an optional member.
pub(crate) fn owned(text: Option<&Text<'_>>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

/// The text of an optional member; nothing where it is empty.
pub(crate) fn filled(text: Option<&Text<'_>>) -> Option<String> {
    text.map(Text::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An optional id; nothing where it is empty.
pub(crate) fn known<'t>(id: Option<&'t Id<'_>>) -> Option<&'t str> {
    id.map(|id| &*id.0).filter(|id| !id.is_empty())
}

pub(crate) fn owned_id(id: Option<&Id<'_>>) -> Option<String> {
    known(id).map(str::to_owned)
}

pub(crate) fn at(moment: Option<Moment>) -> Option<Timestamp> {
    moment.and_then(|moment| moment.0)
}

/// `YYYY-MM-DD`, or nothing.
pub(crate) fn date(text: Option<&Text<'_>>) -> Option<String> {
    let text = text?.as_str();
    let fits = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| if matches!(place, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    fits.then(|| text.to_owned())
}

impl<'a> Rich<'a> {
    /// Markdown; nothing where the text is empty or neither text nor an object.
    pub(crate) fn markdown(self, to_markdown: ToMarkdown) -> Option<String> {
        let raw = self.0.get();
        if raw.starts_with('{') {
            return Some(to_markdown(Markup::Document(raw)));
        }
        let text = match serde_json::from_str::<Text<'_>>(raw) {
            Ok(text) => text.0,
            // Half a surrogate pair is the one thing that is JSON by its grammar and yet no text.
            Err(_) => serde_json::from_str::<String>(&surrogate::mended(raw)?).ok()?.into(),
        };
        (!text.is_empty()).then(|| to_markdown(Markup::Wiki(&text)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Rich<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: text or a whole number")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(if number == 0 { Cow::Borrowed("") } else { Cow::Owned(number.to_string()) })
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor).map(Self)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E>(self, number: u64) -> Result<i64, E> {
        Ok(i64::try_from(number).unwrap_or(i64::MAX))
    }

    #[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates")]
    fn visit_f64<E>(self, number: f64) -> Result<i64, E> {
        Ok(number as i64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        text.parse().map_err(|_| E::custom("text that is not a whole number"))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor).map(Self)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        Ok(number != 0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        text.trim().to_ascii_lowercase().parse().map_err(|_| E::custom("text that is neither true nor false"))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor).map(Self)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time: text or milliseconds")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Timestamp::parse(text))
    }

    fn visit_i64<E>(self, ms: i64) -> Result<Self::Value, E> {
        Ok(Some(Timestamp::from_ms(ms)))
    }

    fn visit_u64<E>(self, ms: u64) -> Result<Self::Value, E> {
        Ok(Some(Timestamp::from_ms(i64::try_from(ms).unwrap_or(i64::MAX))))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor).map(Self)
    }
}

struct ToldVisitor;

impl<'de> Visitor<'de> for ToldVisitor {
    type Value = Told<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Told::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Told::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Told::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Told::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Told::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Told::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Told::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Told::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Told::Other)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Told<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ToldVisitor)
    }
}

impl Told<'_> {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_not() {
        let text: Text<'_> = serde_json::from_str(r#""Disk full""#).expect("text");
        assert!(matches!(text.0, Cow::Borrowed("Disk full")));
        let text: Text<'_> = serde_json::from_str(r#""a\tb""#).expect("text");
        assert_eq!(text.as_str(), "a\tb");
        assert!(serde_json::from_str::<Text<'_>>("17").is_err());
    }

    #[test]
    fn ids_are_text_or_numbers() {
        for (json, id) in [(r#""10012""#, Some("10012")), ("10012", Some("10012")), ("-7", Some("-7")), ("0", None), (r#""""#, None)] {
            let read: Id<'_> = serde_json::from_str(json).expect("an id");
            assert_eq!(known(Some(&read)), id, "{json}");
        }
        for json in ["[]", "{}", "true", "1.5"] {
            assert!(serde_json::from_str::<Id<'_>>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_booleans_and_times_are_lenient() {
        for (json, number) in [("17", 17), (r#""17""#, 17), ("17.9", 17), ("99999999999999999999", i64::MAX), ("-1e300", i64::MIN)] {
            assert_eq!(serde_json::from_str::<Whole>(json).expect("a number").0, number, "{json}");
        }
        for (json, flag) in [("true", true), (r#""True""#, true), (r#""false""#, false), ("0", false), ("1", true)] {
            assert_eq!(serde_json::from_str::<Flag>(json).expect("a flag").0, flag, "{json}");
        }
        let time = Some(Timestamp::from_ms(1_765_441_200_120));
        for (json, moment) in
            [(r#""2025-12-11T09:20:00.120+0100""#, time), ("1765441200120", time), (r#""24/Dec/25""#, None), (r#""""#, None)]
        {
            assert_eq!(serde_json::from_str::<Moment>(json).expect("a time").0, moment, "{json}");
        }
    }

    #[test]
    fn rich_text_is_markup_a_document_or_nothing() {
        fn told(markup: Markup<'_>) -> String {
            match markup {
                Markup::Wiki(text) => format!("wiki {text}"),
                Markup::Document(text) => format!("document {text}"),
            }
        }
        for (json, markdown) in [
            (r#""h2. Why""#, Some("wiki h2. Why")),
            (r#""a\nb""#, Some("wiki a\nb")),
            (r#""a\ud800b""#, Some("wiki a\u{fffd}b")),
            (r#"{"type":"doc"}"#, Some(r#"document {"type":"doc"}"#)),
            (r#""""#, None),
            ("17", None),
        ] {
            let rich: Rich<'_> = serde_json::from_str(json).expect("JSON");
            assert_eq!(rich.markdown(told).as_deref(), markdown, "{json}");
        }
    }

    #[test]
    fn dates_have_one_form() {
        for (text, fits) in [("2025-12-24", true), ("24/Dec/25", false), ("2025-12-24T00:00", false), ("2025-1-1xx", false), ("", false)] {
            assert_eq!(date(Some(&Text(text.into()))).is_some(), fits, "{text}");
        }
    }
}
