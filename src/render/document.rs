//! Rich text as one tree: blocks, and lines made of spans that carry their marks and their link.
//!
//! Every reader makes it, every dialect is written from it. Text in it is literal: no markup of any dialect, no line feeds,
//! no control characters. A link in it is one that a reader may follow (`link::Url`).

use super::link::Url;

/// How deep blocks may stand inside each other. What is deeper is read as if it stood at this depth.
pub const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Paragraph(Vec<Span>),
    Heading {
        level: u8,
        content: Vec<Span>,
    },
    Quote(Vec<Block>),
    /// A box with a name: `Note`, or a title that somebody gave it.
    Panel {
        label: String,
        titled: bool,
        blocks: Vec<Block>,
    },
    Code {
        language: Option<String>,
        text: String,
    },
    List {
        /// The first number; none where the items are not numbered.
        start: Option<u64>,
        items: Vec<Item>,
    },
    Table(Table),
    Rule,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Whether it is done, where it is a task.
    pub task: Option<bool>,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The first row names the columns.
    pub header: bool,
    pub rows: Vec<Vec<Vec<Span>>>,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub content: Content,
    pub marks: Marks,
    pub link: Option<Url>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(String),
    Code(String),
    Status(String),
    Break,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Strong,
    Emphasis,
    Strike,
}

impl Mark {
    pub const ALL: [Self; 3] = [Self::Strong, Self::Emphasis, Self::Strike];
}

/// A set of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub fn with(self, mark: Mark) -> Self {
        Self(self.0 | 1 << mark as u8)
    }

    pub fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u8) != 0
    }

    #[must_use]
    pub fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Span {
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Content::Text(text.into()), marks: Marks::NONE, link: None }
    }

    pub fn line_break() -> Self {
        Self { content: Content::Break, marks: Marks::NONE, link: None }
    }

    fn words(&self) -> &str {
        match &self.content {
            Content::Text(text) | Content::Code(text) | Content::Status(text) => text,
            Content::Break => " ",
        }
    }
}

/// Adds text, a line feed in it as a break; joins it with the span before where both look alike.
pub fn push_text(spans: &mut Vec<Span>, text: &str, marks: Marks, link: Option<&Url>) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            spans.push(Span::line_break());
        }
        let line = clean(line);
        if line.is_empty() {
            continue;
        }
        if let Some(Span { content: Content::Text(last), marks: same, link: to }) = spans.last_mut()
            && *same == marks
            && to.as_ref() == link
        {
            last.push_str(&line);
            continue;
        }
        spans.push(Span { content: Content::Text(line.into_owned()), marks, link: link.cloned() });
    }
}

/// The text without control characters; a tab becomes a space.
pub fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    text.chars().filter_map(|c| if c == '\t' { Some(' ') } else { (!c.is_control()).then_some(c) }).collect::<String>().into()
}

/// The words of some spans, without marks, on one line.
pub fn words(spans: &[Span]) -> String {
    spans.iter().map(Span::words).collect()
}

pub fn is_blank(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.words().trim().is_empty())
}

/// What a place for one line (a table's cell) shows of blocks: their lines, with breaks between.
pub fn flatten(blocks: &[Block], spans: &mut Vec<Span>) {
    for block in blocks {
        if !spans.is_empty() {
            spans.push(Span::line_break());
        }
        match block {
            Block::Paragraph(content) | Block::Heading { content, .. } => spans.extend_from_slice(content),
            Block::Quote(inner) | Block::Panel { blocks: inner, .. } => flatten(inner, spans),
            Block::Code { text, .. } => {
                spans.push(Span { content: Content::Code(clean(&text.replace('\n', " ")).into_owned()), marks: Marks::NONE, link: None });
            }
            Block::List { items, .. } => items.iter().for_each(|item| flatten(&item.blocks, spans)),
            Block::Table(table) => table.rows.iter().flatten().for_each(|cell| {
                spans.extend_from_slice(cell);
                spans.push(Span::text(" "));
            }),
            Block::Rule => {}
        }
    }
}
