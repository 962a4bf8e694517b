//! One tree out of several files: which sections there are, each once.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::fit::Section;
use super::problems::Problems;
use super::sources::Sources;
use super::tree::{self, Value};
use super::wording::suggest;

pub(crate) const SINGLE: [&str; 7] = ["receiver", "admin", "queue", "store", "deliver", "log", "traces"];
pub(crate) const NAMED: [&str; 3] = ["connection", "sink", "rule"];
const PLAIN: [&str; 3] = ["data_dir", "include", "owner"];

/// Everything the files say, before anything of it was understood.
#[derive(Default)]
pub(crate) struct Assembled<'a> {
    /// `data_dir` and where its name stands.
    pub(crate) data_dir: Option<(usize, Value<'a>)>,
    pub(crate) sections: Vec<Section<'a>>,
}

impl<'a> Assembled<'a> {
    /// In the order of the files.
    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &Section<'a>> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }

    pub(crate) fn find(&mut self, kind: &str, name: &str) -> Option<&mut Section<'a>> {
        self.sections.iter_mut().find(|section| section.kind == kind && section.name == name)
    }

    fn add(&mut self, section: Section<'a>, sources: &Sources, problems: &mut Problems) {
        if !section.value.get_ref().is_table() {
            let hint = format!("begin a line with {} and put its members below", section.label().trim_matches('`'));
            problems.add(sources.place(section.offset), format!("{} must be a table", section.label()), hint);
            return;
        }
        if let Some(first) = self.find(section.kind, &section.name) {
            let message = format!("{} stands here a second time; first at {}", section.label(), sources.place(first.offset));
            problems.add(sources.place(section.offset), message, "rename it, or make one section of both");
            return;
        }
        self.sections.push(section);
    }
}

/// None: a file is no TOML, and what is left of it after recovery would only give problems that are none.
pub(crate) fn assemble<'a>(sources: &'a Sources, problems: &mut Problems) -> Option<Assembled<'a>> {
    let mut assembled = Assembled::default();
    let mut is_whole = true;
    for (number, file) in sources.files().enumerate() {
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        let mut last_line = None;
        let mut doubled = 0..0;
        for err in &errors {
            let at = err.span().map_or(0, |span| span.start);
            // What stands in a section that is there twice is told with its head.
            if err.message() == DUPLICATE {
                if doubled.contains(&at) {
                    continue;
                }
                doubled = section_at(&file.text, at);
            }
            let place = sources.place(file.start + at);
            // One slip often gives several errors on its line: the first says it best.
            if last_line.replace(place.line) != Some(place.line) {
                let (message, hint) = syntax(err, &file.text);
                problems.add(place, message, hint);
            }
        }
        is_whole &= errors.is_empty();
        let root = tree::shifted(Spanned::new(table.span(), DeValue::Table(table.into_inner())), file.start);
        if let (true, DeValue::Table(root)) = (is_whole, root.into_inner()) {
            add_file(root, number == 0, &mut assembled, sources, problems);
        }
    }
    is_whole.then_some(assembled)
}

/// What the parser says of a name that is there already.
const DUPLICATE: &str = "duplicate key";

/// From a place in a section's head to the next head; empty where it is in no head.
fn section_at(text: &str, at: usize) -> Range<usize> {
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    let is_head = before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['));
    let length = if is_head { rest.find("\n[").unwrap_or(rest.len()) } else { 0 };
    at..at + length
}

fn syntax(err: &Error, text: &str) -> (String, &'static str) {
    let name = err.span().and_then(|span| text.get(span)).unwrap_or_default();
    match err.message() {
        DUPLICATE => (format!("`{name}` stands here a second time"), "rename it, or make one of both"),
        message => (message.to_owned(), "mend what is no TOML first; the rest is checked after that"),
    }
}

fn add_file<'a>(root: DeTable<'a>, is_first: bool, assembled: &mut Assembled<'a>, sources: &'a Sources, problems: &mut Problems) {
    for (key, value) in root {
        let (name, offset) = (key.get_ref().to_string(), key.span().start);
        if let Some(kind) = SINGLE.into_iter().find(|kind| *kind == name) {
            assembled.add(Section { kind, name: String::new(), offset, value }, sources, problems);
        } else if let Some(kind) = NAMED.into_iter().find(|kind| *kind == name) {
            let DeValue::Table(entries) = value.into_inner() else {
                problems.add(sources.place(offset), format!("`{kind}` must be tables with names"), format!("write `[{kind}.NAME]`"));
                continue;
            };
            for (key, value) in entries {
                let section = Section { kind, name: key.get_ref().to_string(), offset: key.span().start, value };
                assembled.add(section, sources, problems);
            }
        } else if name == "data_dir" {
            if let Some((first, _)) = &assembled.data_dir {
                let message = format!("`data_dir` stands here a second time; first at {}", sources.place(*first));
                problems.add(sources.place(offset), message, "remove one of them");
            } else {
                assembled.data_dir = Some((offset, value));
            }
        } else if name == "include" {
            check_include(&value, offset, is_first, sources, problems);
        } else if name == "owner" {
            if !value.get_ref().is_str() {
                problems.add(
                    sources.place(offset),
                    "`owner` is of the wrong type",
                    "write who keeps this file, as in `owner = \"docs team\"`",
                );
            }
        } else if name == "report" {
            problems.add(sources.place(offset), "this build has no reports yet", "remove the section");
        } else {
            let known: Vec<&str> = SINGLE.into_iter().chain(NAMED).chain(PLAIN).collect();
            problems.add(
                sources.place(offset),
                format!("`{name}` is not known at the top of the file"),
                suggest(&name, &known, "there are"),
            );
        }
    }
}

fn check_include(value: &Value<'_>, offset: usize, is_first: bool, sources: &Sources, problems: &mut Problems) {
    if !is_first {
        problems.add(sources.place(offset), "an included file cannot include others", "name all files in the first one");
    }
    let is_list = value.get_ref().as_array().is_some_and(|list| list.iter().all(|entry| entry.get_ref().is_str()));
    if !is_list {
        problems.add(sources.place(offset), "`include` is of the wrong type", "write a list, as in `include = [\"rules.d/*.toml\"]`");
    }
}
