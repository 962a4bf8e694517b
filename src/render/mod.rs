//! Rich text: wiki markup, Atlassian documents and Markdown into one tree; plain text, Markdown and Slack's mrkdwn out of it.
//!
//! Text from a ticket stays text: it can mention nobody and forge no link in any dialect. Reading never fails, and what is written
//! is bounded. `template` composes messages from events by the same rules.

mod adf;
pub mod default;
pub mod dialect;
pub mod document;
pub mod link;
mod markdown;
pub mod template;
mod wiki;

pub use dialect::Dialect;
pub use template::{JsonTemplate, PathTemplate, RenderError, Template, TemplateError};

use crate::event::Markup;

/// No text in any dialect becomes longer; Jira itself stores 32,767 characters.
pub const MAX_BYTES: usize = 256 * 1024;

/// The Markdown of an event's `body`. Total and bounded; plain words come out as they went in.
pub fn to_markdown(markup: Markup<'_>) -> String {
    match markup {
        Markup::Wiki(text) if text.len() <= MAX_BYTES && wiki::quick::is_plain(text) => text.to_owned(),
        Markup::Wiki(_) | Markup::Document(_) => Dialect::Markdown.write(&read(markup)),
    }
}

/// The tree of a text as Jira wrote it.
pub fn read(markup: Markup<'_>) -> document::Document {
    match markup {
        Markup::Wiki(text) if text.len() > MAX_BYTES => {
            // More than the limit is never shown, so it need not be read.
            let mut document = wiki::read(&text[..text.floor_char_boundary(MAX_BYTES)]);
            document.blocks.push(document::Block::Paragraph(vec![document::Span::text("…")]));
            document
        }
        Markup::Wiki(text) => wiki::read(text),
        Markup::Document(json) => adf::read(json),
    }
}

#[cfg(test)]
mod tests;
