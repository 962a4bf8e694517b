//! Reads Markdown: the `body` of an event, which this room wrote, on its way to another dialect.
//!
//! A line feed in a paragraph is a break, as Jira's authors meant it. HTML is text like any other.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::document::{self, Block, Content, Document, Item, MAX_DEPTH, Mark, Marks, Span, Table};
use super::link::{self, Url};

pub fn read(text: &str) -> Document {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader { frames: vec![Frame::new(Kind::Root)], ..Reader::default() };
    for event in Parser::new_ext(text, options) {
        reader.event(event);
    }
    while reader.frames.len() > 1 {
        reader.close();
    }
    reader.end_line();
    Document { blocks: reader.frames.pop().map(|root| root.blocks).unwrap_or_default() }
}

/// A container that is open.
struct Frame {
    kind: Kind,
    blocks: Vec<Block>,
    items: Vec<Item>,
    task: Option<bool>,
}

enum Kind {
    Root,
    Quote,
    List(Option<u64>),
    Item,
}

impl Frame {
    fn new(kind: Kind) -> Self {
        Self { kind, blocks: Vec::new(), items: Vec::new(), task: None }
    }
}

#[derive(Default)]
struct Reader {
    frames: Vec<Frame>,
    /// Containers beyond the depth that the tree may have: read as if they were not there.
    ignored: usize,
    spans: Vec<Span>,
    marks: [usize; 3],
    link: Option<Url>,
    code: Option<(Option<String>, String)>,
    table: Option<Table>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Html(text) | Event::InlineHtml(text) => self.text(text.trim_end_matches('\n')),
            Event::Code(text) => {
                let (marks, link) = (self.current(), self.link.clone());
                self.spans.push(Span { content: Content::Code(document::clean(&text).into_owned()), marks, link });
            }
            Event::SoftBreak | Event::HardBreak => self.spans.push(Span::line_break()),
            Event::Rule => self.block(Block::Rule),
            Event::TaskListMarker(done) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.task = Some(done);
                }
            }
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => self.open(Kind::Quote),
            Tag::List(start) => self.open(Kind::List(start)),
            Tag::Item => self.open(Kind::Item),
            Tag::CodeBlock(kind) => {
                self.end_line();
                let language = match kind {
                    CodeBlockKind::Fenced(language) if !language.is_empty() => Some(language.to_string()),
                    CodeBlockKind::Fenced(_) | CodeBlockKind::Indented => None,
                };
                self.code = Some((language, String::new()));
            }
            Tag::Table(_) => self.table = Some(Table { header: true, rows: Vec::new() }),
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Strong => self.marks[Mark::Strong as usize] += 1,
            Tag::Emphasis => self.marks[Mark::Emphasis as usize] += 1,
            Tag::Strikethrough => self.marks[Mark::Strike as usize] += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.link = Url::parse(&dest_url),
            Tag::Paragraph | Tag::Heading { .. } => self.end_line(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => self.close(),
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_line(),
            TagEnd::Heading(level) => {
                let content = std::mem::take(&mut self.spans);
                self.block(Block::Heading { level: level_number(level), content });
            }
            TagEnd::CodeBlock => {
                if let Some((language, mut text)) = self.code.take() {
                    text.truncate(text.trim_end_matches('\n').len());
                    self.block(Block::Code { language, text });
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.spans);
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                if let Some(mut table) = self.table.take() {
                    // A table without names of columns is written with an empty first row.
                    if table.rows.first().is_some_and(|row| row.iter().all(|cell| cell.is_empty())) {
                        table.rows.remove(0);
                        table.header = false;
                    }
                    self.block(Block::Table(table));
                }
            }
            TagEnd::Strong => self.unmark(Mark::Strong),
            TagEnd::Emphasis => self.unmark(Mark::Emphasis),
            TagEnd::Strikethrough => self.unmark(Mark::Strike),
            TagEnd::Link | TagEnd::Image => self.link = None,
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, code)) = &mut self.code {
            code.push_str(text);
            return;
        }
        let marks = self.current();
        document::push_text(&mut self.spans, text, marks, self.link.as_ref());
    }

    fn current(&self) -> Marks {
        Mark::ALL.into_iter().filter(|mark| self.marks[*mark as usize] > 0).fold(Marks::NONE, Marks::with)
    }

    fn unmark(&mut self, mark: Mark) {
        self.marks[mark as usize] = self.marks[mark as usize].saturating_sub(1);
    }

    fn open(&mut self, kind: Kind) {
        self.end_line();
        if self.frames.len() > MAX_DEPTH {
            self.ignored += 1;
            return;
        }
        self.frames.push(Frame::new(kind));
    }

    fn close(&mut self) {
        self.end_line();
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        let Some(frame) = self.frames.pop() else { return };
        let Some(parent) = self.frames.last_mut() else {
            self.frames.push(frame);
            return;
        };
        match frame.kind {
            Kind::Item => parent.items.push(Item { task: frame.task, blocks: frame.blocks }),
            Kind::List(start) => parent.blocks.push(Block::List { start, items: frame.items }),
            Kind::Quote => parent.blocks.push(Block::Quote(frame.blocks)),
            Kind::Root => {}
        }
    }

    /// Ends the paragraph that is being read; a tight list has items without paragraphs.
    fn end_line(&mut self) {
        if self.table.is_some() || self.spans.is_empty() {
            return;
        }
        let spans = link_addresses(std::mem::take(&mut self.spans));
        self.block(Block::Paragraph(spans));
    }

    fn block(&mut self, block: Block) {
        if let Some(frame) = self.frames.last_mut() {
            frame.blocks.push(block);
        }
    }
}

/// Bare addresses are links; the parser gives a line's text in pieces, so this waits until it is whole.
fn link_addresses(spans: Vec<Span>) -> Vec<Span> {
    let mut linked = Vec::with_capacity(spans.len());
    for span in spans {
        match &span {
            Span { content: Content::Text(text), marks, link: None } => link::push_linked(&mut linked, text, *marks),
            _ => linked.push(span),
        }
    }
    linked
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
