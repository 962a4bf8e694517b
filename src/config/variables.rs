//! Environment variables that override: `TICKETWIRE__SECTION__MEMBER`, `TICKETWIRE__SINK__DOCS__TOKEN`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::assemble::{Assembled, NAMED, SINGLE};
use super::fit::Section;
use super::problems::{Place, Problems};
use super::sources::{Sources, Text};
use super::tree::{self, Value};
use super::wording::suggest;

pub(crate) const PREFIX: &str = "TICKETWIRE__";

/// Puts every variable's value where its path says. Members that do not exist are told when their section is read.
pub(crate) fn apply<'a>(assembled: &mut Assembled<'a>, sources: &'a Sources, problems: &mut Problems) {
    refuse_equal_names(assembled, sources, problems);
    for (name, text) in sources.variables() {
        if let Err((message, hint)) = apply_one(assembled, name, text) {
            problems.add(sources.place(text.start), message, hint);
        }
    }
}

type Wrong = (String, String);

fn apply_one<'a>(assembled: &mut Assembled<'a>, name: &str, text: &'a Text) -> Result<(), Wrong> {
    let path = name.strip_prefix(PREFIX).unwrap_or_default();
    let (first, rest) = path.split_once("__").unwrap_or((path, ""));
    let kind = first.to_lowercase();
    if kind == "data_dir" && rest.is_empty() {
        assembled.data_dir = Some((text.start, value(text)));
        return Ok(());
    }
    if matches!(kind.as_str(), "rule" | "report" | "include") {
        return Err((format!("`{kind}` cannot be overridden by a variable"), "write it into the file".into()));
    }
    let section = match SINGLE.into_iter().find(|single| *single == kind) {
        Some(single) => {
            if assembled.find(single, "").is_none() {
                let empty = Spanned::new(text.start..text.start, DeValue::Table(DeTable::new()));
                assembled.sections.push(Section { kind: single, name: String::new(), offset: text.start, value: empty });
            }
            (assembled.find(single, ""), rest)
        }
        None if NAMED.contains(&kind.as_str()) => named(assembled, &kind, rest)?,
        None => {
            let known: Vec<&str> = SINGLE.into_iter().chain(["connection", "sink", "data_dir"]).collect();
            return Err((format!("the variable names no section: `{kind}` is not known"), suggest(&kind, &known, "there are")));
        }
    };
    let (Some(section), member) = section else { return Err(("the variable names no section".into(), String::new())) };
    if member.is_empty() {
        return Err((format!("the variable names {} and no member of it", section.label()), "add `__MEMBER` to its name".into()));
    }
    let members = member.to_lowercase();
    if let DeValue::Table(table) = section.value.get_mut() {
        tree::put(table, &members.split("__").collect::<Vec<_>>(), text.start..text.start, value(text));
    }
    Ok(())
}

/// The section whose name the variable begins with, and what follows it.
fn named<'t, 'a, 'n>(assembled: &'t mut Assembled<'a>, kind: &str, rest: &'n str) -> Result<(Option<&'t mut Section<'a>>, &'n str), Wrong> {
    let fitting: Vec<(String, &str)> = assembled
        .of(kind)
        .filter_map(|section| {
            let tail = rest.strip_prefix(variable_part(&section.name).as_str())?;
            (tail.is_empty() || tail.starts_with("__")).then(|| (section.name.clone(), tail.trim_start_matches("__")))
        })
        .collect();
    match fitting.as_slice() {
        [(name, tail)] => Ok((assembled.find(kind, name), tail)),
        [] => {
            let asked = rest.split("__").next().unwrap_or_default();
            let known: Vec<String> = assembled.of(kind).map(|section| variable_part(&section.name)).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let hint =
                if known.is_empty() { format!("write `[{kind}.NAME]` into the file first") } else { suggest(asked, &known, "there are") };
            Err((format!("the variable names no {kind} of the file: `{asked}`"), hint))
        }
        _ => Err((format!("the variable fits several sections of kind `{kind}`"), "rename one of them: no `--` in names".into())),
    }
}

fn variable_part(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn refuse_equal_names(assembled: &Assembled<'_>, sources: &Sources, problems: &mut Problems) {
    for kind in ["connection", "sink"] {
        let sections: Vec<_> = assembled.of(kind).collect();
        for (at, section) in sections.iter().enumerate() {
            let twin = sections.iter().take(at).find(|first| variable_part(&first.name) == variable_part(&section.name));
            if let Some(first) = twin {
                let first_place: Place = sources.place(first.offset);
                let message = format!("{} and {} ({first_place}) are one name in environment variables", section.label(), first.label());
                problems.add(sources.place(section.offset), message, "rename one of them");
            }
        }
    }
}

/// A text that is TOML, but no quoted text, is read as such; where a text is wanted, `fit` takes it back.
fn value(text: &Text) -> Value<'_> {
    let whole = text.start..text.start + text.text.len();
    match DeValue::parse(&text.text) {
        Ok(read) if !read.get_ref().is_str() => Spanned::new(whole, tree::shifted(read, text.start).into_inner()),
        _ => Spanned::new(whole, DeValue::String(text.text.as_str().into())),
    }
}
