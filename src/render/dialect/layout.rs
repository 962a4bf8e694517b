//! The walk over a document that all dialects share: blocks, indents, marks and links. A `Style` says what differs.

use std::cell::Cell;

use crate::render::document::{self, Block, Content, Document, Item, Mark, Marks, Span, Table};
use crate::render::link::Url;

/// The surroundings of a literal text, which decide what must be escaped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) line_start: bool,
    pub(super) in_label: bool,
    pub(super) in_cell: bool,
}

/// What a dialect writes. All strings are appended to `out`.
pub(super) trait Style {
    /// Spaces before a block inside a list's item.
    const INDENT: usize;
    /// Stands between a letter and a delimiter, where the dialect would not see the delimiter otherwise.
    const GLUE: &'static str = "";
    /// Lines may not begin with spaces.
    const TRIMS_LINES: bool = false;
    /// A second block of an item needs an empty line before it.
    const LOOSE_ITEMS: bool = false;

    fn literal(&self, out: &mut String, text: &str, place: Place);
    fn delimiter(&self, mark: Mark) -> &'static str;
    fn code(&self, out: &mut String, text: &str, place: Place);
    fn status(&self, out: &mut String, text: &str, place: Place);
    /// `label` is not empty and shows no other address.
    fn link(&self, out: &mut String, label: &[Span], url: &Url, place: Place);
    fn bare_link(&self, out: &mut String, url: &Url);
    fn heading(&self, level: u8, content: &[Span]) -> String;
    fn fence(&self, language: Option<&str>, text: &str) -> String;
    fn table(&self, table: &Table) -> String;
    fn bullet(&self, number: Option<u64>, task: Option<bool>) -> String;
    fn panel(&self, label: &str, titled: bool, inner: String) -> String;
}

/// Writes the blocks and stops, with an ellipsis, soon after `limit` bytes.
pub(super) fn write<S: Style>(style: &S, document: &Document, limit: usize) -> String {
    let layout = Layout { style, left: Cell::new(limit), cut: Cell::new(false) };
    let mut text = layout.blocks(&document.blocks, "\n\n");
    if layout.cut.get() {
        text.push('…');
    }
    text
}

pub(super) fn link<S: Style>(style: &S, label: &str, url: &Url) -> String {
    let mut spans = Vec::new();
    document::push_text(&mut spans, &label.replace('\n', " "), Marks::NONE, Some(url));
    line(style, &spans, false)
}

/// One line, or the lines of one paragraph.
pub(super) fn line<S: Style>(style: &S, spans: &[Span], in_cell: bool) -> String {
    let mut line = Line { style, out: String::new(), open: Vec::new(), in_cell };
    for group in spans.chunk_by(|a, b| a.link.is_some() && a.link == b.link) {
        match group.first().and_then(|span| span.link.as_ref()) {
            Some(url) => line.link(group, url),
            None => group.iter().for_each(|span| line.span(span)),
        }
    }
    line.close(Marks::NONE, None);
    line.out
}

/// Puts `prefix` before every line, without its trailing spaces where the line is empty.
pub(super) fn prefixed(text: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(text.len() + prefix.len() * 4);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
        out.push_str(line);
    }
    out
}

struct Layout<'s, S> {
    style: &'s S,
    left: Cell<usize>,
    cut: Cell<bool>,
}

impl<S: Style> Layout<'_, S> {
    fn blocks(&self, blocks: &[Block], between: &str) -> String {
        let mut out = String::new();
        for block in blocks {
            if self.left.get() == 0 {
                self.cut.set(true);
                break;
            }
            let text = self.block(block);
            if text.trim().is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push_str(between);
            }
            out.push_str(&text);
        }
        out
    }

    fn block(&self, block: &Block) -> String {
        let text = match block {
            Block::Paragraph(spans) => line(self.style, spans, false),
            Block::Heading { content, .. } if document::is_blank(content) => String::new(),
            Block::Heading { level, content } => self.style.heading(*level, content),
            Block::Code { language, text } => self.style.fence(language.as_deref(), text),
            Block::Table(table) => self.style.table(table),
            Block::Rule => "---".to_owned(),
            Block::Quote(blocks) => return quoted(&self.blocks(blocks, "\n\n")),
            Block::Panel { label, titled, blocks } => return self.style.panel(label, *titled, self.blocks(blocks, "\n\n")),
            Block::List { start, items } => return self.list(*start, items),
        };
        self.left.set(self.left.get().saturating_sub(text.len()));
        text
    }

    fn list(&self, start: Option<u64>, items: &[Item]) -> String {
        let mut out = String::new();
        for (index, item) in items.iter().enumerate() {
            if self.left.get() == 0 {
                self.cut.set(true);
                break;
            }
            if index > 0 {
                out.push('\n');
            }
            let number = start.map(|start| start.saturating_add(u64::try_from(index).unwrap_or(u64::MAX)).min(999_999_999));
            let mut marker = self.style.bullet(number, item.task);
            self.left.set(self.left.get().saturating_sub(marker.len()));
            let inner = self.item(&item.blocks);
            if S::LOOSE_ITEMS && !matches!(item.blocks.first(), None | Some(Block::Paragraph(_))) {
                // The first block must stand where those after it stand.
                marker.push_str(&" ".repeat(S::INDENT.saturating_sub(marker.len())));
            }
            let width = S::INDENT.max(if S::LOOSE_ITEMS && number.is_some() { marker.len() } else { 0 });
            let indented = prefixed(&inner, &" ".repeat(width));
            out.push_str(&marker);
            out.push_str(indented.trim_start());
            out.truncate(out.trim_end().len());
        }
        out
    }

    fn item(&self, blocks: &[Block]) -> String {
        let mut out = String::new();
        for block in blocks {
            let text = self.blocks(std::slice::from_ref(block), "\n");
            if text.is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.push_str(if S::LOOSE_ITEMS && !matches!(block, Block::List { .. }) { "\n\n" } else { "\n" });
            }
            out.push_str(&text);
        }
        out
    }
}

pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { prefixed(text, "> ") }
}

/// A line while it is written: the marks that are open, innermost last.
struct Line<'s, S> {
    style: &'s S,
    out: String,
    open: Vec<Mark>,
    in_cell: bool,
}

impl<S: Style> Line<'_, S> {
    fn place(&self) -> Place {
        Place { line_start: self.out.is_empty() || self.out.ends_with('\n'), in_label: false, in_cell: self.in_cell }
    }

    fn span(&mut self, span: &Span) {
        match &span.content {
            Content::Text(text) => self.text(text, span.marks),
            Content::Code(text) if text.trim().is_empty() => self.text(text, Marks::NONE),
            Content::Code(text) => {
                self.turn(span.marks, text.chars().next());
                self.style.code(&mut self.out, text, Place { line_start: false, in_label: false, in_cell: self.in_cell });
            }
            Content::Status(text) if text.trim().is_empty() => {}
            Content::Status(text) => {
                self.turn(Marks::NONE, None);
                let place = self.place();
                self.style.status(&mut self.out, text, place);
            }
            Content::Break => {
                self.close(Marks::NONE, None);
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.push(if self.in_cell { ' ' } else { '\n' });
            }
        }
    }

    /// Spaces stay outside the delimiters, where all dialects want them.
    fn text(&mut self, text: &str, marks: Marks) {
        let words = text.trim_start();
        let spaces = &text[..text.len() - words.len()];
        if words.is_empty() {
            return self.out.push_str(text);
        }
        self.close(marks, text.chars().next());
        let place = self.place();
        if !(S::TRIMS_LINES && place.line_start) {
            self.out.push_str(spaces);
        }
        self.open(marks);
        // After a delimiter no line begins any more.
        let place = self.place();
        self.style.literal(&mut self.out, words, place);
    }

    fn link(&mut self, group: &[Span], url: &Url) {
        let label = document::words(group);
        let marks = group.iter().map(|span| span.marks).reduce(Marks::shared).unwrap_or_default();
        if url.is_disguised_as(&label) {
            for span in group {
                self.span(&Span { link: None, ..span.clone() });
            }
            self.close(Marks::NONE, None);
            self.out.push_str(" (");
            self.style.bare_link(&mut self.out, url);
            return self.out.push(')');
        }
        self.turn(marks, label.chars().next());
        if label.trim().is_empty() || label.trim() == url.as_str() {
            return self.style.bare_link(&mut self.out, url);
        }
        let place = self.place();
        self.style.link(&mut self.out, group, url, place);
    }

    fn turn(&mut self, marks: Marks, next: Option<char>) {
        self.close(marks, next);
        self.open(marks);
    }

    /// Closes what is open and not in `marks`, before any spaces at the end.
    fn close(&mut self, marks: Marks, next: Option<char>) {
        let kept = self.open.iter().take_while(|mark| marks.has(**mark)).count();
        if kept == self.open.len() {
            return;
        }
        let words = self.out.trim_end_matches(' ').len();
        let spaces = self.out.split_off(words);
        for mark in self.open.drain(kept..).rev() {
            self.out.push_str(self.style.delimiter(mark));
        }
        if spaces.is_empty() && next.is_some_and(char::is_alphanumeric) {
            self.out.push_str(S::GLUE);
        }
        self.out.push_str(&spaces);
    }

    fn open(&mut self, marks: Marks) {
        for mark in Mark::ALL {
            if !marks.has(mark) || self.open.contains(&mark) {
                continue;
            }
            if self.out.chars().next_back().is_some_and(char::is_alphanumeric) {
                self.out.push_str(S::GLUE);
            }
            self.out.push_str(self.style.delimiter(mark));
            self.open.push(mark);
        }
    }
}
