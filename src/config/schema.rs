//! The JSON Schema of the file, made from the settings types.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::connections::ConnectionSettings;
use super::queue::Road;
use super::sinks::{KINDS, OfEverySink};
use crate::deliver::RuleSettings;
use crate::queue::{amqp, embedded, kafka};
use crate::setting::SecretSource;
use crate::sink::{self, file, http, slack, stdout, tickets};
use crate::{api, deliver, receive, store, telemetry};

/// The file as it is written. Only its schema is used: the file itself is read section by section.
#[derive(JsonSchema)]
#[schemars(title = "Ticketwire configuration", deny_unknown_fields)]
#[expect(dead_code, reason = "it stands for the file and is never made")]
struct File {
    /// Where everything is kept; against the working directory. Other relative paths are against this one.
    #[schemars(default = "data_dir")]
    data_dir: Option<String>,
    /// More files, against the directory of this one; one `*` may stand in a file's name.
    include: Option<Vec<String>>,
    /// Who keeps this file: named with every mistake in it, and in `rule list`.
    owner: Option<String>,
    /// Where Jira's webhooks arrive.
    receiver: Option<receive::Settings>,
    /// Metrics, health and the API.
    admin: Option<api::Settings>,
    /// Where events are kept until every sink has them: on the local disk, in RabbitMQ or in Kafka.
    queue: Option<AnyQueue>,
    /// The database of tickets, archive, journal and waiting deliveries.
    store: Option<store::Settings>,
    /// How deliveries are tried, and how long they wait.
    deliver: Option<deliver::Settings>,
    /// What is logged.
    log: Option<telemetry::LogSettings>,
    /// Where OpenTelemetry traces are sent.
    traces: Option<AnyTraces>,
    /// The Jira sites, by a name that is part of every event's id and of the webhook's URL.
    connection: Option<BTreeMap<String, ConnectionSettings>>,
    /// The destinations, by name.
    sink: Option<BTreeMap<String, AnySink>>,
    /// Which events go where, and how they read, by name; asked in the order of the file.
    rule: Option<BTreeMap<String, RuleSettings>>,
}

fn data_dir() -> Option<String> {
    Some(super::DATA_DIR.to_owned())
}

/// The schema as `config schema` prints it.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    generator.into_root_schema_for::<File>().to_value()
}

/// One of the sinks' settings, chosen by `type`.
struct AnySink;

impl JsonSchema for AnySink {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sink".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<Schema> = KINDS.into_iter().map(|kind| settings_of(kind, generator)).collect();
        schemars::json_schema!({ "oneOf": kinds })
    }
}

fn settings_of(kind: &str, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = match kind {
        "tickets" => tickets::Settings::json_schema(generator),
        "slack" => slack::Settings::json_schema(generator),
        "file" => file::Settings::json_schema(generator),
        "stdout" => stdout::Settings::json_schema(generator),
        "amqp" => sink::amqp::Settings::json_schema(generator),
        "kafka" => sink::kafka::Settings::json_schema(generator),
        _ => http::Settings::json_schema(generator),
    };
    let common = OfEverySink::json_schema(generator);
    let object = schema.ensure_object();
    if let Some(members) = object.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        members.extend(common.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
        members.insert("type".into(), json!({ "const": kind }));
    }
    if let Some(required) = object.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.insert(0, json!("type"));
    }
    schema
}

/// The settings, whose headers may be secrets as all others are written.
struct AnyTraces;

impl JsonSchema for AnyTraces {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Traces".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = telemetry::TraceSettings::json_schema(generator);
        let secret = generator.subschema_for::<SecretSource>().to_value();
        if let Some(values) = schema.pointer_mut("/properties/headers/additionalProperties") {
            *values = secret;
        }
        schema
    }
}

/// What every queue has, and what its engine has: `url` chooses which of those are taken.
struct AnyQueue;

impl JsonSchema for AnyQueue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Queue".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let road = Road::json_schema(generator);
        let mut schema = embedded::Settings::json_schema(generator);
        let (amqp, kafka) = (amqp::Settings::json_schema(generator), kafka::Settings::json_schema(generator));
        if let Some(members) = schema.ensure_object().get_mut("properties").and_then(Value::as_object_mut) {
            for more in [amqp, kafka, road] {
                members.extend(more.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
            }
        }
        schema
    }
}
