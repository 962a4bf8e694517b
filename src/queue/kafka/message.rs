//! An envelope as a record of Kafka, and back: CloudEvents in binary mode.
//!
//! Headers `ce_<attribute>`, `content-type` for `datacontenttype` as the binding says, headers of ours by their own names; the key is the
//! partition key.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

use crate::event::{Binary, BinaryError, Envelope, binary, read_binary, read_unrecognized};

const PREFIX: &str = "ce_";
const CONTENT_TYPE: &str = "content-type";
/// With the key it must stay below what is kept free around a body; those of a real event take less than two kilobytes.
const HEADERS_MAX: usize = 16 << 10;

/// Ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Record {
    /// Err: why no broker would take it.
    pub(super) fn new(envelope: &Envelope, body_max: usize) -> Result<Self, String> {
        Self::of(envelope, binary(envelope, body_max))
    }

    /// For others, who need nothing but CloudEvents.
    pub(super) fn outward(envelope: &Envelope, body_max: usize) -> Result<Self, String> {
        Self::of(envelope, Binary { ours: Vec::new(), ..binary(envelope, body_max) })
    }

    fn of(envelope: &Envelope, message: Binary) -> Result<Self, String> {
        let Binary { attributes, ours, body } = message;
        let attributes = attributes.into_iter().map(|(name, text)| match name {
            "datacontenttype" => (CONTENT_TYPE.to_owned(), text),
            _ => (format!("{PREFIX}{name}"), text),
        });
        let headers: Vec<_> = attributes.chain(ours.into_iter().map(|(name, text)| (name.to_owned(), text))).collect();
        let length: usize = headers.iter().map(|(name, text)| name.len() + text.len()).sum();
        if length > HEADERS_MAX {
            return Err(format!("the attributes of an event take {length} bytes, more than {HEADERS_MAX}"));
        }
        Ok(Self { key: envelope.event.partition_key.to_string(), body, headers })
    }

    pub(super) fn headers(&self) -> OwnedHeaders {
        let empty = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(empty, |headers, (key, text)| headers.insert(Header { key, value: Some(text) }))
    }
}

/// What stands on the topic.
pub(super) struct Read {
    /// None: it is nothing of ours, and nobody can say what it is.
    pub(super) envelope: Option<Envelope>,
    /// Why it could not be read as it should be.
    pub(super) fault: Option<BinaryError>,
}

pub(super) fn read(message: &BorrowedMessage<'_>) -> Read {
    let body = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    read_parts(|name| header(message, name), &body)
}

fn read_parts<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &Bytes) -> Read {
    let attribute = |name: &str| match name {
        "datacontenttype" => header(CONTENT_TYPE),
        name => header(&format!("{PREFIX}{name}")),
    };
    match read_binary(attribute, &header, body) {
        Ok(envelope) => Read { envelope: Some(envelope), fault: None },
        Err(fault) => Read { envelope: read_unrecognized(attribute, body, &fault), fault: Some(fault) },
    }
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
