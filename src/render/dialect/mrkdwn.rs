//! Slack's mrkdwn.
//!
//! `&`, `<` and `>` of a text are escaped, so the only `<` in what is written begins a link that this room made. Characters that only
//! format cannot be escaped; a zero-width space takes their meaning away where they would have one.

use super::layout::{self, Place, Style};
use crate::render::document::{self, Content, Mark, Span, Table};
use crate::render::link::Url;

const NOTHING: &str = "\u{200b}";
/// Wider columns are not padded any more.
const COLUMN_MAX: usize = 40;

pub(super) struct Mrkdwn;

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    escape_into(&mut out, text);
    out
}

/// What people see of a written text: of a link the label, of an entity its character.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('<') {
        let (token, after) = link.split_once('>').unwrap_or((link, ""));
        out.push_str(before);
        out.push_str(token.split_once('|').map_or(token, |(_, label)| label));
        rest = after;
    }
    out.push_str(rest);
    out.replace(NOTHING, "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

impl Style for Mrkdwn {
    const INDENT: usize = 4;
    const GLUE: &'static str = NOTHING;

    fn literal(&self, out: &mut String, text: &str, _: Place) {
        escape_into(out, text);
    }

    fn delimiter(&self, mark: Mark) -> &'static str {
        match mark {
            Mark::Strong => "*",
            Mark::Emphasis => "_",
            Mark::Strike => "~",
        }
    }

    fn code(&self, out: &mut String, text: &str, _: Place) {
        out.push('`');
        // A backtick inside would end it, and nothing can escape one.
        entities(out, &text.replace('`', "'").replace('\n', " "));
        out.push('`');
    }

    fn status(&self, out: &mut String, text: &str, place: Place) {
        self.code(out, text.trim(), place);
    }

    fn link(&self, out: &mut String, label: &[Span], url: &Url, _: Place) {
        out.push('<');
        entities(out, url.as_str());
        out.push('|');
        entities(out, document::words(label).trim().replace('|', "¦").replace('\n', " ").as_str());
        out.push('>');
    }

    fn bare_link(&self, out: &mut String, url: &Url) {
        out.push('<');
        entities(out, url.as_str());
        out.push('>');
    }

    fn heading(&self, _: u8, content: &[Span]) -> String {
        let strong = content.iter().filter(|span| span.content != Content::Break);
        let strong: Vec<Span> = strong.map(|span| Span { marks: span.marks.with(Mark::Strong), ..span.clone() }).collect();
        layout::line(self, &strong, true)
    }

    fn fence(&self, _: Option<&str>, text: &str) -> String {
        let mut out = String::from("```\n");
        entities(&mut out, &text.replace("``", &format!("`{NOTHING}`")).replace("``", &format!("`{NOTHING}`")));
        out.push_str("\n```");
        out
    }

    fn table(&self, table: &Table) -> String {
        let rows: Vec<Vec<String>> =
            table.rows.iter().map(|row| row.iter().map(|cell| document::words(cell).trim().to_owned()).collect()).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).min(COLUMN_MAX)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut lines = Vec::with_capacity(rows.len() + 1);
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            lines.push(cells.join(" | ").trim_end().to_owned());
            if index == 0 && table.header {
                lines.push(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("-|-"));
            }
        }
        if lines.is_empty() { String::new() } else { self.fence(None, &lines.join("\n")) }
    }

    fn bullet(&self, number: Option<u64>, task: Option<bool>) -> String {
        match (task, number) {
            (Some(true), _) => "☑ ".to_owned(),
            (Some(false), _) => "☐ ".to_owned(),
            (None, Some(number)) => format!("{number}. "),
            (None, None) => "• ".to_owned(),
        }
    }

    fn panel(&self, label: &str, titled: bool, inner: String) -> String {
        if !titled {
            return layout::quoted(&inner);
        }
        layout::quoted(&format!("*{}*\n\n{inner}", escape(label.trim())))
    }
}

fn entity(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        _ => None,
    }
}

fn entities(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(entity) = entity(byte) {
            out.push_str(&text[from..at]);
            out.push_str(entity);
            from = at + 1;
        }
    }
    out.push_str(&text[from..]);
}

fn escape_into(out: &mut String, text: &str) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        escape_line(out, line);
    }
}

fn escape_line(out: &mut String, line: &str) {
    let last = FORMATTING.map(|c| line.rfind(c));
    let mut from = 0;
    for (at, byte) in line.bytes().enumerate() {
        if let Some(entity) = entity(byte) {
            out.push_str(&line[from..at]);
            out.push_str(entity);
            from = at + 1;
        } else if opens(line, at, byte, &last) {
            out.push_str(&line[from..=at]);
            out.push_str(NOTHING);
            from = at + 1;
        }
    }
    out.push_str(&line[from..]);
}

const FORMATTING: [char; 4] = ['`', '*', '_', '~'];

/// Whether this character could begin something: a formatted span, or the name of everybody. `last` is where each kind of
/// delimiter stands last: what has no partner begins nothing.
fn opens(line: &str, at: usize, byte: u8, last: &[Option<usize>; 4]) -> bool {
    let rest = &line.as_bytes()[at + 1..];
    if byte == b'@' {
        let names: [&[u8]; 3] = [b"here", b"channel", b"everyone"];
        return names.iter().any(|name| rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name)));
    }
    let Some(kind) = FORMATTING.iter().position(|c| *c == char::from(byte)) else { return false };
    if last[kind].is_none_or(|last| last <= at) {
        return false;
    }
    let begins_word = line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
    byte == b'`' || (begins_word && line[at + 1..].chars().next().is_some_and(|c| !c.is_whitespace()))
}
