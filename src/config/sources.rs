//! The texts a configuration is made of, laid end to end in one address space.
//!
//! Files and environment variables are merged into one tree whose spans count in this space, so that an offset alone says
//! which line of which file, or which variable, a member came from. Offset 0 belongs to nothing: the defaults.

use std::sync::Arc;

use toml::de::DeTable;

use super::problems::Place;

#[derive(Default)]
pub(crate) struct Sources {
    texts: Vec<Text>,
}

pub(crate) struct Text {
    origin: Origin,
    pub(crate) text: String,
    /// Offset of the first byte.
    pub(crate) start: usize,
    /// Where its lines end: there may be a problem in every one.
    breaks: Vec<usize>,
}

enum Origin {
    /// With who keeps it.
    File(Arc<str>, Option<Arc<str>>),
    Variable(Arc<str>),
}

impl Sources {
    pub(crate) fn add_file(&mut self, file: &str, text: String) -> usize {
        let owner = owner(&text);
        self.add(Origin::File(file.into(), owner), text)
    }

    pub(crate) fn add_variable(&mut self, name: &str, text: String) -> usize {
        self.add(Origin::Variable(name.into()), text)
    }

    fn add(&mut self, origin: Origin, text: String) -> usize {
        // One byte more than the text, so that its end is a place in it and an empty text has one.
        let start = self.texts.last().map_or(1, |last| last.start + last.text.len() + 1);
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        self.texts.push(Text { origin, text, start, breaks });
        start
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Text> {
        self.texts.iter().filter(|text| matches!(text.origin, Origin::File(..)))
    }

    /// Names and texts of the variables that override.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &Text)> {
        self.texts.iter().filter_map(|text| match &text.origin {
            Origin::Variable(name) => Some((name.as_ref(), text)),
            Origin::File(..) => None,
        })
    }

    pub(crate) fn place(&self, offset: usize) -> Place {
        let Some(text) = self.text_at(offset) else { return Place::new("the defaults", 0) };
        match &text.origin {
            Origin::File(file, owner) => {
                let line = 1 + text.breaks.partition_point(|end| *end < offset - text.start);
                Place { owner: owner.clone(), ..Place::new(file.clone(), line) }
            }
            Origin::Variable(name) => Place::new(format!("environment variable `{name}`"), 0),
        }
    }

    /// The text of the variable that this offset lies in.
    pub(crate) fn variable_at(&self, offset: usize) -> Option<&str> {
        self.text_at(offset).filter(|text| matches!(text.origin, Origin::Variable(_))).map(|text| text.text.as_str())
    }

    fn text_at(&self, offset: usize) -> Option<&Text> {
        let after = self.texts.partition_point(|text| text.start <= offset);
        after.checked_sub(1).and_then(|at| self.texts.get(at))
    }
}

/// Who keeps a file, as its `owner` says; what is no text is told later, with the other mistakes.
fn owner(text: &str) -> Option<Arc<str>> {
    let (table, _) = DeTable::parse_recoverable(text);
    table.get_ref().get("owner")?.get_ref().as_str().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_says_where_it_came_from() {
        let mut sources = Sources::default();
        let first = sources.add_file("a.toml", "one\ntwo\n".into());
        let second = sources.add_variable("X", String::new());
        let third = sources.add_file("b.toml", "three".into());
        for (offset, expected) in [
            (0, "the defaults"),
            (first, "a.toml:1"),
            (first + 4, "a.toml:2"),
            (first + 8, "a.toml:3"),
            (second, "environment variable `X`"),
            (third, "b.toml:1"),
            (third + 5, "b.toml:1"),
        ] {
            assert_eq!(sources.place(offset).to_string(), expected, "{offset}");
        }
        assert_eq!(sources.variable_at(second), Some(""));
        assert_eq!(sources.variable_at(third), None);
    }
}
