//! Reads Jira's wiki markup, as webhooks, REST v2 and Data Center give it.
//!
//! Never fails and takes time in proportion to the text: what is no whole markup is the text that it looks like.
//! `quick` knows the commonest case, text without any markup, from one look at its bytes.

mod blocks;
mod inline;
mod macros;
pub mod quick;

use super::adf;
use super::document::{Block, Document, MAX_DEPTH};
use macros::Segment;

pub fn read(text: &str) -> Document {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut open = Open { frames: vec![Frame { kind: Kind::Root, blocks: Vec::new() }] };
    for segment in macros::segments(&text) {
        match segment {
            Segment::Text(text) => blocks::read(text, open.blocks()),
            Segment::Code { language, text } => {
                let text = text.trim_matches('\n').to_owned();
                open.blocks().push(Block::Code { language: language.map(str::to_owned), text });
            }
            Segment::Document(json) => open.blocks().extend(adf::read(json).blocks),
            Segment::Quote => open.toggle_quote(),
            Segment::Panel { title: None, named: false } if open.has_panel() => open.close_panel(),
            Segment::Panel { title, .. } => open.push(Kind::Panel(title.map(str::to_owned))),
        }
    }
    while open.frames.len() > 1 {
        open.close();
    }
    Document { blocks: open.frames.pop().map(|root| root.blocks).unwrap_or_default() }
}

struct Frame {
    kind: Kind,
    blocks: Vec<Block>,
}

#[derive(PartialEq)]
enum Kind {
    Root,
    Quote,
    Panel(Option<String>),
}

/// The macros that are open, outermost first; the first frame is the document.
struct Open {
    frames: Vec<Frame>,
}

impl Open {
    fn blocks(&mut self) -> &mut Vec<Block> {
        let last = self.frames.len() - 1;
        &mut self.frames[last].blocks
    }

    fn push(&mut self, kind: Kind) {
        if self.frames.len() < MAX_DEPTH {
            self.frames.push(Frame { kind, blocks: Vec::new() });
        }
    }

    fn toggle_quote(&mut self) {
        if !self.frames.iter().any(|frame| frame.kind == Kind::Quote) {
            self.push(Kind::Quote);
            return;
        }
        while !self.close() {}
    }

    fn has_panel(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame.kind, Kind::Panel(_)))
    }

    fn close_panel(&mut self) {
        while self.frames.last().is_some_and(|frame| frame.kind == Kind::Quote) {
            self.close();
        }
        self.close();
    }

    /// Closes the innermost; says whether that was a quote, or there is none left.
    fn close(&mut self) -> bool {
        if self.frames.len() < 2 {
            return true;
        }
        let Some(frame) = self.frames.pop() else { return true };
        let (block, is_quote) = match frame.kind {
            Kind::Root | Kind::Quote => (Block::Quote(frame.blocks), true),
            Kind::Panel(title) => {
                let titled = title.is_some();
                (Block::Panel { label: title.unwrap_or_else(|| "Note".to_owned()), titled, blocks: frame.blocks }, false)
            }
        };
        self.blocks().push(block);
        is_quote
    }
}
