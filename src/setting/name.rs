//! Names of connections and sinks: `[a-z0-9][a-z0-9-]*`, cheap to clone, never changed once given.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longer names would not fit a label, a queue name or an environment variable comfortably.
const LENGTH_MAX: usize = 63;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a name: use lower-case letters, digits and `-`, begin with a letter or digit, at most {LENGTH_MAX} characters")]
pub struct NameError(String);

fn check(text: &str) -> Result<Arc<str>, NameError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits =
        !text.is_empty() && text.len() <= LENGTH_MAX && plain(text.as_bytes()[0]) && text.bytes().all(|byte| plain(byte) || byte == b'-');
    if fits { Ok(text.into()) } else { Err(NameError(text.to_owned())) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }
    };
}

name! {
    /// One Jira site with one credential; the name is its identity and never changes.
    ConnectionName
}
name! {
    /// A configured destination.
    SinkName
}

impl SinkName {
    /// The built-in subscriber that keeps every envelope. Its name cannot be configured, because no configured name begins with `_`.
    pub fn archive() -> Self {
        Self("_archive".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_are_made() {
        for good in ["a", "acme", "0-x", "docs-team-2"] {
            assert_eq!(good.parse::<SinkName>().expect("a good name").as_str(), good);
        }
        let long = "x".repeat(LENGTH_MAX + 1);
        for bad in ["", "-a", "Bad_Name", "ü", "a b", "_archive", long.as_str()] {
            assert!(bad.parse::<ConnectionName>().is_err(), "{bad}");
        }
    }
}
