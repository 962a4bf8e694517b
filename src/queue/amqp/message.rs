//! An envelope as a message of AMQP 0-9-1, and back: CloudEvents in binary mode.
//!
//! Headers `cloudEvents:<attribute>` as the binding for AMQP 1.0 names them, `datacontenttype` as the property `content-type`, headers of
//! ours by their own names, and our stamp. Persistent, with the id also as `message-id`, so that the broker's own lists can be read.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::names::routing_key;
use crate::event::{Binary, BinaryError, Envelope, LaneId, binary, read_binary, read_unrecognized};

const PREFIX: &str = "cloudEvents:";
const STAMP: &str = "ticketwire-stamp";
const PERSISTENT: u8 = 2;
/// All headers must fit into one frame; those of a real event take less than two kilobytes.
const HEADERS_MAX: usize = 16 << 10;
/// What a property of AMQP may hold.
const PROPERTY_MAX: usize = 255;

/// Ready to be published, but for its stamp.
pub(super) struct Message {
    pub(super) routing_key: ShortString,
    pub(super) body: Vec<u8>,
    pub(super) headers: FieldTable,
    /// Without the headers.
    pub(super) properties: BasicProperties,
}

impl Message {
    /// Err: why no broker would take it.
    pub(super) fn new(envelope: &Envelope, lane: LaneId, body_max: usize) -> Result<Self, String> {
        let routing_key = routing_key(lane, envelope.target.as_ref(), &envelope.event);
        Self::of(envelope, binary(envelope, body_max), routing_key)
    }

    /// For others, who need nothing but CloudEvents.
    pub(super) fn outward(envelope: &Envelope, routing_key: String, body_max: usize) -> Result<Self, String> {
        Self::of(envelope, Binary { ours: Vec::new(), ..binary(envelope, body_max) }, routing_key)
    }

    fn of(envelope: &Envelope, message: Binary, routing_key: String) -> Result<Self, String> {
        let Binary { attributes, ours, body } = message;
        let length: usize = attributes.iter().chain(&ours).map(|(name, text)| name.len() + text.len()).sum();
        if length > HEADERS_MAX {
            return Err(format!("the attributes of an event take {length} bytes, more than {HEADERS_MAX}"));
        }
        let mut headers = FieldTable::default();
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        for (name, text) in attributes {
            match name {
                "datacontenttype" => properties = properties.with_content_type(text.into()),
                _ => drop(headers.insert(format!("{PREFIX}{name}").into(), AMQPValue::LongString(text.into()))),
            }
        }
        for (name, text) in ours {
            headers.insert(name.into(), AMQPValue::LongString(text.into()));
        }
        if let Some(id) = Some(envelope.event.id.as_str()).filter(|id| id.len() <= PROPERTY_MAX) {
            properties = properties.with_message_id(id.into());
        }
        Ok(Self { routing_key: routing_key.into(), body, headers, properties })
    }

    pub(super) fn properties(&self, stamp: u64) -> BasicProperties {
        let mut headers = self.headers.clone();
        headers.insert(STAMP.into(), AMQPValue::LongLongInt(i64::try_from(stamp).unwrap_or(i64::MAX)));
        self.properties.clone().with_headers(headers)
    }
}

/// What came out of a queue of ours.
pub(super) struct Read {
    pub(super) stamp: Option<u64>,
    /// None: it is nothing of ours, and nobody can say what it is.
    pub(super) envelope: Option<Envelope>,
    /// Why it could not be read as it should be.
    pub(super) fault: Option<BinaryError>,
}

pub(super) fn read(delivery: Delivery) -> Read {
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    let text = |name: &str| headers.inner().get(name).and_then(as_text);
    let attribute = |name: &str| match name {
        "datacontenttype" => delivery.properties.content_type().as_ref().map(ShortString::as_str),
        name => text(&format!("{PREFIX}{name}")),
    };
    let stamp = headers.inner().get(STAMP).and_then(AMQPValue::as_long_long_int).and_then(|stamp| u64::try_from(stamp).ok());
    let body = Bytes::from(delivery.data);
    match read_binary(attribute, text, &body) {
        Ok(envelope) => Read { stamp, envelope: Some(envelope), fault: None },
        Err(fault) => Read { stamp, envelope: read_unrecognized(attribute, &body, &fault), fault: Some(fault) },
    }
}

fn as_text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(LongString::as_bytes(text)).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}
