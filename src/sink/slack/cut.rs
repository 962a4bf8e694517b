//! Cutting a text that is too long for Slack, where it hurts least.

use std::borrow::Cow;

/// Slack cuts above 40,000 by itself, wherever that falls.
pub(super) const TEXT_MAX: usize = 39_000;
const ENDING: char = '…';
/// The only entities that Slack knows.
const ENTITIES: [&str; 3] = ["&amp;", "&lt;", "&gt;"];

/// The text with at most `most` units, never ending within a character, an entity, or a link, mention or date in `<...>`.
/// Units are those of UTF-16, of which a text has at least as many as characters: whichever Slack counts, it fits.
pub(super) fn within(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || text.encode_utf16().count() <= most {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(ENDING.len_utf16());
    let (mut kept, mut units) = (0, 0);
    while let Some(piece) = text.get(kept..).and_then(first_piece) {
        units += piece.encode_utf16().count();
        if units > room {
            break;
        }
        kept += piece.len();
    }
    Cow::Owned(format!("{}{ENDING}", text.get(..kept).unwrap_or_default()))
}

/// What must not be cut in two.
fn first_piece(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let length = match first {
        '&' => ENTITIES.iter().find(|entity| text.starts_with(**entity)).map(|entity| entity.len()),
        // An unclosed `<` is a character like others.
        '<' => text.get(1..).and_then(|rest| rest.find(['<', '>', '\n']).filter(|at| rest[*at..].starts_with('>'))).map(|at| at + 2),
        _ => None,
    };
    text.get(..length.unwrap_or(first.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_cut_in_two() {
        for (text, most, expected) in [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("ab&amp;cd", 6, "ab…"),
            ("ab&amp;cd", 8, "ab&amp;…"),
            ("ab&amp;cd", 9, "ab&amp;cd"),
            ("a & b & c", 4, "a &…"),
            ("see <https://x.example|there> now", 20, "see …"),
            ("see <https://x.example|there> now", 30, "see <https://x.example|there>…"),
            ("1 < 2 and more", 5, "1 < …"),
            ("<a\nb>cd", 4, "<a\n…"),
            ("äöüäöü", 4, "äöü…"),
            ("🫖🫖🫖", 5, "🫖🫖…"),
            ("🫖🫖🫖", 4, "🫖…"),
            ("<https://x.example|there>", 5, "…"),
        ] {
            assert_eq!(within(text, most), expected, "{text}");
        }
    }

    #[test]
    fn a_long_text_takes_no_long_time() {
        let text = "<".repeat(2 * TEXT_MAX);
        assert_eq!(within(&text, TEXT_MAX).chars().count(), TEXT_MAX);
    }

    proptest! {
        #[test]
        fn what_is_kept_fits_and_is_a_beginning(text in "(&amp;|&lt;|<u|z>|<|>|&|a|ü|🫖|\n){0,60}", most in 1_usize..40) {
            let kept = within(&text, most);
            prop_assert!(kept.encode_utf16().count() <= most);
            prop_assert!(*kept == text || kept.strip_suffix(ENDING).is_some_and(|kept| text.starts_with(kept)));
        }
    }
}
