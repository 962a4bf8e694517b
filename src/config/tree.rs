//! Walking and changing a parsed TOML value by path, with the places of its members kept.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Member(String),
    Entry(usize),
}

/// From a section to a member, or to an entry of a list.
pub(crate) type Path = Vec<Step>;

/// As people write it: `webhook.secrets[0]`.
pub(crate) fn label(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Member(name) if text.is_empty() => text.push_str(name),
            Step::Member(name) => text.push_str(&format!(".{name}")),
            Step::Entry(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// A path of members.
pub(crate) fn members(names: &[&str]) -> Path {
    names.iter().map(|name| Step::Member((*name).to_owned())).collect()
}

pub(crate) fn get<'t, 'a>(value: &'t Value<'a>, path: &[Step]) -> Option<&'t Value<'a>> {
    path.iter().try_fold(value, |value, step| match (value.get_ref(), step) {
        (DeValue::Table(table), Step::Member(name)) => table.get(name.as_str()),
        (DeValue::Array(array), Step::Entry(index)) => array.get(*index),
        _ => None,
    })
}

pub(crate) fn get_mut<'t, 'a>(value: &'t mut Value<'a>, path: &[Step]) -> Option<&'t mut Value<'a>> {
    path.iter().try_fold(value, |value, step| match (value.get_mut(), step) {
        (DeValue::Table(table), Step::Member(name)) => table.get_mut(name.as_str()),
        (DeValue::Array(array), Step::Entry(index)) => array.get_mut(*index),
        _ => None,
    })
}

/// Where a member's name, or a list's entry, begins.
pub(crate) fn offset(value: &Value<'_>, path: &[Step]) -> Option<usize> {
    let (last, parents) = path.split_last()?;
    match (get(value, parents)?.get_ref(), last) {
        (DeValue::Table(table), Step::Member(name)) => table.get_key_value(name.as_str()).map(|(key, _)| key.span().start),
        (DeValue::Array(array), Step::Entry(index)) => array.get(*index).map(|entry| entry.span().start),
        _ => None,
    }
}

pub(crate) fn remove(value: &mut Value<'_>, path: &[Step]) {
    let Some((last, parents)) = path.split_last() else { return };
    match (get_mut(value, parents).map(Spanned::get_mut), last) {
        (Some(DeValue::Table(table)), Step::Member(name)) => {
            table.remove(name.as_str());
        }
        (Some(DeValue::Array(array)), Step::Entry(index)) => {
            *array = array.iter().enumerate().filter(|(at, _)| at != index).map(|(_, entry)| entry.clone()).collect();
        }
        _ => {}
    }
}

/// The existing paths of several patterns.
pub(crate) fn expand_all(value: &Value<'_>, patterns: &[&[&str]]) -> Vec<Path> {
    patterns.iter().flat_map(|pattern| expand(value, pattern)).collect()
}

/// The existing paths of a pattern: names of members, `*` for every entry of a list or member of a table.
pub(crate) fn expand(value: &Value<'_>, pattern: &[&str]) -> Vec<Path> {
    let Some((first, rest)) = pattern.split_first() else { return vec![Path::new()] };
    let steps: Vec<Step> = match (value.get_ref(), *first) {
        (DeValue::Array(array), "*") => (0..array.len()).map(Step::Entry).collect(),
        (DeValue::Table(table), "*") => table.keys().map(|name| Step::Member(name.get_ref().to_string())).collect(),
        (DeValue::Table(table), name) if table.contains_key(name) => vec![Step::Member(name.to_owned())],
        _ => Vec::new(),
    };
    let mut paths = Vec::new();
    for step in steps {
        for tail in get(value, std::slice::from_ref(&step)).map(|inner| expand(inner, rest)).unwrap_or_default() {
            paths.push([vec![step.clone()], tail].concat());
        }
    }
    paths
}

/// Is shown a path, the span of its name (if it has one) and the value there.
type See<'s, 't, 'a> = &'s mut dyn FnMut(&Path, Option<Range<usize>>, &'t Value<'a>);

/// Shows everything below, parents first.
pub(crate) fn walk<'t, 'a>(value: &'t Value<'a>, path: &mut Path, see: See<'_, 't, 'a>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, inner) in table {
                path.push(Step::Member(key.get_ref().to_string()));
                see(path, Some(key.span()), inner);
                walk(inner, path, see);
                path.pop();
            }
        }
        DeValue::Array(array) => {
            for (index, inner) in array.iter().enumerate() {
                path.push(Step::Entry(index));
                see(path, None, inner);
                walk(inner, path, see);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The same value with its spans counted from `start`.
pub(crate) fn shifted<'a>(value: Value<'a>, start: usize) -> Value<'a> {
    let span = value.span();
    let inner = match value.into_inner() {
        DeValue::Table(table) => {
            let mut moved = DeTable::new();
            for (key, inner) in table {
                let at = key.span();
                moved.insert(Spanned::new(at.start + start..at.end + start, key.into_inner()), shifted(inner, start));
            }
            DeValue::Table(moved)
        }
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|inner| shifted(inner, start)).collect()),
        plain => plain,
    };
    Spanned::new(span.start + start..span.end + start, inner)
}

/// Puts a value under a path of members, making tables on the way; names and value then belong to `span`.
pub(crate) fn put<'a>(table: &mut DeTable<'a>, path: &[&str], span: Range<usize>, new: Value<'a>) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        // Taken out first: a map keeps the old name, whose place would be the wrong one.
        table.remove(*first);
        table.insert(Spanned::new(span, Cow::Owned((*first).to_owned())), new);
        return;
    }
    if !table.get(*first).is_some_and(|inner| inner.get_ref().is_table()) {
        table.remove(*first);
        let name = Spanned::new(span.clone(), Cow::Owned((*first).to_owned()));
        table.insert(name, Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    if let Some(DeValue::Table(inner)) = table.get_mut(*first).map(Spanned::get_mut) {
        put(inner, rest, span, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value<'_> {
        let table = DeTable::parse(text).expect("good TOML");
        shifted(Spanned::new(table.span(), DeValue::Table(table.into_inner())), 100)
    }

    #[test]
    fn patterns_name_what_is_there() {
        let value = parsed("a = { b = [1, { c = 2 }] }\nd = 3");
        for (pattern, expected) in [
            (&["a", "b", "*"][..], vec!["a.b[0]", "a.b[1]"]),
            (&["a", "b", "*", "c"], vec!["a.b[1].c"]),
            (&["d", "*"], vec![]),
            (&["a", "*"], vec!["a.b"]),
            (&["d"], vec!["d"]),
            (&["x"], vec![]),
        ] {
            assert_eq!(expand(&value, pattern).iter().map(|path| label(path)).collect::<Vec<_>>(), expected, "{pattern:?}");
        }
    }

    #[test]
    fn members_can_be_found_removed_and_put() {
        let mut value = parsed("a = [1, 2, 3]\nb.c = 4");
        let entry = vec![Step::Member("a".into()), Step::Entry(1)];
        assert_eq!(offset(&value, &entry), Some(108));
        remove(&mut value, &entry);
        assert_eq!(get(&value, &members(&["a"])).and_then(|a| a.get_ref().as_array()).map(|a| a.len()), Some(2));
        let DeValue::Table(table) = value.get_mut() else { unreachable!("a document is a table") };
        put(table, &["b", "d", "e"], 7..8, Spanned::new(7..8, DeValue::Boolean(true)));
        put(table, &["b", "c"], 7..8, Spanned::new(7..8, DeValue::Boolean(true)));
        assert_eq!(offset(&value, &members(&["b", "d", "e"])), Some(7));
        assert_eq!(offset(&value, &members(&["b", "c"])), Some(7));
    }
}
