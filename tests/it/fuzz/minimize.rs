//! Makes an input smaller for as long as it stays wrong: a person has to read it.

const TRIES_MAX: usize = 600;

/// Leaves out pieces, first large ones, then small ones.
pub fn minimized(input: &[u8], mut is_wrong: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let (mut small, mut tries) = (input.to_vec(), 0);
    let mut piece = small.len().div_ceil(2);
    while piece > 0 && tries < TRIES_MAX {
        let (mut at, mut is_shorter) = (0, false);
        while at < small.len() && tries < TRIES_MAX {
            let end = small.len().min(at + piece);
            let candidate = [&small[..at], &small[end..]].concat();
            tries += 1;
            if is_wrong(&candidate) {
                small = candidate;
                is_shorter = true;
            } else {
                at = end;
            }
        }
        if !is_shorter || piece > small.len() {
            piece /= 2;
        }
    }
    small
}

#[test]
fn what_makes_it_wrong_is_left() {
    let input = b"a long text with an X in it, and a Y behind";
    assert_eq!(minimized(input, |text| text.contains(&b'X') && text.contains(&b'Y')), b"XY");
    assert_eq!(minimized(b"", |_| true), b"");
}
