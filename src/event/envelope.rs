//! What travels: an event, the body it was made from, and how it came. One encoding for the road and the archive.
//!
//! ```text
//! 0        1         5                5 + n
//! +--------+---------+----------------+------------------+
//! | format | n (u32) | header (JSON)  | raw body (bytes) |
//! +--------+---------+----------------+------------------+
//! ```
//! The raw body is the truth and is never re-serialised.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Event;
use crate::setting::SinkName;

const FORMAT: u8 = 1;
const PREFIX: usize = 5;
/// With the raw body's length more than a header takes, but for the odd one: it is written without growing.
const HEADER_BASE: usize = 1_024;

#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    pub event: Event,
    /// The body as it came; empty where there was none.
    pub raw: Bytes,
    /// The only sink that gets it; all, where there is none.
    pub target: Option<SinkName>,
    pub traceparent: Option<String>,
    /// When this process received it, by the monotonic clock; none where an earlier process did. Does not travel.
    pub received: Option<Instant>,
}

#[derive(Serialize)]
struct Header<'a> {
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: &'a Option<SinkName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: &'a Option<String>,
}

#[derive(Deserialize)]
struct OwnedHeader {
    event: Event,
    #[serde(default)]
    target: Option<SinkName>,
    #[serde(default)]
    traceparent: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("an envelope of format {0}, which this version does not know")]
    Format(u8),
    #[error("an envelope that ends too early")]
    Short,
    #[error("an envelope whose header cannot be read: {0}")]
    Header(#[from] serde_json::Error),
}

impl Envelope {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.encode_head();
        bytes.extend_from_slice(&self.raw);
        bytes
    }

    /// All that stands before the raw body, for whoever can put the two together without copying the body.
    pub fn encode_head(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX + HEADER_BASE + self.raw.len());
        bytes.extend_from_slice(&[FORMAT, 0, 0, 0, 0]);
        let header = Header { event: &self.event, target: &self.target, traceparent: &self.traceparent };
        serde_json::to_writer(&mut bytes, &header).expect("an event is written as JSON");
        let length = u32::try_from(bytes.len() - PREFIX).expect("a header is smaller than the body limit");
        bytes[1..PREFIX].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The raw body stays a part of the given bytes: nothing is copied.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let format = *bytes.first().ok_or(DecodeError::Short)?;
        if format != FORMAT {
            return Err(DecodeError::Format(format));
        }
        let length = bytes.get(1..PREFIX).and_then(|n| n.try_into().ok()).map(u32::from_le_bytes).ok_or(DecodeError::Short)?;
        let end = usize::try_from(length).ok().and_then(|n| n.checked_add(PREFIX)).ok_or(DecodeError::Short)?;
        let header: OwnedHeader = serde_json::from_slice(bytes.get(PREFIX..end).ok_or(DecodeError::Short)?)?;
        Ok(Self { event: header.event, raw: bytes.slice(end..), target: header.target, traceparent: header.traceparent, received: None })
    }
}
