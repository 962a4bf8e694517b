//! Cuts a template into the tags that are not plain text, and these into tokens, each with its line.
//!
//! It reads what the engine has already accepted, only to know which names a template uses and where.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number,
    /// One character, or one of `==`, `!=`.
    Sign(&'static str),
    Other,
}

#[derive(Debug)]
pub(super) struct Tag {
    /// `{% ... %}`, not `{{ ... }}`.
    pub(super) is_statement: bool,
    pub(super) tokens: Vec<(Token, usize)>,
}

const SIGNS: [&str; 17] = ["==", "!=", "<=", ">=", ".", "[", "]", "(", ")", "{", "}", "|", "=", ",", ":", "<", ">"];

pub(super) fn tags(source: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(found) = source[at..].find('{') {
        let start = at + found;
        line += lines(&source[at..start]);
        let rest = &source[start..];
        let end = if rest.starts_with("{#") {
            rest.find("#}").map_or(source.len(), |end| start + end + 2)
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let (tag, end) = tag(source, start, line);
            let is_raw = tag.is_statement && matches!(tag.tokens.first(), Some((Token::Name(name), _)) if name == "raw");
            tags.push(tag);
            if is_raw { end_of_raw(source, end) } else { end }
        } else {
            start + 1
        };
        line += lines(&source[start..end]);
        at = end;
    }
    tags
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The place of the tag that ends a raw block; what stands before it is text.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        let start = at + found;
        if source[start + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return start;
        }
        at = start + 2;
    }
    source.len()
}

/// The tag that begins at `start`, and where it ends.
pub(super) fn tag(source: &str, start: usize, mut line: usize) -> (Tag, usize) {
    let is_statement = source[start..].starts_with("{%");
    let close = if is_statement { "%}" } else { "}}" };
    let mut tokens = Vec::new();
    let mut at = start + 2;
    let mut depth = 0_usize;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        if depth == 0 && rest.starts_with(close) {
            return (Tag { is_statement, tokens }, at + 2);
        }
        let (token, length) = token(rest, c);
        match token {
            Some(Token::Sign("{")) => depth += 1,
            Some(Token::Sign("}")) => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.extend(token.map(|token| (token, line)));
        line += lines(&rest[..length]);
        at += length;
    }
    (Tag { is_statement, tokens }, source.len())
}

fn token(rest: &str, first: char) -> (Option<Token>, usize) {
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if first == '"' || first == '\'' {
        return text(rest, first);
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        return (Some(Token::Name(rest[..length].to_owned())), length);
    }
    if first.is_ascii_digit() {
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        return (Some(Token::Number), length);
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => (Some(Token::Sign(sign)), sign.len()),
        None => (Some(Token::Other), first.len_utf8()),
    }
}

fn text(rest: &str, quote: char) -> (Option<Token>, usize) {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            c if c == quote => return (Some(Token::Text(text)), at + 1),
            c => text.push(c),
        }
    }
    (Some(Token::Text(text)), rest.len())
}
