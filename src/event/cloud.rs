//! CloudEvents 1.0: an event as one JSON object, the form of the file, stdout and http sinks.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::binary::{self, BinaryError};
use super::json::compact;
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
    raw: Option<Cow<'a, RawValue>>,
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

/// A body as it came if it is JSON, but for line feeds and other white space between tokens: one event is one line.
fn on_one_line(body: &[u8]) -> Option<Cow<'_, RawValue>> {
    let raw: &RawValue = serde_json::from_slice(body).ok()?;
    if memchr::memchr2(b'\n', b'\r', raw.get().as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    RawValue::from_string(compact(raw.get())).ok().map(Cow::Owned)
}

/// The structured form on one line, without a line feed. `event` is the envelope's own, or that event enriched.
pub fn structured(envelope: &Envelope, event: &Event, include_raw: bool) -> Vec<u8> {
    let (mut raw, mut raw_base64) = (None, None);
    if include_raw && !envelope.raw.is_empty() {
        raw = on_one_line(&envelope.raw);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_json_is_json_on_one_line() {
        for (body, line) in [
            (r#"{"a": 1.0}"#, Some(r#"{"a": 1.0}"#)),
            ("{\n  \"a\": 1.0,\r\n\t\"b\": \"c \\n d\"\n}\n", Some(r#"{"a":1.0,"b":"c \n d"}"#)),
            (" [12345678901234567890]\n", Some("[12345678901234567890]")),
            ("payload=%7B%7D", None),
            ("{\"a\":\"b\nc\"}", None),
            ("{}{}", None),
        ] {
            assert_eq!(on_one_line(body.as_bytes()).as_ref().map(|raw| raw.get()), line, "{body}");
        }
        assert!(on_one_line(b"{\"a\":\"\xff\"}").is_none());
    }
}
