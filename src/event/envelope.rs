//! What travels: an event, the body it was made from, and how it came. One encoding for the road and the archive.
//!
//! ```text
//! 0        1         5                5 + n
//! +--------+---------+----------------+------------------+
//! | format | n (u32) | header (JSON)  | raw body (bytes) |
//! +--------+---------+----------------+------------------+
//! ```
//! The raw body is the truth and is never re-serialised. In format 1 the header holds the event. In format 2 (`renewal`) it holds only what
//! is needed to make the event of the body again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Event;
use super::renewal::{Brief, Renew};
use crate::setting::SinkName;

const WHOLE: u8 = 1;
const BRIEF: u8 = 2;
const PREFIX: usize = 5;
/// Initial buffer capacity of a brief header; covers nearly all without reallocating.
const BRIEF_BASE: usize = 512;
/// Initial buffer capacity of a header, beside the length of the raw body; covers nearly all without reallocating.
const HEADER_BASE: usize = 1_024;

#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    pub event: Event,
    /// The body as it came; empty where there was none.
    pub raw: Bytes,
    /// The only sink that gets it. `None`: all sinks get it.
    pub target: Option<SinkName>,
    pub traceparent: Option<String>,
    /// When this process received it, by the monotonic clock; none where an earlier process did. Does not travel.
    pub received: Option<Instant>,
    /// The event is what `Renew` makes of the raw body: it need not be written down beside it. Does not travel.
    pub renewable: bool,
}

#[derive(Serialize)]
struct Header<'a, E> {
    event: &'a E,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: &'a Option<SinkName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: &'a Option<String>,
}

#[derive(Deserialize)]
struct OwnedHeader<E> {
    event: E,
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
        self.head(WHOLE, HEADER_BASE + self.raw.len(), &self.event)
    }

    /// The same, as short as can be; only `decode_any` reads it.
    pub fn encode_brief_head(&self) -> Vec<u8> {
        if self.renewable { self.head(BRIEF, BRIEF_BASE, &Brief::of(&self.event)) } else { self.encode_head() }
    }

    fn head(&self, format: u8, capacity: usize, event: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX + capacity);
        bytes.extend_from_slice(&[format, 0, 0, 0, 0]);
        let header = Header { event, target: &self.target, traceparent: &self.traceparent };
        serde_json::to_writer(&mut bytes, &header).expect("an event is written as JSON");
        let length = u32::try_from(bytes.len() - PREFIX).expect("a header is smaller than the body limit");
        bytes[1..PREFIX].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The same with its whole event, where it may hold it in brief.
    pub fn renewed(&self, renew: Renew) -> Self {
        let Self { event, raw, target, traceparent, received, renewable } = self;
        let event = if *renewable { Brief::of(event).renewed(raw, renew) } else { event.clone() };
        let (raw, target, traceparent) = (raw.clone(), target.clone(), traceparent.clone());
        Self { event, raw, target, traceparent, received: *received, renewable: *renewable }
    }

    /// The raw body stays a part of the given bytes: nothing is copied.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        match *bytes.first().ok_or(DecodeError::Short)? {
            WHOLE => {
                let (header, raw) = read::<OwnedHeader<Event>>(bytes)?;
                Ok(Self::read(header, |event| event, raw, false))
            }
            format => Err(DecodeError::Format(format)),
        }
    }

    /// The same for what `encode_brief_head` wrote.
    pub fn decode_any(bytes: &Bytes, renew: Renew) -> Result<Self, DecodeError> {
        if bytes.first() != Some(&BRIEF) {
            return Self::decode(bytes);
        }
        let (header, raw) = read::<OwnedHeader<Brief<'_>>>(bytes)?;
        Ok(Self::read(header, |brief| brief.renewed(&raw, renew), raw.clone(), true))
    }

    fn read<E>(header: OwnedHeader<E>, event: impl FnOnce(E) -> Event, raw: Bytes, renewable: bool) -> Self {
        Self { event: event(header.event), raw, target: header.target, traceparent: header.traceparent, received: None, renewable }
    }
}

fn read<'a, H: Deserialize<'a>>(bytes: &'a Bytes) -> Result<(H, Bytes), DecodeError> {
    let length = bytes.get(1..PREFIX).and_then(|n| n.try_into().ok()).map(u32::from_le_bytes).ok_or(DecodeError::Short)?;
    let end = usize::try_from(length).ok().and_then(|n| n.checked_add(PREFIX)).ok_or(DecodeError::Short)?;
    Ok((serde_json::from_slice(bytes.get(PREFIX..end).ok_or(DecodeError::Short)?)?, bytes.slice(end..)))
}
