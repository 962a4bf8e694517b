//! One line of wiki markup: marks, code, links, images, mentions, escapes.
//!
//! A delimiter counts only at the edge of a word, and only when its partner comes on the same line: `snake_case` and `2*3*4` stay
//! as they are. Every look ahead stops at the next candidate or is remembered as vain, so a line takes linear time.

use super::macros::{self, Closers};
use crate::render::document::{self, Content, Mark, Marks, Span};
use crate::render::link::{self, Url};

/// The delimiters, and the mark that each makes; underline, superscript and subscript are plain text in every dialect.
const DELIMITERS: [(u8, Option<Mark>); 7] = [
    (b'*', Some(Mark::Strong)),
    (b'_', Some(Mark::Emphasis)),
    (b'-', Some(Mark::Strike)),
    (b'?', Some(Mark::Emphasis)),
    (b'+', None),
    (b'^', None),
    (b'~', None),
];

const ESCAPABLE: &str = "*_-+^~?{}[]|!#\\()";

const EMOTICONS: [(&str, &str); 12] = [
    ("(/)", "✅"),
    ("(x)", "❌"),
    ("(!)", "⚠️"),
    ("(i)", "ℹ️"),
    ("(?)", "❓"),
    ("(y)", "👍"),
    ("(n)", "👎"),
    ("(+)", "➕"),
    ("(-)", "➖"),
    ("(*)", "⭐"),
    ("(on)", "💡"),
    ("(off)", "🌑"),
];

pub(super) fn read(line: &str, spans: &mut Vec<Span>) {
    let first = spans.len();
    let mut reader =
        Reader { line, spans, text: String::new(), open: [None; DELIMITERS.len()], closers: Closers::default(), in_link: false };
    reader.read();
    tidy(spans, first);
}

/// `!file.png|thumbnail!` at the start of `text`.
pub(super) struct Image<'t> {
    name: &'t str,
    pub(super) length: usize,
}

pub(super) fn image(text: &str) -> Option<Image<'_>> {
    let inner = text.strip_prefix('!')?;
    let end =
        inner.bytes().take(600).position(|byte| matches!(byte, b'!' | b'\n')).filter(|end| inner.as_bytes().get(*end) == Some(&b'!'))?;
    let content = inner.get(..end)?;
    let name = content.split('|').next()?;
    let extension = name.rsplit_once('.')?.1;
    let is_file = (2..=5).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_tight = name.trim() == name && name.starts_with(char::is_alphanumeric);
    (is_tight && (is_file || Url::parse(name).is_some())).then_some(Image { name, length: end + 2 })
}

struct Reader<'t, 's> {
    line: &'t str,
    spans: &'s mut Vec<Span>,
    /// Text that is not yet a span.
    text: String,
    /// For each delimiter the span that holds one waiting for its partner.
    open: [Option<usize>; DELIMITERS.len()],
    closers: Closers,
    in_link: bool,
}

impl Reader<'_, '_> {
    fn read(&mut self) {
        let (mut from, mut at) = (0, 0);
        let bytes = self.line.as_bytes();
        while let Some(byte) = bytes.get(at) {
            if !matches!(byte, b'*' | b'_' | b'-' | b'?' | b'+' | b'^' | b'~' | b'{' | b'[' | b'!' | b'\\' | b'(' | b':') {
                at += 1;
                continue;
            }
            self.text.push_str(&self.line[from..at]);
            let length = self.special(at, *byte);
            if length == 0 {
                from = at;
                at += 1;
            } else {
                at += length;
                from = at;
            }
        }
        self.text.push_str(&self.line[from..]);
        self.flush();
    }

    /// Reads what stands at `at`; 0 where it is text.
    fn special(&mut self, at: usize, byte: u8) -> usize {
        match byte {
            b'{' => self.brace(at),
            b'[' if !self.in_link => self.link(at),
            b'!' => self.image(at),
            b'\\' => self.escape(at),
            b'(' => self.emoticon(at),
            b':' => self.address(at),
            b'[' => 0,
            _ => self.delimiter(at, byte),
        }
    }

    fn before(&self, at: usize) -> Option<char> {
        self.line.get(..at)?.chars().next_back()
    }

    fn after(&self, at: usize) -> Option<char> {
        self.line.get(at..)?.chars().next()
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = document::clean(&self.text).into_owned();
            self.spans.push(Span::text(text));
            self.text.clear();
        }
    }

    fn delimiter(&mut self, at: usize, byte: u8) -> usize {
        let run = self.line.as_bytes()[at..].iter().take_while(|same| **same == byte).count();
        let width = if byte == b'?' { 2 } else { 1 };
        let (before, after) = (self.before(at), self.after(at + run));
        if run != width {
            let is_dash = byte == b'-' && before.is_some_and(char::is_whitespace) && after.is_some_and(char::is_whitespace);
            match run {
                2 if is_dash => self.text.push('–'),
                3 if is_dash => self.text.push('—'),
                _ => self.text.push_str(&self.line[at..at + run]),
            }
            return run;
        }
        let Some(index) = DELIMITERS.iter().position(|(delimiter, _)| *delimiter == byte) else { return 0 };
        let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let is_blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
        if let Some(opened) = self.open[index]
            && is_edge(after)
            && !is_blank(before)
            && (!self.text.is_empty() || self.spans.len() > opened + 1)
        {
            self.flush();
            if let Some(mark) = DELIMITERS[index].1 {
                self.spans[opened + 1..].iter_mut().for_each(|span| span.marks = span.marks.with(mark));
            }
            self.spans[opened].content = Content::Text(String::new());
            self.open[index] = None;
            return width;
        }
        if is_edge(before) && !is_blank(after) {
            self.flush();
            self.open[index] = Some(self.spans.len());
            self.spans.push(Span::text(&self.line[at..at + width]));
            return width;
        }
        self.text.push_str(&self.line[at..at + width]);
        width
    }

    fn brace(&mut self, at: usize) -> usize {
        let rest = &self.line[at..];
        if let Some(inner) = rest.strip_prefix("{{") {
            let Some(mut end) = self.closers.find(inner, "}}") else { return self.literal(at, 2) };
            end += inner[end..].bytes().take_while(|byte| *byte == b'}').count() - 2;
            if end == 0 {
                return self.literal(at, 2);
            }
            self.code(&inner[..end]);
            return end + 4;
        }
        let Some(tag) = macros::tag(rest) else { return 0 };
        let closer = match tag.name {
            "color" | "anchor" => return tag.length,
            "code" => "{code}",
            "noformat" => "{noformat}",
            _ => return 0,
        };
        let inner = &rest[tag.length..];
        let Some(end) = self.closers.find(inner, closer) else { return 0 };
        self.code(&inner[..end]);
        tag.length + end + closer.len()
    }

    fn code(&mut self, text: &str) {
        self.flush();
        self.spans.push(Span { content: Content::Code(document::clean(text).into_owned()), marks: Marks::NONE, link: None });
    }

    fn literal(&mut self, at: usize, length: usize) -> usize {
        self.text.push_str(&self.line[at..at + length]);
        length
    }

    fn link(&mut self, at: usize) -> usize {
        let inner = &self.line[at + 1..];
        let Some(end) = inner.bytes().position(|byte| matches!(byte, b'[' | b']')) else { return 0 };
        if inner.as_bytes().get(end) == Some(&b'[') {
            return 0;
        }
        let content = &inner[..end];
        let length = end + 2;
        let (label, target) = match content.split_once('|') {
            Some((label, rest)) => (Some(label), rest.split('|').next().unwrap_or_default()),
            None => (None, content),
        };
        let target = target.trim();
        if let Some(url) = Url::parse(target) {
            self.linked(label.filter(|label| !label.trim().is_empty()), url);
            return length;
        }
        let shown = label.unwrap_or(target);
        match target.as_bytes().first() {
            Some(b'~') => {
                let name = target.trim_start_matches('~');
                let name = label.unwrap_or_else(|| name.strip_prefix("accountid:").unwrap_or(name));
                self.text.push_str(&format!("@{}", name.trim_start_matches('@')));
            }
            Some(b'^') => self.text.push_str(&format!("[attachment: {}]", target.trim_start_matches('^'))),
            Some(b'#') if target.len() > 1 => self.text.push_str(shown),
            _ => return 0,
        }
        length
    }

    fn linked(&mut self, label: Option<&str>, url: Url) {
        self.flush();
        let first = self.spans.len();
        match label {
            Some(label) => {
                let mut inner = Reader {
                    line: label,
                    spans: self.spans,
                    text: String::new(),
                    open: [None; DELIMITERS.len()],
                    closers: Closers::default(),
                    in_link: true,
                };
                inner.read();
            }
            None => self.spans.push(Span::text(url.as_str())),
        }
        self.spans[first..].iter_mut().for_each(|span| span.link = Some(url.clone()));
    }

    fn image(&mut self, at: usize) -> usize {
        if self.before(at).is_some_and(char::is_alphanumeric) {
            return 0;
        }
        let Some(image) = image(&self.line[at..]) else { return 0 };
        match Url::parse(image.name).filter(|_| !self.in_link) {
            Some(url) => self.linked(None, url),
            None => self.text.push_str(&format!("[attachment: {}]", image.name)),
        }
        image.length
    }

    fn escape(&mut self, at: usize) -> usize {
        match self.after(at + 1) {
            Some('\\') if self.after(at + 2).is_none_or(char::is_whitespace) => {
                self.flush();
                self.spans.push(Span::line_break());
                2 + usize::from(self.after(at + 2) == Some(' '))
            }
            Some('\\') => self.literal(at, 2),
            Some(c) if ESCAPABLE.contains(c) => {
                self.text.push(c);
                2
            }
            _ => 0,
        }
    }

    fn emoticon(&mut self, at: usize) -> usize {
        let rest = &self.line[at..];
        let Some((text, emoji)) = EMOTICONS.iter().find(|(text, _)| rest.starts_with(text)) else { return 0 };
        let is_free = |c: Option<char>| c.is_none_or(char::is_whitespace);
        if !is_free(self.before(at)) || !is_free(self.after(at + text.len())) {
            return 0;
        }
        self.text.push_str(emoji);
        text.len()
    }

    /// A bare address, noticed at its colon: the scheme already stands in the text.
    fn address(&mut self, at: usize) -> usize {
        if self.in_link {
            return 0;
        }
        for scheme in ["https", "http", "mailto"] {
            if !self
                .text
                .len()
                .checked_sub(scheme.len())
                .and_then(|start| self.text.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
            {
                continue;
            }
            let start = at - scheme.len();
            let (Some(length), false) = (link::address_length(&self.line[start..]), self.before(start).is_some_and(char::is_alphanumeric))
            else {
                continue;
            };
            let address = &self.line[start..start + length];
            let Some(url) = Url::parse(address) else { continue };
            self.text.truncate(self.text.len() - scheme.len());
            self.flush();
            let label = document::clean(address).into_owned();
            self.spans.push(Span { content: Content::Text(label), marks: Marks::NONE, link: Some(url) });
            return length - scheme.len();
        }
        0
    }
}

/// Joins what looks alike from span `first` on, and drops what is empty.
fn tidy(spans: &mut Vec<Span>, first: usize) {
    let read = spans.split_off(first);
    for span in read {
        match &span.content {
            Content::Text(text) => document::push_text(spans, text, span.marks, span.link.as_ref()),
            Content::Code(text) if text.is_empty() => {}
            Content::Code(_) | Content::Status(_) | Content::Break => spans.push(span),
        }
    }
}
