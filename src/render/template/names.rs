//! Checks every name in a template, so that a slip of the pen is found when the program starts and not in a channel.
//!
//! A name of the event, with its members, must be known; a name that the template makes itself may not hide one of the event's.

use std::collections::BTreeSet;

use super::TemplateError;
use super::filters::{FILTERS, MORE_FILTERS};
use super::tokens::{self, Tag, Token};

/// Statements that would reach other templates, or switch escaping off.
const REFUSED: [&str; 7] = ["include", "import", "from", "extends", "block", "autoescape", "endautoescape"];
const KEYWORDS: [&str; 15] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None", "recursive", "loop"];
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];
/// Names that the engine itself gives.
const GIVEN: [&str; 4] = ["self", "caller", "varargs", "kwargs"];
const TESTS: [&str; 35] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// The paths that the template names, each once, in its order.
pub(super) fn check(source: &str, known: &dyn Fn(&[&str]) -> bool) -> Result<Vec<Vec<String>>, TemplateError> {
    let tags = tokens::tags(source);
    let mut own = BTreeSet::new();
    for tag in tags.iter().filter(|tag| tag.is_statement) {
        for (name, line) in made_by(tag)? {
            if known(&[name]) || name == "field" {
                let hint = "give the variable another name".to_owned();
                return Err(TemplateError::new(Some(line), format!("`{name}` is a name of the event already"), hint));
            }
            own.insert(name);
        }
    }
    let mut checker = Checker { known, own, paths: Vec::new() };
    for tag in &tags {
        checker.tag(tag)?;
    }
    Ok(checker.paths)
}

fn name_at(tag: &Tag, at: usize) -> Option<&str> {
    match tag.tokens.get(at) {
        Some((Token::Name(name), _)) => Some(name),
        _ => None,
    }
}

fn sign_at(tag: &Tag, at: usize) -> Option<&'static str> {
    match tag.tokens.get(at) {
        Some((Token::Sign(sign), _)) => Some(sign),
        _ => None,
    }
}

/// The names that a statement makes.
fn made_by(tag: &Tag) -> Result<Vec<(&str, usize)>, TemplateError> {
    // Whitespace control stands before the keyword.
    let first = tag.tokens.iter().position(|(token, _)| matches!(token, Token::Name(_)));
    let Some(start) = first else { return Ok(Vec::new()) };
    let keyword = name_at(tag, start).unwrap_or_default();
    let line = tag.tokens[start].1;
    if REFUSED.contains(&keyword) {
        let hint = "write the text itself: a template stands alone, and all values are escaped";
        return Err(TemplateError::new(Some(line), format!("`{keyword}` cannot be used here"), hint));
    }
    let mut made = Vec::new();
    let mut depth = 0_usize;
    for at in start + 1..tag.tokens.len() {
        match sign_at(tag, at) {
            Some("(" | "[" | "{") => depth += 1,
            Some(")" | "]" | "}") => depth = depth.saturating_sub(1),
            Some("=" | "|") if keyword == "set" => break,
            _ => {}
        }
        let Some(name) = name_at(tag, at) else { continue };
        if keyword == "for" && name == "in" {
            break;
        }
        let after_separator = at == start + 1 || matches!(sign_at(tag, at - 1), Some("," | "("));
        let is_made = match keyword {
            "for" | "set" => after_separator && sign_at(tag, at + 1) != Some("."),
            "with" => after_separator && depth == 0 && sign_at(tag, at + 1) == Some("="),
            "macro" => at == start + 1 || (depth == 1 && after_separator),
            "call" => sign_at(tag, start + 1) == Some("(") && depth == 1 && after_separator && !has_closed(tag, start + 1, at),
            _ => false,
        };
        if is_made {
            made.push((name, tag.tokens[at].1));
        }
    }
    Ok(made)
}

fn has_closed(tag: &Tag, from: usize, to: usize) -> bool {
    (from..to).any(|at| sign_at(tag, at) == Some(")"))
}

struct Checker<'k, 't> {
    known: &'k dyn Fn(&[&str]) -> bool,
    own: BTreeSet<&'t str>,
    paths: Vec<Vec<String>>,
}

impl Checker<'_, '_> {
    fn tag(&mut self, tag: &Tag) -> Result<(), TemplateError> {
        let keyword = if tag.is_statement { tag.tokens.iter().position(|(token, _)| matches!(token, Token::Name(_))) } else { None };
        let mut at = keyword.map_or(0, |keyword| keyword + 1);
        if keyword.and_then(|keyword| name_at(tag, keyword)) == Some("filter") {
            self.filter(tag, at)?;
            at += 1;
        }
        while at < tag.tokens.len() {
            at = self.token(tag, at)?;
        }
        Ok(())
    }

    /// Checks what stands at `at`; says where to go on.
    fn token(&mut self, tag: &Tag, at: usize) -> Result<usize, TemplateError> {
        if sign_at(tag, at) == Some("|") {
            self.filter(tag, at + 1)?;
            return Ok(at + 2);
        }
        if matches!(sign_at(tag, at), Some("==" | "!=")) && is_none(tag, at + 1)
            || (is_none(tag, at) && matches!(sign_at(tag, at + 1), Some("==" | "!=")))
        {
            let hint = "write `is none` or `is not none`, or just `{% if name %}`";
            return Err(TemplateError::new(line(tag, at), "a value cannot be compared with `none`", hint));
        }
        let Some(name) = name_at(tag, at) else { return Ok(at + 1) };
        if name == "is" {
            let test = if name_at(tag, at + 1) == Some("not") { at + 2 } else { at + 1 };
            return self.test(tag, test);
        }
        let is_member = at > 0 && sign_at(tag, at - 1) == Some(".");
        let is_argument = sign_at(tag, at + 1) == Some("=");
        if KEYWORDS.contains(&name) || is_member || is_argument || GIVEN.contains(&name) || self.own.contains(name) {
            return Ok(at + 1);
        }
        if sign_at(tag, at + 1) == Some("(") {
            return self.call(tag, at, name);
        }
        self.path(tag, at, name)
    }

    fn filter(&self, tag: &Tag, at: usize) -> Result<(), TemplateError> {
        let Some(name) = name_at(tag, at) else { return Ok(()) };
        if FILTERS.contains(&name) || MORE_FILTERS.contains(&name) {
            return Ok(());
        }
        let hint = format!("the filters are {}", listed(FILTERS.iter().chain(&MORE_FILTERS)));
        Err(TemplateError::new(line(tag, at), format!("there is no filter `{name}`"), hint))
    }

    fn test(&self, tag: &Tag, at: usize) -> Result<usize, TemplateError> {
        match name_at(tag, at) {
            Some(name) if !TESTS.contains(&name) => {
                let hint = format!("the tests are {}", listed(TESTS.iter()));
                Err(TemplateError::new(line(tag, at), format!("there is no test `{name}`"), hint))
            }
            _ => Ok(at + 1),
        }
    }

    fn call(&mut self, tag: &Tag, at: usize, name: &str) -> Result<usize, TemplateError> {
        if FUNCTIONS.contains(&name) {
            return Ok(at + 1);
        }
        if name != "field" {
            let hint = "the functions are `field(\"name\")`, `range`, `dict` and `namespace`; what changes a value is a filter: `{{ name | upper }}`";
            return Err(TemplateError::new(line(tag, at), format!("there is no function `{name}`"), hint));
        }
        let (Some((Token::Text(field), _)), Some(")")) = (tag.tokens.get(at + 2), sign_at(tag, at + 3)) else {
            let hint = "write the field's name as text: `field(\"Story Points\")`";
            return Err(TemplateError::new(line(tag, at), "`field` needs the name of a field", hint));
        };
        self.reference(vec![name, field], line(tag, at))?;
        Ok(at + 4)
    }

    /// A name and its members: `issue.status.name`, `issue["status"]`; an index ends what can be checked.
    fn path(&mut self, tag: &Tag, start: usize, name: &str) -> Result<usize, TemplateError> {
        let mut path = vec![name];
        let mut at = start + 1;
        loop {
            match (sign_at(tag, at), tag.tokens.get(at + 1).map(|(token, _)| token), sign_at(tag, at + 2)) {
                (Some("."), Some(Token::Name(member)), _) => {
                    path.push(member);
                    at += 2;
                }
                (Some("["), Some(Token::Text(member)), Some("]")) => {
                    path.push(member);
                    at += 3;
                }
                _ => break,
            }
        }
        if sign_at(tag, at) == Some("(") {
            let method = path.pop().unwrap_or_default();
            let hint = format!("use a filter: `{{{{ {} | {} }}}}`", path.join("."), if method == "length" { "length" } else { "upper" });
            return Err(TemplateError::new(line(tag, start), format!("`{}` has no function `{method}`", path.join(".")), hint));
        }
        if name == "field" {
            let hint = "write the field's name as text: `field(\"Story Points\")`";
            return Err(TemplateError::new(line(tag, start), "`field` needs the name of a field", hint));
        }
        self.reference(path, line(tag, start))?;
        Ok(at)
    }

    fn reference(&mut self, path: Vec<&str>, line: Option<usize>) -> Result<(), TemplateError> {
        if !(self.known)(&path) {
            let depth = (1..path.len()).rev().find(|depth| path.get(..*depth).is_some_and(|part| (self.known)(part)));
            let hint = match (path.first(), depth.and_then(|depth| Some((path.get(..depth)?, path.get(depth)?)))) {
                (Some(&"field"), _) => "look the field's name up in Jira, with its capitals".to_owned(),
                (_, Some((part, member))) => format!("`{}` has no member `{member}`", part.join(".")),
                _ => "a template knows `event` and its members, as in `issue.summary`, besides `change`, `now` and `field(\"name\")`"
                    .to_owned(),
            };
            return Err(TemplateError::new(line, format!("unknown name `{}`", path.join(".")), hint));
        }
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        Ok(())
    }
}

fn line(tag: &Tag, at: usize) -> Option<usize> {
    tag.tokens.get(at).map(|(_, line)| *line)
}

fn is_none(tag: &Tag, at: usize) -> bool {
    matches!(name_at(tag, at), Some("none" | "None"))
}

fn listed<'n>(names: impl Iterator<Item = &'n &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
