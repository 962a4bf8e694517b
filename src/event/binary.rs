//! CloudEvents 1.0 in binary mode, as the road on a broker carries it: attributes beside a body that holds the data.
//!
//! ```text
//! attributes   id, source, type, ...           published; each broker has its own prefix for them
//! ours         ticketwire-target, ...          what an envelope holds beyond CloudEvents; headers of just this name
//! body         { the data, "raw": <the body as Jira sent it> }
//! ```
//! The last member is `raw_base64` where the body is not JSON (or has white space around it), and `raw_omitted: true` where it would be
//! too long. What was written within the limit is read back exactly. Brokers' own types are not known here.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::cloud::{CONTENT_TYPE, SCHEMA, event_type};
use super::{Data, Delivered, Entity, Envelope, Event, EventId, Kind, Origin, PartitionKey, Secrecy, Unrecognized, shorten};
use crate::clock::Timestamp;

const TARGET: &str = "ticketwire-target";
pub(super) const LEVEL_KNOWN: &str = "ticketwire-level-known";
pub(super) const PROJECT_PRIVATE: &str = "ticketwire-project-private";

/// What the members around a raw body take.
const AROUND: usize = 64;

/// A message without the broker's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// By CloudEvents' own names, `datacontenttype` among them.
    pub attributes: Vec<(&'static str, String)>,
    /// Whole names of headers.
    pub ours: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    #[error("the attribute `{0}` is missing or cannot be read")]
    Attribute(&'static str),
    #[error("the body cannot be read: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the raw body is not where it belongs, at the end")]
    Raw,
}

/// The last member, whichever it is; everything else is passed over without being kept.
#[derive(Deserialize)]
struct Tail<'a> {
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    raw: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    raw_base64: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "as_it_stands")]
    raw_omitted: Option<&'a RawValue>,
}

/// `null` too is a body that somebody may have sent.
fn as_it_stands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A body is never longer than `body_max`, as long as that is at least a megabyte: then `raw` is left out, and then texts are cut.
pub fn binary(envelope: &Envelope, body_max: usize) -> Binary {
    let event = &envelope.event;
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", event.id.to_string()),
        ("source", event.source.to_string()),
        ("type", event_type(event.data.kind)),
        ("subject", event.subject.clone()),
        ("time", event.data.occurred_at.to_string()),
        ("datacontenttype", CONTENT_TYPE.to_owned()),
        ("dataschema", SCHEMA.to_owned()),
        ("partitionkey", event.partition_key.to_string()),
        ("twconnection", event.connection.to_string()),
        ("tworigin", event.data.origin.as_str().to_owned()),
        ("twrestricted", event.restricted().as_str().to_owned()),
    ];
    attributes.extend(envelope.traceparent.clone().map(|parent| ("traceparent", parent)));
    let mut ours = vec![(LEVEL_KNOWN, event.secrecy.level_known.to_string()), (PROJECT_PRIVATE, event.secrecy.project_private.to_string())];
    ours.extend(envelope.target.as_ref().map(|target| (TARGET, target.to_string())));
    Binary { attributes, ours, body: body(envelope, body_max) }
}

/// Reads a message back. `attribute` looks up an attribute of CloudEvents, `ours` a header by its whole name.
pub fn read_binary<'a>(
    attribute: impl Fn(&str) -> Option<&'a str>,
    ours: impl Fn(&str) -> Option<&'a str>,
    body: &Bytes,
) -> Result<Envelope, BinaryError> {
    let (data, raw) = split(body)?;
    let data: Data = serde_json::from_slice(&data)?;
    let target = ours(TARGET).map(|name| name.parse().map_err(|_| BinaryError::Attribute(TARGET))).transpose()?;
    let flag = |name: &'static str| ours(name).and_then(|text| text.parse().ok()).ok_or(BinaryError::Attribute(name));
    let secrecy = Secrecy { level_known: flag(LEVEL_KNOWN)?, project_private: flag(PROJECT_PRIVATE)? };
    let event = event(&attribute, secrecy, data)?;
    Ok(Envelope { event, raw, target, traceparent: attribute("traceparent").map(str::to_owned), received: None, renewable: false })
}

/// What to make of an event of ours that this version cannot read: `event.unrecognized` under the same id, with the whole message as
/// its raw body. None: it is no event of ours at all.
pub fn read_unrecognized<'a>(attribute: impl Fn(&str) -> Option<&'a str>, body: &Bytes, why: &BinaryError) -> Option<Envelope> {
    let at = attribute("time").and_then(Timestamp::parse).unwrap_or_default();
    let data = Data {
        kind: Kind::Unrecognized,
        origin: Origin::Webhook,
        occurred_at: at,
        received_at: at,
        jira: Delivered::default(),
        actor: None,
        project: None,
        issue: None,
        changes: Vec::new(),
        degraded: Vec::new(),
        entity: Some(Entity::Unrecognized(Unrecognized {
            event: attribute("type").map(str::to_owned),
            reason: format!("a message of the queue that this version cannot read: {why}"),
            bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
            sha256: hex::encode(Sha256::digest(body)),
        })),
    };
    let event = event(&attribute, Secrecy::default(), data).ok()?;
    Some(Envelope { event, raw: body.clone(), target: None, traceparent: None, received: None, renewable: false })
}

fn event<'a>(attribute: &impl Fn(&str) -> Option<&'a str>, secrecy: Secrecy, data: Data) -> Result<Event, BinaryError> {
    let text = |name: &'static str| attribute(name).filter(|text| !text.is_empty()).ok_or(BinaryError::Attribute(name));
    Ok(Event {
        id: EventId::known(text("id")?),
        connection: text("twconnection")?.parse().map_err(|_| BinaryError::Attribute("twconnection"))?,
        source: text("source")?.parse().map_err(|_| BinaryError::Attribute("source"))?,
        subject: text("subject")?.to_owned(),
        partition_key: PartitionKey::known(text("partitionkey")?),
        secrecy,
        data,
    })
}

fn body(envelope: &Envelope, body_max: usize) -> Vec<u8> {
    let data = serde_json::to_vec(&envelope.event.data).expect("an event is written as JSON");
    if envelope.raw.is_empty() && data.len() <= body_max {
        return data;
    }
    let as_json = std::str::from_utf8(&envelope.raw).ok().filter(|text| is_one_value(text));
    let length = as_json.map_or(envelope.raw.len().div_ceil(3) * 4, str::len);
    if data.len() + length + AROUND <= body_max {
        return match as_json {
            Some(text) => with_last(data, "raw", text),
            None => with_last(data, "raw_base64", &format!("\"{}\"", STANDARD.encode(&envelope.raw))),
        };
    }
    let fits = |data: &Vec<u8>| data.len() + AROUND <= body_max;
    let shorter = || shorten::LEVELS.iter().map(|level| serde_json::to_vec(&level.apply(&envelope.event.data)).unwrap_or_default());
    let data = if fits(&data) { data } else { shorter().find(fits).unwrap_or_else(|| shorter().last().unwrap_or_default()) };
    with_last(data, "raw_omitted", "true")
}

/// Whether it is JSON from its first byte to its last.
fn is_one_value(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().len() == text.len())
}

/// An object has members always, so a comma is due.
fn with_last(mut object: Vec<u8>, name: &str, value: &str) -> Vec<u8> {
    object.pop();
    object.reserve(value.len() + AROUND);
    object.extend_from_slice(format!(",\"{name}\":").as_bytes());
    object.extend_from_slice(value.as_bytes());
    object.push(b'}');
    object
}

/// The data without the last member, and the raw body, which stays a part of the given bytes where it stood there as it is.
fn split(body: &Bytes) -> Result<(Cow<'_, [u8]>, Bytes), BinaryError> {
    let tail: Tail<'_> = serde_json::from_slice(body)?;
    let (name, value) = match (tail.raw, tail.raw_base64, tail.raw_omitted) {
        (Some(raw), None, None) => ("\"raw\"", raw.get()),
        (None, Some(text), None) => ("\"raw_base64\"", text.get()),
        (None, None, Some(omitted)) => ("\"raw_omitted\"", omitted.get()),
        (None, None, None) => return Ok((Cow::Borrowed(body), Bytes::new())),
        _ => return Err(BinaryError::Raw),
    };
    let raw = body.slice_ref(value.as_bytes());
    let from = (value.as_ptr() as usize).checked_sub(body.as_ptr() as usize).ok_or(BinaryError::Raw)?;
    let (before, after) = (body.get(..from).unwrap_or_default(), body.get(from + value.len()..).unwrap_or_default());
    if after.trim_ascii() != b"}" {
        return Err(BinaryError::Raw);
    }
    let before = before.trim_ascii_end().strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    let before = before.and_then(|text| text.strip_suffix(name.as_bytes())).map(<[u8]>::trim_ascii_end);
    let before = before.and_then(|text| text.strip_suffix(b",")).ok_or(BinaryError::Raw)?;
    let data = Cow::Owned([before, b"}"].concat());
    let raw = match name {
        "\"raw\"" => raw,
        "\"raw_base64\"" => {
            let text: Cow<'_, str> = serde_json::from_str(value)?;
            STANDARD.decode(text.as_bytes()).map_err(|_| BinaryError::Raw)?.into()
        }
        _ => Bytes::new(),
    };
    Ok((data, raw))
}

#[cfg(test)]
mod tests;
