//! JSON spoiled as text: so it can have what no value of a JSON library has, such as a member twice, half a surrogate or a number without end.

use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

use super::mutate::one_of;

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "-0",
    "17",
    "1.5",
    "1e999999",
    "-1e-999999",
    "9223372036854775808",
    "18446744073709551616",
    "1765450000000",
    "99999999999999999",
    "\"\"",
    "\" \"",
    "\"17\"",
    "\"\\ud800\"",
    "\"x\\udc00\\ud83d\"",
    "\"\\u0000\"",
    "\"\\u202e\"",
    "\"<!channel>\"",
    "\"<https://a.invalid|https://b.invalid>\"",
    "\"javascript:alert(1)\"",
    "\"https://a.invalid/?q=<@U1>\"",
    "\"2026-02-30T25:61:61.999+9999\"",
    "\"9999-12-31T23:59:59.999-1800\"",
    "\"\\uD83D\\uDE00\"",
    "\"a\tb\"",
    "[]",
    "{}",
    "[[1],\"x\"]",
    "{\"id\":{}}",
    "{\"\":null}",
    "{\"id\":\"1\",\"id\":\"2\"}",
    "[null]",
];
const DEPTHS: &[usize] = &[5, 60, 127, 128, 129, 200, 6_000];
const LENGTHS: &[usize] = &[100, 255, 256, 4_000, 33_000];

/// Where a text that is JSON, more or less, has values and names of members.
#[derive(Debug, Default, PartialEq)]
struct Spans {
    values: Vec<Range<usize>>,
    names: Vec<Range<usize>>,
}

/// One thing is another.
pub fn changed(text: &[u8], other: &[u8], random: &mut StdRng) -> Vec<u8> {
    let spans = spans(text);
    if spans.values.is_empty() {
        return text.to_vec();
    }
    let place = one_of(&spans.values, random).clone();
    let value = &text[place.clone()];
    let put = |place: Range<usize>, with: &[u8]| [&text[..place.start], with, &text[place.end..]].concat();
    match random.random_range(0..10) {
        0..3 => put(place, &odd(random)),
        3 => put(place.clone(), &text[one_of(&spans.values, random).clone()]),
        4 => put(place, &[b"[", value, b"]"].concat()),
        5 => put(place, &[b"{\"id\":", value, b"}"].concat()),
        6 => put(place, &[b"\"", value, b"\""].concat()),
        7 if !spans.names.is_empty() => {
            let name = one_of(&spans.names, random).clone();
            let twice = [&text[name.clone()], b":", &odd(random)[..], b","].concat();
            put(name.start..name.start, &twice)
        }
        8 if !spans.names.is_empty() => {
            let name = one_of(&spans.names, random).clone();
            put(name, &text[one_of(&spans.names, random).clone()])
        }
        _ => {
            let others = self::spans(other).values;
            if others.is_empty() { put(place, &odd(random)) } else { put(place, &other[one_of(&others, random).clone()]) }
        }
    }
}

fn odd(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..12) {
        0 => {
            let depth = *one_of(DEPTHS, random);
            [b"[".repeat(depth), b"]".repeat(depth)].concat()
        }
        1 => {
            let depth = *one_of(DEPTHS, random);
            [b"{\"content\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat()
        }
        2 => [b"\"", &b"long<&|*_` ".repeat(*one_of(LENGTHS, random) / 11)[..], b"\""].concat(),
        3 => b"9".repeat(*one_of(LENGTHS, random)),
        _ => one_of(SCALARS, random).as_bytes().to_vec(),
    }
}

fn spans(text: &[u8]) -> Spans {
    let (mut spans, mut open, mut at) = (Spans::default(), Vec::new(), 0);
    while let Some(byte) = text.get(at) {
        let mut end = at + 1;
        match byte {
            b'"' => {
                end = string_end(text, at);
                let is_name = text[end..].trim_ascii_start().first() == Some(&b':');
                if is_name { &mut spans.names } else { &mut spans.values }.push(at..end);
            }
            b'{' | b'[' => open.push(at),
            b'}' | b']' => spans.values.extend(open.pop().map(|start| start..end)),
            b',' | b':' => {}
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                let is_end = |byte: &u8| byte.is_ascii_whitespace() || b",:\"{}[]".contains(byte);
                end = text[at..].iter().position(is_end).map_or(text.len(), |length| at + length);
                spans.values.push(at..end);
            }
        }
        at = end;
    }
    spans
}

/// Behind the closing quotation mark, or the end.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[test]
fn values_and_names_are_found_in_broken_text_too() {
    let text = br#"{"a": [1, "x\"y"], "b" :{}, "c":tru"#;
    let shown =
        |list: &[Range<usize>]| list.iter().map(|span| String::from_utf8_lossy(&text[span.clone()]).into_owned()).collect::<Vec<_>>();
    let spans = spans(text);
    assert_eq!(shown(&spans.values), ["1", r#""x\"y""#, r#"[1, "x\"y"]"#, "{}", "tru"]);
    assert_eq!(shown(&spans.names), [r#""a""#, r#""b""#, r#""c""#]);
}
