//! The published schemas of an event, kept in `schemas/`, and true of what is published: the JSON Schema is generated from the types, the
//! headers in the AsyncAPI document are compared with those that are sent.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use ticketwire::event::{Data, Envelope, TYPE_PREFIX, TYPE_SUFFIX, binary};

use super::{events_of, own_bodies, published};

/// An event as one JSON object: the CloudEvents attributes around the data.
fn event_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let data = generator.subschema_for::<Data>();
    let kinds = format!("^{}[a-z]+\\.[a-z_]+{}$", TYPE_PREFIX.replace('.', "\\."), TYPE_SUFFIX.replace('.', "\\."));
    let text = json!({ "type": "string", "minLength": 1 });
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:ticketwire:event:v1",
        "title": "An event of Ticketwire",
        "description": "A CloudEvent 1.0 in structured mode. Members are added in minor versions, never removed or changed.",
        "type": "object",
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "description": "Deterministic: the same however the event reached us", "pattern": "^[^.@]+$" },
            "source": { "type": "string", "description": "The base URL of the connection" },
            "type": { "type": "string", "pattern": kinds },
            "subject": { "type": "string", "description": "The issue's key if there is one, else `<entity>:<id>`", "minLength": 1 },
            "time": { "type": "string", "format": "date-time" },
            "datacontenttype": { "const": "application/json" },
            "dataschema": { "const": "urn:ticketwire:event:v1" },
            "partitionkey": text,
            "twconnection": text,
            "tworigin": { "enum": ["webhook", "import", "reconcile", "report"] },
            "twrestricted": { "enum": ["yes", "no", "unknown"] },
            "traceparent": { "type": "string" },
            "data": data,
        },
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "partitionkey", "twconnection",
            "tworigin", "twrestricted", "data",
        ],
    });
    let mut definitions = Value::Object(generator.take_definitions(true).into_iter().collect());
    name_members_after_kinds(&mut definitions["Data"]);
    schema["$defs"] = definitions;
    schema
}

/// The types say that there may be one more member; here it says for which kinds it is which.
fn name_members_after_kinds(data: &mut Value) {
    let alternatives = data["anyOf"].as_array_mut().expect("one member more, or none");
    alternatives[1] = json!({ "properties": { "kind": { "pattern": "^(issue|project)[.]" } } });
    for variant in alternatives[0]["oneOf"].as_array_mut().expect("one variant for each entity") {
        let entity = variant["required"][0].as_str().expect("the name of the member");
        let entity = if entity == "unrecognized" { "event" } else { entity };
        variant["properties"]["kind"] = json!({ "pattern": format!("^{entity}[.]") });
    }
}

static SCHEMA: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&event_schema()).expect("the schema is a schema"));

/// Where a published event differs from the schema.
pub fn mismatches(line: &Value) -> Vec<String> {
    SCHEMA.iter_errors(line).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/event.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&event_schema()).expect("JSON"));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).expect("the schema is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "`schemas/event.schema.json` is not that of the types: run the tests once with `UPDATE_SCHEMAS=1`");
}

#[test]
fn every_event_is_as_the_schema_says() {
    for (name, body) in own_bodies() {
        for event in events_of(&body) {
            let line = published(event);
            let wrong = mismatches(&line);
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_no_event() {
    let body = &own_bodies()["comment-created-cloud"];
    let check = |pointer: &str, value: Value| {
        let mut line = published(events_of(body)[0].clone());
        *line.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        assert!(!mismatches(&line).is_empty(), "{pointer}");
    };
    check("/type", json!("issue.updated"));
    check("/data/kind", json!("issue.exploded"));
    check("/data/kind", json!("worklog.created"));
    check("/data/issue/id", Value::Null);
    check("/data/comment/internal", json!("yes"));
    check("/data/occurred_at", json!("yesterday"));
    check("/data/changes", Value::Null);
    let mut line = published(events_of(body)[0].clone());
    line["data"].as_object_mut().expect("data").remove("actor");
    assert!(!mismatches(&line).is_empty(), "every member is there");
}

/// The names of a message's headers in `schemas/asyncapi.yaml`: all of them, and those that are required.
fn headers_in_asyncapi(message: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/asyncapi.yaml");
    let text = std::fs::read_to_string(path).expect("the document");
    let name = |text: &str| text.strip_prefix('"').map_or_else(|| text.split(':').next(), |rest| rest.split('"').next()).map(str::to_owned);
    let mut lines = text.lines().skip_while(|line| *line != format!("    {message}:")).skip_while(|line| *line != "        properties:");
    let properties: Vec<&str> = lines.by_ref().skip(1).take_while(|line| *line != "        required:").collect();
    let required = lines.map_while(|line| line.strip_prefix("          - "));
    let all = properties.iter().filter_map(|line| line.strip_prefix("          ")).filter(|line| !line.starts_with(' '));
    (all.filter_map(name).collect(), required.filter_map(name).collect())
}

#[test]
fn the_headers_in_asyncapi_are_those_that_are_sent() {
    let event = events_of(&own_bodies()["comment-created-cloud"])[0].clone();
    let (target, traceparent) =
        (Some("team".parse().expect("a name")), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()));
    let envelope = Envelope { event, raw: bytes::Bytes::new(), target, traceparent, received: None, renewable: false };
    let sent = binary(&envelope, usize::MAX);
    let headers = |prefix: &str, content_type: Option<&str>| -> BTreeSet<String> {
        let name = |name: &str| if name == "datacontenttype" { content_type.map(str::to_owned) } else { Some(format!("{prefix}{name}")) };
        sent.attributes.iter().filter_map(|(attribute, _)| name(attribute)).collect()
    };
    let ours: BTreeSet<String> = sent.ours.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (message, prefix, content_type, stamp) in
        [("onRabbitmq", "cloudEvents:", None, Some("ticketwire-stamp")), ("onKafka", "ce_", Some("content-type"), None)]
    {
        let attributes = headers(prefix, content_type);
        let (all, required) = headers_in_asyncapi(message);
        let expected: BTreeSet<String> = attributes.iter().chain(&ours).cloned().chain(stamp.map(str::to_owned)).collect();
        assert_eq!(all, expected, "{message}");
        let optional = format!("{prefix}traceparent");
        let always: BTreeSet<String> = attributes.into_iter().filter(|name| *name != optional).collect();
        assert_eq!(required, always, "{message}: required");
    }
}
