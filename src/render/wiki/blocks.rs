//! The lines of wiki markup: headings, lists, tables, rules, quotes of one line and paragraphs.

use super::inline;
use crate::render::document::{Block, Item, MAX_DEPTH, Span, Table};

pub(super) fn read(text: &str, blocks: &mut Vec<Block>) {
    let mut lines = Lines { blocks, state: State::None };
    for line in text.split('\n') {
        lines.line(line);
    }
    lines.end();
}

/// What the lines before this one have begun.
enum State<'t> {
    None,
    Paragraph(Vec<&'t str>),
    List(Vec<ListLine<'t>>),
    Table(Vec<String>),
}

struct ListLine<'t> {
    /// `*`, `**`, `#*` ...
    marker: &'t str,
    lines: Vec<&'t str>,
}

struct Lines<'b, 't> {
    blocks: &'b mut Vec<Block>,
    state: State<'t>,
}

impl<'t> Lines<'_, 't> {
    fn line(&mut self, line: &'t str) {
        let text = line.trim();
        if text.is_empty() {
            return self.end();
        }
        if let Some(block) = single(text) {
            self.end();
            self.blocks.push(block);
            return;
        }
        if let Some((marker, rest)) = list_marker(text) {
            if !matches!(self.state, State::List(_)) {
                self.end();
                self.state = State::List(Vec::new());
            }
            if let State::List(items) = &mut self.state {
                items.push(ListLine { marker, lines: vec![rest] });
            }
            return;
        }
        if text.starts_with('|') && text.len() > 1 {
            if !matches!(self.state, State::Table(_)) {
                self.end();
                self.state = State::Table(Vec::new());
            }
            if let State::Table(rows) = &mut self.state {
                rows.push(text.to_owned());
            }
            return;
        }
        self.continuation(line);
    }

    /// A line that begins nothing of its own.
    fn continuation(&mut self, line: &'t str) {
        match &mut self.state {
            State::None => self.state = State::Paragraph(vec![line]),
            State::Paragraph(lines) => lines.push(line),
            State::List(items) => {
                if let Some(item) = items.last_mut() {
                    item.lines.push(line);
                }
            }
            State::Table(rows) => match rows.last_mut().filter(|row| !row.ends_with('|')) {
                Some(row) => {
                    row.push('\n');
                    row.push_str(line.trim_end());
                }
                None => {
                    self.end();
                    self.state = State::Paragraph(vec![line]);
                }
            },
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.state, State::None) {
            State::None => {}
            State::Paragraph(lines) => self.blocks.push(Block::Paragraph(spans(&lines))),
            State::List(items) => list(&items, 0, self.blocks),
            State::Table(rows) => self.blocks.push(Block::Table(table(&rows))),
        }
    }
}

fn spans(lines: &[&str]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            spans.push(Span::line_break());
        }
        inline::read(line, &mut spans);
    }
    spans
}

/// A block that is one line.
fn single(text: &str) -> Option<Block> {
    if text.len() >= 4 && text.bytes().all(|byte| byte == b'-') {
        return Some(Block::Rule);
    }
    if let Some(quoted) = text.strip_prefix("bq. ") {
        return Some(Block::Quote(vec![Block::Paragraph(spans(&[quoted.trim_start()]))]));
    }
    let level = text.strip_prefix('h')?.bytes().next().filter(|byte| (b'1'..=b'6').contains(byte))?;
    let content = text.get(2..)?.strip_prefix('.')?;
    (content.is_empty() || content.starts_with(' '))
        .then(|| Block::Heading { level: level - b'0', content: spans(&[content.trim_start()]) })
}

/// The bullets at the start of a line, and what follows them. `-` alone is a bullet, more of it is a dash.
fn list_marker(text: &str) -> Option<(&str, &str)> {
    let length = text.bytes().take_while(|byte| matches!(byte, b'*' | b'#' | b'-')).count();
    let (marker, rest) = text.split_at(length);
    let dashes = marker.bytes().filter(|byte| *byte == b'-').count();
    let is_marker = (1..=MAX_DEPTH / 2).contains(&length) && (dashes == 0 || length == 1) && rest.starts_with(' ');
    is_marker.then(|| (marker, rest.trim_start()))
}

/// The lines of one list from depth `depth` on: those with a longer marker belong to the item before them.
fn list(lines: &[ListLine<'_>], depth: usize, blocks: &mut Vec<Block>) {
    let kind_of = |line: &ListLine<'_>| line.marker.as_bytes().get(depth).copied();
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let is_numbered = kind_of(first) == Some(b'#');
        let same = |line: &ListLine<'_>| line.marker.len() > depth + 1 || (kind_of(line) == Some(b'#')) == is_numbered;
        let length = rest.iter().position(|line| !same(line)).unwrap_or(rest.len()).max(1);
        let (run, after) = rest.split_at(length);
        let start = is_numbered.then_some(1);
        blocks.push(Block::List { start, items: items(run, depth) });
        rest = after;
    }
}

fn items(mut lines: &[ListLine<'_>], depth: usize) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some(first) = lines.first() {
        let mut item = Item::default();
        if first.marker.len() == depth + 1 {
            item.blocks.push(Block::Paragraph(spans(&first.lines)));
            lines = &lines[1..];
        }
        let length = lines.iter().position(|line| line.marker.len() <= depth + 1).unwrap_or(lines.len());
        let (nested, after) = lines.split_at(length);
        if !nested.is_empty() {
            list(nested, depth + 1, &mut item.blocks);
        }
        lines = after;
        items.push(item);
    }
    items
}

fn table(rows: &[String]) -> Table {
    let header = rows.first().is_some_and(|row| row.starts_with("||"));
    let rows = rows.iter().map(|row| cells(row).into_iter().map(|cell| spans(&cell.trim().split('\n').collect::<Vec<_>>())).collect());
    Table { header, rows: rows.collect() }
}

/// Cuts a row at its bars, but not inside links, code and images.
fn cells(row: &str) -> Vec<&str> {
    let bytes = row.as_bytes();
    let start = bytes.iter().take_while(|byte| **byte == b'|').count().min(2);
    let last_close = row.rfind(']').unwrap_or(0);
    let last_code = row.rfind("}}").unwrap_or(0);
    let (mut cells, mut from, mut at) = (Vec::new(), start, start);
    let (mut in_link, mut in_code) = (false, false);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1) == Some(byte);
        match byte {
            b'\\' => at += 1,
            b'[' if !in_code && last_close > at => in_link = true,
            b']' => in_link = false,
            b'{' if pair && last_code > at => in_code = true,
            b'}' if pair => in_code = false,
            b'!' if !in_code => at += inline::image(&row[at..]).map_or(0, |image| image.length - 1),
            b'|' if !in_link && !in_code => {
                cells.push(&row[from..at]);
                at += usize::from(pair);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if row.get(from..).is_some_and(|rest| !rest.trim().is_empty()) {
        cells.push(&row[from..]);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_cut_at_its_bars_only() {
        for (row, expected) in [
            ("|a|b|", vec!["a", "b"]),
            ("||h1||h2||", vec!["h1", "h2"]),
            ("|[x|http://a.example]|{{a|b}}|", vec!["[x|http://a.example]", "{{a|b}}"]),
            ("|!a.png|thumbnail!|c", vec!["!a.png|thumbnail!", "c"]),
            (r"|a\|b|", vec![r"a\|b"]),
            ("|[|[|", vec!["[", "["]),
            ("|é|", vec!["é"]),
            ("|| |", vec![" "]),
        ] {
            assert_eq!(cells(row), expected, "{row}");
        }
    }

    #[test]
    fn lists_nest_by_their_markers() {
        let mut blocks = Vec::new();
        read("* a\n** b\n*# c\n* d\n# e", &mut blocks);
        let [Block::List { start: None, items: bullets }, Block::List { start: Some(1), items: numbers }] = blocks.as_slice() else {
            panic!("{blocks:?}")
        };
        assert_eq!((bullets.len(), numbers.len()), (2, 1));
        let nested = &bullets[0].blocks;
        assert!(matches!(nested.as_slice(), [Block::Paragraph(_), Block::List { start: None, .. }, Block::List { start: Some(1), .. }]));
    }
}
