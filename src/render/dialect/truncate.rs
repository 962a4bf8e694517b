//! Shortens a text that is already written in its dialect, without cutting an entity, an escape or a link in two.

use super::Dialect;

const ELLIPSIS: char = '…';

pub(super) fn to_characters(dialect: Dialect, text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    shortened(dialect, text, characters, 1, |token| token.chars().count())
}

pub(super) fn to_bytes(dialect: Dialect, text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    shortened(dialect, &text, bytes, ELLIPSIS.len_utf8(), str::len)
}

fn shortened(dialect: Dialect, text: &str, limit: usize, ellipsis: usize, size: fn(&str) -> usize) -> String {
    const FENCE_END: &str = "\n```";
    let Some(room) = limit.checked_sub(ellipsis) else { return String::new() };
    let mut kept = head(dialect, text, room, size);
    let is_open = dialect == Dialect::SlackMrkdwn && kept.matches("```").count() % 2 == 1;
    if is_open {
        kept = head(dialect, text, room.saturating_sub(FENCE_END.len()), size);
    }
    let is_open = is_open && kept.matches("```").count() % 2 == 1;
    let mut out = kept.trim_end().to_owned();
    out.push(ELLIPSIS);
    if is_open {
        out.push_str(FENCE_END);
    }
    out
}

/// The longest beginning of whole tokens that fits.
fn head(dialect: Dialect, text: &str, room: usize, size: fn(&str) -> usize) -> &str {
    let (mut at, mut used) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = token(dialect, rest);
        used += size(&rest[..length]);
        if used > room {
            break;
        }
        at += length;
    }
    &text[..at]
}

/// How many bytes at the start of `text` belong together.
fn token(dialect: Dialect, text: &str) -> usize {
    let character = text.chars().next().map_or(0, char::len_utf8);
    let whole = match (dialect, text.as_bytes().first()) {
        (Dialect::SlackMrkdwn, Some(b'&')) => {
            ["&amp;", "&lt;", "&gt;"].iter().find(|entity| text.starts_with(**entity)).map(|entity| entity.len())
        }
        (Dialect::SlackMrkdwn, Some(b'<')) => text.find('>').map(|end| end + 1),
        (Dialect::Markdown, Some(b'\\')) => text.chars().nth(1).map(|escaped| 1 + escaped.len_utf8()),
        (Dialect::Markdown, Some(b'<')) => {
            text.find(['>', ' ', '\n']).filter(|end| text.as_bytes().get(*end) == Some(&b'>')).map(|end| end + 1)
        }
        (Dialect::Markdown, Some(b'[')) => markdown_link(text),
        _ => None,
    };
    whole.unwrap_or(character)
}

fn markdown_link(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'[' | b'\n' => return None,
            b']' => break,
            _ => at += 1,
        }
    }
    let destination = text.get(at..)?.strip_prefix("](")?;
    let end = destination.find([')', ' ', '\n']).filter(|end| destination.as_bytes().get(*end) == Some(&b')'))?;
    Some(at + 2 + end + 1)
}
