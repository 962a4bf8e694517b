//! The look at the bytes that tells text without markup, which is most of it, from text that must be read.
//!
//! It speaks for wiki markup and for Markdown at once: where it finds nothing, the text is its own Markdown.

/// Bytes that are words wherever they stand; the others are looked at.
const WORDS: [bool; 256] = {
    let mut words = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        words[byte] = false;
        byte += 1;
    }
    words[0x7f] = false;
    let marks = b"-_?!(.)*+^~{}[]|\\#<>&`";
    let mut at = 0;
    while at < marks.len() {
        words[marks[at] as usize] = false;
        at += 1;
    }
    words
};

/// Whether neither wiki markup nor Markdown could see more in this text than words. In doubt: no.
pub fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    // What a line begins with may make a block of it.
    let begins_harmless = |at: usize| !matches!(bytes.get(at), Some(b' ' | b'='));
    if !begins_harmless(0) {
        return false;
    }
    let (mut line_start, mut from) = (0, 0);
    while let Some(at) = bytes[from..].iter().position(|byte| !WORDS[usize::from(*byte)]).map(|skipped| from + skipped) {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied();
        let after = bytes.get(at + 1).copied();
        let is_harmless = match bytes[at] {
            b'\n' => {
                line_start = at + 1;
                begins_harmless(line_start)
            }
            b'-' | b'_' => is_word(before) && is_word(after),
            b'?' => after != Some(b'?'),
            b'!' => is_blank(after),
            b'(' => !matches!(after, Some(b'/' | b'x' | b'!' | b'i' | b'?' | b'y' | b'n' | b'+' | b'-' | b'*' | b'o')),
            b'.' => !is_block_start(&bytes[line_start..at]),
            b')' => !bytes[line_start..at].iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !is_harmless {
            return false;
        }
        from = at + 1;
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
