//! Links that text may hold: `http`, `https` and `mailto`, written so that no dialect can be led astray by them.
//!
//! `Url` can only be made by `Url::parse`, so whoever writes one need not check again.

use std::fmt;

use super::document::{self, Marks, Span};

/// Slack takes no longer ones.
const MAX_LENGTH: usize = 3000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url(String);

impl Url {
    /// None for another scheme, no host, or a monstrous length. What is no character of a URL is percent-encoded.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = ["http://", "https://", "mailto:"].iter().find_map(|scheme| strip_prefix_ignoring_case(text, scheme))?;
        let first = rest.chars().next()?;
        if text.len() > MAX_LENGTH || !(first.is_alphanumeric() || first == '[') {
            return None;
        }
        let mut url = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            let kept = if c.is_ascii() {
                c.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&(c as u8))
            } else {
                c.is_alphanumeric()
            };
            if kept {
                url.push(c);
                continue;
            }
            for byte in text[at..at + c.len_utf8()].bytes() {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
        (url.len() <= MAX_LENGTH).then_some(Self(url))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a reader who sees this label would believe to go elsewhere: it shows an address, and not this one.
    pub fn is_disguised_as(&self, label: &str) -> bool {
        let label = label.trim();
        let shows_address = label.contains("://") || contains_ignoring_case(label, "www.") || contains_ignoring_case(label, "mailto:");
        shows_address && !self.is_shown_by(label)
    }

    /// Whether the label says no more than the address itself.
    pub fn is_shown_by(&self, label: &str) -> bool {
        let label = label.trim();
        let bare = |text: &str| text.trim_end_matches('/').to_lowercase();
        let encoded = Self::parse(label).map_or_else(|| label.to_owned(), |url| url.0);
        let own = bare(&self.0);
        let shown = bare(&encoded);
        own == shown || own.split_once("://").is_some_and(|(_, rest)| rest == shown) || own.strip_prefix("mailto:") == Some(shown.as_str())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a bare address that begins at the start of `text` ends; none where none begins there.
pub fn address_length(text: &str) -> Option<usize> {
    let scheme = ["https://", "http://", "mailto:"].into_iter().find(|scheme| strip_prefix_ignoring_case(text, scheme).is_some())?;
    // Bounded, so that a text of nothing but schemes is not read once for each of them.
    let longest = if scheme == "mailto:" { 320 } else { MAX_LENGTH };
    let is_end = |c: char| c.is_whitespace() || c.is_control() || "<>|\"'{}[]\\`*".contains(c);
    let end = text.char_indices().find(|(at, c)| *at >= longest || is_end(*c)).map_or(text.len(), |(at, _)| at);
    let address = text.get(..end)?.trim_end_matches(|c: char| ".,;:!?)_~-+^".contains(c));
    let is_whole = address.len() > scheme.len() && (scheme != "mailto:" || address.contains('@'));
    is_whole.then_some(address.len())
}

/// Adds text whose bare addresses become links.
pub fn push_linked(spans: &mut Vec<Span>, text: &str, marks: Marks) {
    let mut rest = text;
    let mut from = 0;
    while let Some(found) = rest.get(from..).and_then(|tail| tail.find(':')) {
        let colon = from + found;
        from = colon + 1;
        let Some(start) = ["https", "http", "mailto"].iter().find_map(|scheme| scheme_start(rest, colon, scheme)) else { continue };
        let Some(length) = rest.get(start..).and_then(address_length) else { continue };
        let (before, tail) = rest.split_at(start);
        let (address, after) = tail.split_at(length);
        document::push_text(spans, before, marks, None);
        document::push_text(spans, address, marks, Url::parse(address).as_ref());
        (rest, from) = (after, 0);
    }
    document::push_text(spans, rest, marks, None);
}

/// Where the scheme that ends at `colon` begins, if it begins a word.
fn scheme_start(text: &str, colon: usize, scheme: &str) -> Option<usize> {
    let start = colon.checked_sub(scheme.len())?;
    let is_scheme = text.get(start..colon)?.eq_ignore_ascii_case(scheme);
    let begins = text.get(..start)?.chars().next_back().is_none_or(|before| !before.is_alphanumeric());
    (is_scheme && begins).then_some(start)
}

fn strip_prefix_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_links_are_links() {
        for (text, expected) in [
            ("https://docs.example/a?b=c#d", Some("https://docs.example/a?b=c#d")),
            (" HTTP://docs.example ", Some("HTTP://docs.example")),
            ("mailto:jane@docs.example", Some("mailto:jane@docs.example")),
            ("http://b.invalid/><!channel>", Some("http://b.invalid/%3E%3C!channel%3E")),
            ("http://b.invalid/a|b c", Some("http://b.invalid/a%7Cb%20c")),
            ("http://b.invalid/é\u{202e}", Some("http://b.invalid/é%E2%80%AE")),
            ("javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("//b.invalid", None),
            ("http://", None),
            ("http:///etc", None),
            ("", None),
        ] {
            assert_eq!(Url::parse(text).as_ref().map(Url::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_label_that_shows_another_address_is_a_disguise() {
        let url = Url::parse("https://docs.example/guide/").expect("a link");
        for (label, disguised) in [
            ("guide", false),
            ("https://docs.example/guide", false),
            ("docs.example/guide", false),
            ("https://bank.example/login", true),
            ("see WWW.bank.example", true),
            ("readme.md", false),
        ] {
            assert_eq!(url.is_disguised_as(label), disguised, "{label}");
        }
    }

    #[test]
    fn an_address_ends_before_punctuation() {
        for (text, expected) in [
            ("https://a.example/b, and", Some("https://a.example/b")),
            ("http://a.example/b).", Some("http://a.example/b")),
            ("mailto:jane@a.example>", Some("mailto:jane@a.example")),
            ("mailto:nobody", None),
            ("http://", None),
            ("httpx", None),
        ] {
            assert_eq!(address_length(text).and_then(|end| text.get(..end)), expected, "{text}");
        }
    }
}
