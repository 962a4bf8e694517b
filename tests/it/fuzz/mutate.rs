//! What is done to a seed: bytes flipped, put in, taken out, doubled, cut and spliced; and, where it is JSON, values and members exchanged.

use rand::Rng;
use rand::rngs::StdRng;

use super::json;

/// Longer inputs cost time and find no more.
const LENGTH_MAX: usize = 96 << 10;
const CHANGES_MAX: u32 = 6;
/// Odd pieces for any text: controls, other alphabets, what turns or hides text, half a character.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\t",
    b"\"",
    b"\\",
    b"'",
    b"%",
    b"{{",
    b"}}",
    b"<",
    b">",
    b"&",
    b"|",
    b"/",
    b"..",
    b"-",
    b"9999999999999999999",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"\xcc\x81\xcc\x81\xcc\x81",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"\xc4\xb0",
];

pub fn mutate(seeds: &[Vec<u8>], words: &[&str], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = one_of(seeds, random).clone();
    let other = |random: &mut StdRng| -> &[u8] { &seeds[random.random_range(0..seeds.len())] };
    for _ in 0..random.random_range(0..=CHANGES_MAX) {
        let is_json = matches!(bytes.first(), Some(b'{' | b'['));
        bytes = if is_json && random.random_bool(0.6) {
            json::changed(&bytes, other(random), random)
        } else {
            changed(bytes, other(random), words, random)
        };
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

pub fn one_of<'a, T>(list: &'a [T], random: &mut StdRng) -> &'a T {
    &list[random.random_range(0..list.len())]
}

fn changed(mut bytes: Vec<u8>, other: &[u8], words: &[&str], random: &mut StdRng) -> Vec<u8> {
    let at = random.random_range(0..=bytes.len());
    let end = at + random.random_range(0..=(bytes.len() - at).min(40));
    match random.random_range(0..9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes.insert(at, random.random()),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let times = if random.random_bool(0.1) { random.random_range(2..400) } else { 1 };
            let piece = bytes[at..end].repeat(times);
            bytes.splice(at..at, piece);
        }
        4 if random.random_bool(0.3) => bytes.truncate(at),
        5 if !other.is_empty() => {
            let from = random.random_range(0..other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        6 if !other.is_empty() => {
            let from = random.random_range(0..other.len());
            let to = from + random.random_range(0..=(other.len() - from).min(60));
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        7 if !words.is_empty() => drop(bytes.splice(at..at, one_of(words, random).bytes())),
        _ => drop(bytes.splice(at..at, one_of(ODD, random).iter().copied())),
    }
    bytes
}
