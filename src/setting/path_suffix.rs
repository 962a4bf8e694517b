//! What follows a site's base URL in a request: a path below `/rest/`, and a query. It cannot lead to another host or out of `/rest/`.

use std::fmt;
use std::str::FromStr;

const BEGIN: &str = "/rest/";
/// What servers usually take at most.
const BYTES_MAX: usize = 8 * 1024;
/// Besides letters and digits. Not `#`, which begins a fragment, and not `\`, which some take for `/`.
const SIGNS: &[u8] = b"/-._~!$'()*+,;=:@%?&";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathSuffix(String);

impl PathSuffix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PathSuffix {
    /// Why the path is refused, worded as the end of a sentence about it.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with(BEGIN) {
            return Err("does not begin with `/rest/`");
        }
        if text.len() > BYTES_MAX {
            return Err("is longer than 8 KiB");
        }
        if text.contains('#') {
            return Err("has a fragment (`#`), which no server is sent");
        }
        if text.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !SIGNS.contains(&byte)) {
            return Err("holds a character that stands in no address as it is");
        }
        if !is_encoded(text.as_bytes()) {
            return Err("has a `%` that is not followed by two hexadecimal digits");
        }
        let path = text.split('?').next().unwrap_or_default();
        if path.split('/').any(is_dots) {
            return Err("has `.` or `..` for a part, which leads to another path");
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_encoded(bytes: &[u8]) -> bool {
    let digits = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || digits(at))
}

/// Encoded dots count: whoever resolves an address takes them for dots.
fn is_dots(part: &str) -> bool {
    matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_suffix_stays_below_rest() {
        for good in [
            "/rest/api/3/issue/10001/watchers",
            "/rest/api/3/user?accountId=557058%3A1a2b",
            "/rest/agile/1.0/sprint/4",
            "/rest/api/2/issue/a%2F..%2Fb",
            "/rest/api/2/search?jql=text~..",
        ] {
            assert_eq!(good.parse::<PathSuffix>().map(|suffix| suffix.to_string()), Ok(good.to_owned()));
            let whole = Url::parse(&format!("https://acme.example{good}")).expect("an address");
            assert_eq!(whole.path(), good.split('?').next().unwrap_or_default(), "it leads where it says");
        }
        for (bad, why) in [
            ("rest/api", "does not begin"),
            ("https://evil.example/rest/", "does not begin"),
            ("//evil.example/rest/", "does not begin"),
            ("@evil.example/rest/", "does not begin"),
            ("/restful", "does not begin"),
            ("/rest/api/3/issue/1#x", "fragment"),
            ("/rest/../secure", "`..`"),
            ("/rest/%2e%2E/secure", "`..`"),
            ("/rest/.%2e/secure", "`..`"),
            ("/rest/./x", "`..`"),
            ("/rest/..\\x", "a character"),
            ("/rest/a b", "a character"),
            ("/rest/a\nb", "a character"),
            ("/rest/ä", "a character"),
            ("/rest/{x}", "a character"),
            ("/rest/100%", "hexadecimal"),
            ("/rest/%2", "hexadecimal"),
            ("/rest/%zz", "hexadecimal"),
        ] {
            let told = bad.parse::<PathSuffix>().expect_err(bad);
            assert!(told.contains(why), "{bad}: {told}");
        }
        assert!(format!("/rest/{}", "x".repeat(BYTES_MAX)).parse::<PathSuffix>().is_err());
    }
}
