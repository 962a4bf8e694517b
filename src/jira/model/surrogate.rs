//! Halves of surrogate pairs in JSON text: Jira writes them where it cuts a text in the middle of a character. No JSON reader of ours takes them.

/// The text with `\ufffd` in place of every half that stands alone; nothing where there is none.
pub(super) fn mended(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let (mut mended, mut copied, mut place) = (String::new(), 0, 0);
    while let Some(byte) = bytes.get(place) {
        if *byte != b'\\' {
            place += 1;
            continue;
        }
        match unit(bytes, place) {
            Some(0xd800..=0xdbff) if matches!(unit(bytes, place + 6), Some(0xdc00..=0xdfff)) => place += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(json.get(copied..place)?);
                mended.push_str("\\ufffd");
                place += 6;
                copied = place;
            }
            // Any other escape: the character after the backslash is never one that begins an escape.
            _ => place += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    mended.push_str(json.get(copied..)?);
    Some(mended)
}

/// The value of an escape `\uXXXX` at a place.
fn unit(bytes: &[u8], place: usize) -> Option<u32> {
    let escape = bytes.get(place..place.checked_add(6)?)?;
    let digits = escape.strip_prefix(b"\\u").filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_that_stand_alone_are_replaced() {
        for (json, expected) in [
            (r#""a\ud800b""#, Some(r#""a\ufffdb""#)),
            (r#""\udc00""#, Some(r#""\ufffd""#)),
            (r#""\ud800\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud800""#, None),
            (r#""ü\n\u00fc""#, None),
            (r"\ud8", None),
            ("\\", None),
        ] {
            assert_eq!(mended(json).as_deref(), expected, "{json}");
        }
    }
}
