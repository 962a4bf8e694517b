//! The dialects that sinks write: plain text, Markdown and Slack's mrkdwn.
//!
//! What comes out of `escape` and `write` is safe to send as it is: text in it is text, links in it lead where they say, and nothing
//! in it can mention anyone. Escaping is done once; whoever escapes again shows entities to people.

mod layout;
mod markdown;
mod mrkdwn;
mod plain;
mod truncate;

use super::document::Document;
use super::link::Url;
use super::{MAX_BYTES, markdown as markdown_reader};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Plain,
    Markdown,
    SlackMrkdwn,
}

impl Dialect {
    /// Text that shows exactly these words.
    pub fn escape(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Markdown => markdown::escape(text),
            Self::SlackMrkdwn => mrkdwn::escape(text),
        }
    }

    /// The document; what is too long ends with an ellipsis.
    pub fn write(self, document: &Document) -> String {
        let text = match self {
            Self::Plain => layout::write(&plain::Plain, document, MAX_BYTES),
            Self::Markdown => layout::write(&markdown::Markdown, document, MAX_BYTES),
            Self::SlackMrkdwn => layout::write(&mrkdwn::Mrkdwn, document, MAX_BYTES),
        };
        truncate::to_bytes(self, text, MAX_BYTES)
    }

    /// Markdown that this room wrote, in this dialect.
    pub fn convert(self, body: &str) -> String {
        match self {
            Self::Markdown => body.to_owned(),
            Self::Plain | Self::SlackMrkdwn => self.write(&markdown_reader::read(body)),
        }
    }

    /// A link; where the address may not be one, just the label.
    pub fn link(self, label: &str, address: &str) -> String {
        let Some(url) = Url::parse(address) else { return self.escape(label) };
        let label = if label.trim().is_empty() { url.as_str() } else { label };
        match self {
            Self::Plain => layout::link(&plain::Plain, label, &url),
            Self::Markdown => layout::link(&markdown::Markdown, label, &url),
            Self::SlackMrkdwn => layout::link(&mrkdwn::Mrkdwn, label, &url),
        }
    }

    /// At most so many bytes, by the same rules as `truncate`.
    pub(super) fn bounded(self, text: String, bytes: usize) -> String {
        truncate::to_bytes(self, text, bytes)
    }

    /// The words that a text in this dialect shows, of a link its label.
    pub(super) fn words(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Markdown => Self::Plain.convert(text),
            Self::SlackMrkdwn => mrkdwn::words(text),
        }
    }

    /// At most so many characters of a text in this dialect, the ellipsis among them. Entities, escapes and links stay whole.
    pub fn truncate(self, text: &str, characters: usize) -> String {
        truncate::to_characters(self, text, characters)
    }
}

#[cfg(test)]
mod tests;
