//! CloudEvents 1.0: an event as one JSON object, the form of the file, stdout and http sinks.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::binary::{self, BinaryError};
use super::{Data, Envelope, Event, EventId, Kind, Origin, PartitionKey, Restricted};
use crate::clock::Timestamp;
use crate::setting::ConnectionName;

pub const TYPE_PREFIX: &str = "dev.ticketwire.";
pub const TYPE_SUFFIX: &str = ".v1";
pub(super) const CONTENT_TYPE: &str = "application/json";
pub(super) const SCHEMA: &str = "urn:ticketwire:event:v1";

/// The attribute `type`.
pub(super) fn event_type(kind: Kind) -> String {
    format!("{TYPE_PREFIX}{kind}{TYPE_SUFFIX}")
}

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: &'a EventId,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    dataschema: &'static str,
    partitionkey: &'a PartitionKey,
    twconnection: &'a ConnectionName,
    tworigin: Origin,
    twrestricted: Restricted,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: WithRaw<'a>,
}

#[derive(Serialize)]
struct WithRaw<'a> {
    #[serde(flatten)]
    data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

/// Reads what `structured` wrote. What the form does not carry is taken so that nothing becomes less restricted by it.
pub fn read_structured(written: &Value) -> Result<Event, BinaryError> {
    let attribute = |name: &str| written.get(name).and_then(Value::as_str);
    let restricted = attribute("twrestricted").unwrap_or_default();
    let ours = |name: &str| match name {
        binary::LEVEL_KNOWN => Some(if restricted == "unknown" { "false" } else { "true" }),
        binary::PROJECT_PRIVATE => Some("false"),
        _ => None,
    };
    let data = Bytes::from(serde_json::to_vec(written.get("data").unwrap_or(&Value::Null))?);
    let mut event = binary::read_binary(attribute, ours, &data)?.event;
    event.secrecy.project_private = restricted == "yes" && event.restricted() != Restricted::Yes;
    Ok(event)
}

/// The structured form on one line, without a line feed. `event` is the envelope's own, or that event enriched.
pub fn structured(envelope: &Envelope, event: &Event, include_raw: bool) -> Vec<u8> {
    let (mut raw, mut raw_base64) = (None, None);
    if include_raw && !envelope.raw.is_empty() {
        // A body may hold line feeds; one event is one line.
        raw = std::str::from_utf8(&envelope.raw).ok().filter(|text| !text.contains('\n')).and_then(|text| serde_json::from_str(text).ok());
        if raw.is_none() {
            use base64::Engine;
            raw_base64 = Some(base64::engine::general_purpose::STANDARD.encode(&envelope.raw));
        }
    }
    let line = Structured {
        specversion: "1.0",
        id: &event.id,
        source: event.source.as_str(),
        kind: event_type(event.data.kind),
        subject: &event.subject,
        time: event.data.occurred_at,
        datacontenttype: CONTENT_TYPE,
        dataschema: SCHEMA,
        partitionkey: &event.partition_key,
        twconnection: &event.connection,
        tworigin: event.data.origin,
        twrestricted: event.restricted(),
        traceparent: envelope.traceparent.as_deref(),
        data: WithRaw { data: &event.data, raw, raw_base64 },
    };
    serde_json::to_vec(&line).expect("an event is written as JSON")
}
