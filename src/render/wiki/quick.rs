//! The look at the bytes that tells text without markup, which is most of it, from text that must be read.
//!
//! It speaks for wiki markup and for Markdown at once: where it finds nothing, the text is its own Markdown.

/// Whether neither wiki markup nor Markdown could see more in this text than words. In doubt: no.
pub fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut line_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
        let after = bytes.get(at + 1).copied();
        let inside_word = || is_word(before) && is_word(after);
        let is_harmless = match byte {
            b'\n' => {
                line_start = at + 1;
                true
            }
            b'-' | b'_' => inside_word(),
            b' ' | b'=' => at != line_start,
            b'?' => after != Some(b'?'),
            b'!' => is_blank(after),
            b'(' => !matches!(after, Some(b'/' | b'x' | b'!' | b'i' | b'?' | b'y' | b'n' | b'+' | b'-' | b'*' | b'o')),
            b'.' => !is_block_start(&bytes[line_start..at]),
            b')' => !bytes[line_start..at].iter().all(u8::is_ascii_digit),
            b'*' | b'+' | b'^' | b'~' | b'{' | b'}' | b'[' | b']' | b'|' | b'\\' | b'#' | b'<' | b'>' | b'&' | b'`' => false,
            0..0x20 | 0x7f => false,
            _ => true,
        };
        if !is_harmless {
            return false;
        }
    }
    // C1 control characters are the only ones beyond ASCII; their first byte is 0xc2.
    !bytes.contains(&0xc2) || !text.chars().any(char::is_control)
}

fn is_word(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

fn is_blank(byte: Option<u8>) -> bool {
    byte.is_none_or(|byte| matches!(byte, b' ' | b'\n' | b'"' | b'\''))
}

/// Whether a point after these bytes of a line would make a heading, a quote or a numbered item of it.
fn is_block_start(line: &[u8]) -> bool {
    matches!(line, [b'h', b'1'..=b'6'] | b"bq") || (!line.is_empty() && line.len() < 10 && line.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain_and_markup_is_not() {
        for text in [
            "body-marker-123 disk login cache",
            "body-marker-first, edited",
            "It fails (see below) at 10:30, 1.5 seconds after start!\nAlways? Yes.",
            "snake_case_name, a-b-c, é ü 漢字 🙂",
            "see https://docs.example/a/b.html",
            "",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "*bold*", "-gone-", "a - b", "h1. x", "bq. x", "x\n1. y", "2) z", "{{c}}", "a\r\nb", "    code", "x\n===", "(/)", "a & b",
            "<b>", "!x.png!", "a\u{85}b", "??x??",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
