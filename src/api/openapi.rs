//! The OpenAPI 3.1 document, made from the table of endpoints.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::endpoints::{self, Answer, Endpoint, Method, Shape};

/// RFC 9457.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct ProblemView {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
}

/// As it stands in `schemas/openapi.json`.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemView>();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints::all() {
        let operation = operation(&endpoint, &mut generator);
        let method = match endpoint.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ticketwire",
            "version": "1",
            "description": "The API of the admin listener. Errors are RFC 9457 problems.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:9080" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": { "Problem": { "description": "What is wrong", "content": { "application/problem+json": { "schema": problem } } } },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = in_path(endpoint.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    parameters.extend(endpoint.query.into_iter().flat_map(|shape| in_query(shape)));
    let description = match endpoint.answer {
        Answer::Pages(_) => "A page; where there is more, the header `Link` names the next",
        Answer::Json(_) | Answer::Events(_) | Answer::Text(_) => "The answer",
    };
    let (media, schema) = match endpoint.answer {
        Answer::Json(shape) | Answer::Pages(shape) => ("application/json", json!(shape(generator))),
        Answer::Events(shape) => {
            // The data of each event are such an object, written as JSON.
            let data = json!(shape(generator));
            ("text/event-stream", json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": data }))
        }
        Answer::Text(media) => (media, json!({ "type": "string" })),
    };
    let mut answered = json!({ "description": description, "content": { media: { "schema": schema } } });
    if let Answer::Pages(_) = endpoint.answer {
        answered["headers"] = json!({ "Link": { "description": "RFC 8288, `rel=\"next\"`", "schema": { "type": "string" } } });
    }
    let mut operation = json!({
        "operationId": name(endpoint),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": { endpoint.status.to_string(): answered, "default": { "$ref": "#/components/responses/Problem" } },
    });
    if let Some(shape) = endpoint.body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": shape(generator) } } });
    }
    if endpoint.is_public() {
        operation["security"] = json!([]);
    }
    operation
}

fn in_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The members of a query, each a parameter.
fn in_query(shape: Shape) -> Vec<Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = json!(shape(&mut settings.into_generator()));
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|members| members.remove("description")).unwrap_or_default();
        let mut parameter = json!({ "name": name, "in": "query", "required": false, "schema": schema });
        if description.is_string() {
            parameter["description"] = description;
        }
        parameter
    };
    schema["properties"].as_object().into_iter().flatten().map(parameter).collect()
}

/// `get_sinks_name`: the method and the path.
fn name(endpoint: &Endpoint) -> String {
    let method = match endpoint.method {
        Method::Get => "get",
        Method::Post => "post",
    };
    let path = endpoint.path.strip_prefix(endpoints::API_PREFIX).unwrap_or(endpoint.path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/openapi.json");
        let text = format!("{:#}\n", document());
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(path, &text).expect("writing the document");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "run the tests with UPDATE_SCHEMAS=1");
    }

    /// Every `$ref` leads somewhere, every schema is one, and no two operations have one name.
    #[test]
    fn the_document_holds_together() {
        let document = document();
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            let place = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        for (name, schema) in schemas {
            assert!(jsonschema::meta::is_valid(schema), "{name}");
        }
        let mut names = std::collections::BTreeSet::new();
        for operation in document["paths"].as_object().into_iter().flatten().flat_map(|(_, path)| path.as_object().into_iter().flatten()) {
            assert!(names.insert(operation.1["operationId"].as_str().expect("a name").to_owned()), "{operation:?}");
        }
    }

    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| collect(member, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
