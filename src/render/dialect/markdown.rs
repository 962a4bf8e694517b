//! Markdown as CommonMark defines it, with tables, tasks and struck text.
//!
//! A literal is escaped only where Markdown would see more in it than words, so that plain text stays plain text, byte for byte.

use super::layout::{self, Place, Style};
use crate::render::document::{self, Content, Mark, Span, Table};
use crate::render::link::{self, Url};
use crate::render::wiki::quick;

const COLUMNS_MAX: usize = 64;

pub(super) struct Markdown;

pub(super) fn escape(text: &str) -> String {
    if quick::is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    escape_into(&mut out, text, Place { line_start: true, ..Place::default() });
    out
}

impl Style for Markdown {
    const INDENT: usize = 4;
    const TRIMS_LINES: bool = true;
    const LOOSE_ITEMS: bool = true;

    fn literal(&self, out: &mut String, text: &str, place: Place) {
        escape_into(out, text, place);
    }

    fn delimiter(&self, mark: Mark) -> &'static str {
        match mark {
            Mark::Strong => "**",
            Mark::Emphasis => "*",
            Mark::Strike => "~~",
        }
    }

    fn code(&self, out: &mut String, text: &str, place: Place) {
        let fence = "`".repeat(longest_run(text) + 1);
        let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
        let text = if place.in_cell { text.replace('|', "\\|") } else { text.to_owned() };
        let text = text.replace('\n', " ");
        out.push_str(&format!("{fence}{pad}{text}{pad}{fence}"));
    }

    fn status(&self, out: &mut String, text: &str, place: Place) {
        out.push_str("**");
        escape_into(out, text.trim(), Place { line_start: false, ..place });
        out.push_str("**");
    }

    fn link(&self, out: &mut String, label: &[Span], url: &Url, place: Place) {
        if out.ends_with('!') && !out.ends_with("\\!") {
            out.truncate(out.len() - 1);
            out.push_str("\\!");
        }
        out.push('[');
        let mut words = String::new();
        for span in label {
            match &span.content {
                Content::Code(text) => self.code(&mut words, text, place),
                _ => {
                    let text = document::words(std::slice::from_ref(span));
                    escape_into(&mut words, &text, Place { line_start: false, in_label: true, ..place });
                }
            }
        }
        out.push_str(words.trim());
        out.push_str(&format!("]({})", destination(url)));
    }

    fn bare_link(&self, out: &mut String, url: &Url) {
        let mut escaped = String::new();
        escape_into(&mut escaped, url.as_str(), Place::default());
        let is_found_again = link::address_length(url.as_str()) == Some(url.as_str().len());
        if escaped == url.as_str() && is_found_again && !out.chars().next_back().is_some_and(char::is_alphanumeric) {
            return out.push_str(url.as_str());
        }
        out.push_str(&format!("<{url}>"));
    }

    fn heading(&self, level: u8, content: &[Span]) -> String {
        let mut line = layout::line(self, content, true);
        if line.ends_with('#') {
            // A heading's last `#` would be taken for its end.
            line.truncate(line.len() - 1);
            line.push_str("\\#");
        }
        format!("{} {}", "#".repeat(usize::from(level.clamp(1, 6))), line)
    }

    fn fence(&self, language: Option<&str>, text: &str) -> String {
        let fence = "`".repeat(longest_run(text).max(2) + 1);
        let language: String =
            language.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || "_+#.-".contains(*c)).take(32).collect();
        format!("{fence}{language}\n{text}\n{fence}")
    }

    fn table(&self, table: &Table) -> String {
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0).min(COLUMNS_MAX);
        if columns == 0 {
            return String::new();
        }
        let row = |cells: &[Vec<Span>]| {
            let mut line = String::from("|");
            for column in 0..columns {
                let text = cells.get(column).map(|cell| layout::line(self, cell, true)).unwrap_or_default();
                line.push_str(&format!(" {} |", text.trim()));
            }
            line
        };
        let (head, body) = if table.header {
            table.rows.split_first().map_or((&[][..], &[][..]), |(head, body)| (head.as_slice(), body))
        } else {
            (&[][..], table.rows.as_slice())
        };
        let mut lines = vec![row(head), format!("|{}", " --- |".repeat(columns))];
        lines.extend(body.iter().map(|cells| row(cells)));
        lines.join("\n")
    }

    fn bullet(&self, number: Option<u64>, task: Option<bool>) -> String {
        let marker = number.map_or_else(|| "- ".to_owned(), |number| format!("{number}. "));
        match task {
            Some(true) => marker + "[x] ",
            Some(false) => marker + "[ ] ",
            None => marker,
        }
    }

    fn panel(&self, label: &str, titled: bool, inner: String) -> String {
        if !titled {
            return layout::quoted(&inner);
        }
        layout::quoted(&format!("**{}**\n\n{inner}", escape(label.trim())))
    }
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A link's destination: brackets would end it, and an entity in it would be read.
fn destination(url: &Url) -> String {
    let text = url.as_str().replace('(', "%28").replace(')', "%29");
    if text.split('&').skip(1).any(is_entity) { text.replace('&', "\\&") } else { text }
}

/// Whether an ampersand before this text makes an entity of it.
fn is_entity(text: &str) -> bool {
    let name = text.bytes().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'#').count();
    name > 0 && text.as_bytes().get(name) == Some(&b';')
}

fn escape_into(out: &mut String, text: &str, place: Place) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let at_start = index > 0 || place.line_start;
        let line =
            if at_start && (line.starts_with("    ") || line.trim_start_matches(' ').starts_with('\t')) { line.trim_start() } else { line };
        escape_line(out, line, Place { line_start: at_start, ..place });
    }
}

fn escape_line(out: &mut String, line: &str, place: Place) {
    let bytes = line.as_bytes();
    let marker = if place.line_start { block_marker(line) } else { None };
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let is_special = matches!(byte, b'\\' | b'`' | b'*' | b'_' | b'[' | b']' | b'<' | b'&' | b'~' | b'|');
        if marker != Some(at) && !is_special {
            at += 1;
            continue;
        }
        // A run of these is one delimiter; the others are looked at one by one.
        let is_delimiter = matches!(byte, b'*' | b'_');
        let run = if is_delimiter { bytes[at..].iter().take_while(|same| *same == byte).count() } else { 1 };
        let before = line[..at].chars().next_back();
        if marker == Some(at) || matters(*byte, before, &line[at + 1..], line[at + run..].chars().next(), run, place) {
            out.push_str(&line[from..at]);
            for _ in 0..run {
                out.push('\\');
                out.push(char::from(*byte));
            }
            from = at + run;
        }
        at += run;
    }
    out.push_str(&line[from..]);
}

/// Whether Markdown would see more in this character than itself. Beyond the ends of a text may stand anything.
fn matters(byte: u8, before: Option<char>, rest: &str, after_run: Option<char>, run: usize, place: Place) -> bool {
    let next = rest.chars().next();
    let is_space = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    match byte {
        b'\\' => next.is_none_or(|c| c.is_ascii_punctuation()),
        b'`' => true,
        b'*' => !(run == 1 && is_space(before) && is_space(after_run)),
        b'_' => !((is_letter(before) && is_letter(after_run)) || (run == 1 && is_space(before) && is_space(after_run))),
        b'~' => !(is_space(before) && is_space(next)),
        b'[' => place.in_label || (place.line_start && before.is_none() && task_marker(rest)),
        b']' => place.in_label || matches!(next, Some('(' | ':')),
        b'<' => next.is_none_or(|c| c.is_ascii_alphabetic() || "/!?".contains(c)),
        b'&' => rest.is_empty() || is_entity(rest),
        b'|' => place.in_cell,
        _ => false,
    }
}

fn task_marker(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b' ' | b'x' | b'X', b']'] | [b' ' | b'x' | b'X', b']', b' ', ..])
}

/// Where in a line the character stands that would make a block of it.
fn block_marker(line: &str) -> Option<usize> {
    let text = line.trim_start_matches(' ');
    let start = line.len() - text.len();
    let bytes = text.as_bytes();
    let is_gap = |at: usize| bytes.get(at).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let consists_of = |set: &[u8]| bytes.iter().all(|byte| set.contains(byte));
    let found = match bytes.first()? {
        b'#' => {
            let level = bytes.iter().take_while(|byte| **byte == b'#').count();
            (level <= 6 && is_gap(level)).then_some(0)
        }
        b'>' => Some(0),
        b'-' if consists_of(b"|-: \t") => Some(0),
        b'|' | b':' if consists_of(b"|-: \t") && bytes.contains(&b'-') => Some(0),
        b'-' | b'+' | b'*' => is_gap(1).then_some(0),
        b'=' => consists_of(b"= \t").then_some(0),
        b'0'..=b'9' => {
            let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (digits < 10 && matches!(bytes.get(digits), Some(b'.' | b')')) && is_gap(digits + 1)).then_some(digits)
        }
        _ => None,
    };
    found.map(|at| start + at)
}
