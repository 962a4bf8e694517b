//! Reading JSON that does not quite have the form it should: what does not fit is left out, and the rest is read.
//!
//! Text of the right form is read once and borrowed from. Only the other way round costs: a value is built, the member or list element that
//! the error names is removed, and it is read again, at most 64 times.

use serde::Deserialize;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::surrogate;

const REPAIRS_MAX: usize = 64;

/// Why nothing could be read, in words for people.
const NOT_JSON: &str = "the body is not JSON that can be read";
const OTHER_FORM: &str = "the body does not have the form of a Jira event";

/// A shape that borrows from the text it is read from.
pub(crate) trait Shape {
    type Read<'a>: Deserialize<'a>;
}

macro_rules! shape {
    ($name:ident) => {
        impl $crate::jira::model::Shape for $name<'_> {
            type Read<'a> = $name<'a>;
        }
    };
}
pub(crate) use shape;

/// What `tell` makes of the text, as good as the text can be read.
pub(crate) fn read<S: Shape, T>(text: &str, tell: impl FnOnce(&S::Read<'_>) -> T) -> Result<T, &'static str> {
    match serde_json::from_str::<S::Read<'_>>(text) {
        Ok(read) => Ok(tell(&read)),
        Err(_) => repaired::<S, T>(text, tell),
    }
}

fn repaired<S: Shape, T>(text: &str, tell: impl FnOnce(&S::Read<'_>) -> T) -> Result<T, &'static str> {
    let mended = surrogate::mended(text);
    // Of members that are there twice the last one counts.
    let mut value: Value = serde_json::from_str(mended.as_deref().unwrap_or(text)).map_err(|_| NOT_JSON)?;
    if !value.is_object() {
        return Err(OTHER_FORM);
    }
    for _ in 0..=REPAIRS_MAX {
        let text = value.to_string();
        let path = match serde_path_to_error::deserialize::<_, S::Read<'_>>(&mut serde_json::Deserializer::from_str(&text)) {
            Ok(read) => return Ok(tell(&read)),
            Err(error) => error.path().clone(),
        };
        if !remove(&mut value, &path) {
            break;
        }
    }
    Err(OTHER_FORM)
}

/// Removes the deepest part of the path that is there.
fn remove(value: &mut Value, path: &Path) -> bool {
    let mut steps = path.iter().take_while(|step| matches!(step, Segment::Map { .. } | Segment::Seq { .. })).peekable();
    let mut here = value;
    while let Some(step) = steps.next() {
        let goes_on = steps.peek().is_some_and(|next| child(here, step).is_some_and(|inner| child(inner, next).is_some()));
        if !goes_on {
            return match (step, here) {
                (Segment::Map { key }, Value::Object(members)) => members.shift_remove(key).is_some(),
                (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
                    list.remove(*index);
                    true
                }
                _ => false,
            };
        }
        let Some(inner) = child_mut(here, step) else { return false };
        here = inner;
    }
    false
}

fn child<'v>(value: &'v Value, step: &Segment) -> Option<&'v Value> {
    match step {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        _ => None,
    }
}

fn child_mut<'v>(value: &'v mut Value, step: &Segment) -> Option<&'v mut Value> {
    match step {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(index),
        _ => None,
    }
}
