//! Event ids: `<connection>:<entity>:<id>:<verb>...`, the same however the event reached us. They live for ever; a change is a new interface.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::setting::ConnectionName;

/// What stands unencoded in a part of an id.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Joins the parts with colons; each is percent-encoded, so that no part can look like two.
    pub fn new(connection: &ConnectionName, parts: &[&str]) -> Self {
        let mut id = String::with_capacity(64);
        id.push_str(connection.as_str());
        for part in parts {
            id.push(':');
            id.extend(utf8_percent_encode(part, ENCODED));
        }
        Self(id.into())
    }

    /// An id that was made before, as read from the store or a request.
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A part of an id, of a subject or of a partition key.
pub fn encode_part(part: &str) -> String {
    utf8_percent_encode(part, ENCODED).to_string()
}

/// The first 16 hexadecimal digits of SHA-256.
pub fn hash16(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

/// A person in an id, a subject or a partition key: never the id itself, which is personal data.
pub fn person_hash(id: &str) -> String {
    hash16(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_frozen() {
        let acme: ConnectionName = "acme".parse().expect("a name");
        let check = |parts: &[&str], text: &str| assert_eq!(EventId::new(&acme, parts).as_str(), text);
        check(&["issue", "10012", "change", "10508"], "acme:issue:10012:change:10508");
        check(&["property", "10012-a.b:c~d e", "set", "0"], "acme:property:10012-a%2Eb%3Ac%7Ed%20e:set:0");
        check(&["unrecognized", "ü"], "acme:unrecognized:%C3%BC");
        assert_eq!(person_hash("557058:1a2b"), "bcc0bfb31f8ab161");
    }
}
