//! Fits a section of the file to its settings type, and tells every mistake in it.
//!
//! A deserializer stops at the first mistake. So the offending member is recorded and taken out, and the rest is tried again,
//! until it fits or something is missing that was never there. What was taken out is not reported missing afterwards.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, Error, ValueDeserializer};

use super::problems::{Place, Problems};
use super::sources::Sources;
use super::tree::{self, Path, Step, Value};
use super::wording::{quoted_after, reword};

/// One table of the file: `[receiver]`, `[sink.docs]`.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    pub(crate) kind: &'static str,
    /// Empty where there is only one of its kind.
    pub(crate) name: String,
    /// Where the name of the section begins.
    pub(crate) offset: usize,
    pub(crate) value: Value<'a>,
}

impl Section<'_> {
    pub(crate) fn label(&self) -> String {
        label(self.kind, &self.name)
    }

    /// Where a member stands; the section's head where it has no such member.
    pub(crate) fn place(&self, path: &[Step], sources: &Sources) -> Place {
        sources.place(tree::offset(&self.value, path).unwrap_or(self.offset))
    }
}

/// A section's head as it stands in the file.
pub(crate) fn label(kind: &str, name: &str) -> String {
    let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    match (name, is_bare) {
        ("", _) => format!("`[{kind}]`"),
        (name, true) => format!("`[{kind}.{name}]`"),
        (name, false) => format!("`[{kind}.{name:?}]`"),
    }
}

/// The settings, and the section without what did not fit. None: something that is needed is missing.
pub(crate) fn fit<'a, T: DeserializeOwned>(
    section: &Section<'a>,
    also: &[&str],
    sources: &'a Sources,
    problems: &mut Problems,
) -> Option<(T, Section<'a>)> {
    let mut rest = section.clone();
    let mut removed: Vec<Path> = Vec::new();
    loop {
        let err = match T::deserialize(ValueDeserializer::from(rest.value.clone())) {
            Ok(settings) => return Some((settings, rest)),
            Err(err) => err,
        };
        let path = offender(&rest.value, &err);
        let missing = quoted_after(err.message(), "missing field ");
        let is_wrong_value = missing.is_none() && quoted_after(err.message(), "unknown field ").is_none();
        if is_wrong_value && take_texts(&mut rest.value, &path, sources) {
            continue;
        }
        let repeated = missing.is_some_and(|name| removed.contains(&[path.clone(), tree::members(&[name])].concat()));
        if !repeated {
            let (message, hint) = reword(err.message(), &section.label(), &tree::label(&path), also);
            problems.add(rest.place(&path, sources), message, hint);
        }
        if path.is_empty() {
            return None;
        }
        if let [list @ .., Step::Entry(_)] = path.as_slice() {
            // What follows in the list moves up: the paths that are known no longer name what they named.
            removed.retain(|gone| !gone.starts_with(list));
        }
        removed.push(path.clone());
        tree::remove(&mut rest.value, &path);
    }
}

/// The member or entry that the error is about; empty: the section itself.
fn offender(value: &Value<'_>, err: &Error) -> Path {
    let Some(span) = err.span() else { return Path::new() };
    let mut exact: Option<Path> = (span == value.span()).then(Path::new);
    let mut around: Option<(usize, Path)> = None;
    tree::walk(value, &mut Path::new(), &mut |path, name, inner| {
        if name.as_ref() == Some(&span) || inner.span() == span {
            exact = Some(path.clone());
        }
        for range in name.into_iter().chain([inner.span()]) {
            if range.contains(&span.start) && around.as_ref().is_none_or(|(length, _)| range.len() <= *length) {
                around = Some((range.len(), path.clone()));
            }
        }
    });
    let found = exact.or(around.map(|(_, path)| path)).unwrap_or_default();
    // A tagged table is read as a whole: only its message knows which of its members is meant.
    let Some(unknown) = quoted_after(err.message(), "unknown field ") else { return found };
    let inner = [found.clone(), vec![Step::Member(unknown.to_owned())]].concat();
    if tree::get(value, &inner).is_some() { inner } else { found }
}

/// What came from a variable and was read as a number, a list or the like is taken as a text instead, if it was not wanted so.
fn take_texts<'a>(value: &mut Value<'a>, path: &[Step], sources: &'a Sources) -> bool {
    let Some(start) = tree::get(value, path) else { return false };
    let mut found: Option<(Path, &str)> = None;
    let mut consider = |path: Path, inner: &Value<'a>| {
        // A table on the way to an overridden member has an empty span; a value has its text's.
        if let Some(text) = sources.variable_at(inner.span().start)
            && !inner.get_ref().is_str()
            && !inner.span().is_empty()
            && found.is_none()
        {
            found = Some((path, text));
        }
    };
    consider(path.to_vec(), start);
    tree::walk(start, &mut path.to_vec(), &mut |path, _, inner| consider(path.clone(), inner));
    let Some((path, text)) = found else { return false };
    let Some(inner) = tree::get_mut(value, &path) else { return false };
    *inner = Spanned::new(inner.span(), DeValue::String(text.into()));
    true
}
