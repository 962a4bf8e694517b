//! Plain text: the words, with as much order as lines and dashes can give.

use super::layout::{self, Place, Style};
use crate::render::document::{self, Mark, Span, Table};
use crate::render::link::Url;

pub(super) struct Plain;

impl Style for Plain {
    const INDENT: usize = 2;

    fn literal(&self, out: &mut String, text: &str, _: Place) {
        out.push_str(text);
    }

    fn delimiter(&self, _: Mark) -> &'static str {
        ""
    }

    fn code(&self, out: &mut String, text: &str, _: Place) {
        out.push_str(text);
    }

    fn status(&self, out: &mut String, text: &str, _: Place) {
        out.push_str(&format!("[{text}]"));
    }

    fn link(&self, out: &mut String, label: &[Span], url: &Url, _: Place) {
        let label = document::words(label);
        if url.is_shown_by(&label) {
            return out.push_str(url.as_str());
        }
        out.push_str(&format!("{} ({url})", label.trim()));
    }

    fn bare_link(&self, out: &mut String, url: &Url) {
        out.push_str(url.as_str());
    }

    fn heading(&self, _: u8, content: &[Span]) -> String {
        layout::line(self, content, true)
    }

    fn fence(&self, _: Option<&str>, text: &str) -> String {
        text.to_owned()
    }

    fn table(&self, table: &Table) -> String {
        let rows = table.rows.iter().map(|row| row.iter().map(|cell| layout::line(self, cell, true)).collect::<Vec<_>>().join(" | "));
        rows.collect::<Vec<_>>().join("\n")
    }

    fn bullet(&self, number: Option<u64>, task: Option<bool>) -> String {
        match (task, number) {
            (Some(true), _) => "[x] ".to_owned(),
            (Some(false), _) => "[ ] ".to_owned(),
            (None, Some(number)) => format!("{number}. "),
            (None, None) => "- ".to_owned(),
        }
    }

    fn panel(&self, label: &str, _: bool, inner: String) -> String {
        format!("{label}: {inner}")
    }
}
