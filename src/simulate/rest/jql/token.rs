//! The words of a JQL text, and the moments that some of them name.

use crate::clock::Timestamp;
use crate::simulate::people::TIME_ZONE;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Sign(String),
}

impl Token {
    pub fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Sign(text) => text,
        }
    }
}

/// `"2025-12-11 09:20"` in the caller's zone, milliseconds since 1970, or as in `-5m`.
pub(super) fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(span) = text.strip_prefix('-') {
        let unit = match span.chars().next_back()? {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            'w' => 604_800_000,
            _ => return None,
        };
        let count: i64 = span.get(..span.len() - 1)?.parse().ok()?;
        return Some(Timestamp::from_ms(now.ms().saturating_sub(count.saturating_mul(unit))));
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Some(Timestamp::from_ms(ms));
    }
    let text = text.replace('/', "-");
    let text = if text.len() == 10 { format!("{text} 00:00") } else { text };
    let local = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M", &text).ok()?;
    let zone = jiff::tz::TimeZone::get(TIME_ZONE).ok()?;
    Some(Timestamp::from_ms(zone.to_zoned(local).ok()?.timestamp().as_millisecond()))
}

pub(super) fn tokens(jql: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = jql.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' | '\'' => quoted(rest, first)?,
            '(' | ')' | ',' => (Token::Sign(first.into()), rest.get(1..).unwrap_or_default()),
            '=' | '!' | '<' | '>' | '&' | '|' => split(rest, |c| !"=!<>&|".contains(c), Token::Sign),
            _ => split(rest, |c: char| c.is_whitespace() || "()=!<>,\"'&|".contains(c), Token::Word),
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn split(text: &str, ends: impl Fn(char) -> bool, token: fn(String) -> Token) -> (Token, &str) {
    let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
    (token(word.to_owned()), rest)
}

fn quoted(text: &str, quote: char) -> Result<(Token, &str), String> {
    let mut value = String::new();
    let mut rest = text.char_indices().skip(1);
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => value.push(rest.next().map_or('\\', |(_, escaped)| escaped)),
            c if c == quote => return Ok((Token::Quoted(value), text.get(at + 1..).unwrap_or_default())),
            c => value.push(c),
        }
    }
    Err(format!("Error in the JQL Query: The quoted string '{value}' has not been completed."))
}
