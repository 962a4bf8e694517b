//! The example, the schema and the table of secrets agree with the settings.

use serde_json::Value;

use super::super::{Config, EXAMPLE, schema, secrets, sinks};
use super::Files;

/// The example as it stands, and with everything that is switched off in it.
#[test]
fn the_example_loads_and_fits_the_schema() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "given-by-the-test").expect("writing it");
    let names: Vec<&str> = EXAMPLE.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let environment: Vec<_> = names.iter().map(|name| (*name, "given-by-the-test")).collect();
    let whole = everything_switched_on();
    for (text, expected) in [(EXAMPLE, (1, 3, 3)), (whole.as_str(), (2, 7, 3))] {
        let config = Files::new(&text.replace("/run/secrets/office-token", &secret.path().display().to_string())).load(&environment);
        assert_eq!((config.connections.len(), config.sinks.len(), config.rules.len()), expected, "{text}");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    let schema = jsonschema::validator_for(&schema()).expect("a good schema");
    for text in [EXAMPLE, whole.as_str()] {
        let example: Value = toml::from_str(text).expect("good TOML");
        let errors: Vec<_> = schema.iter_errors(&example).map(|err| format!("{}: {err}", err.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    for bad in ["[receiver]\nlistn = 1", "[sink.x]\ntype = \"telegraph\"", "[sink.x]\ntype = \"file\"", "[queue]\nlanes = false", "x = 1"] {
        let bad: Value = toml::from_str(bad).expect("good TOML");
        assert!(!schema.is_valid(&bad), "{bad}");
    }
}

/// What begins with `#` and no blank is switched off.
fn everything_switched_on() -> String {
    let lines = EXAMPLE.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// What the example shows as a default must be one.
#[test]
fn the_defaults_in_the_example_are_the_defaults() {
    let mut shown = String::new();
    let mut section = "";
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let is_default = line
            .strip_prefix("# ")
            .is_some_and(|line| line.split(" = ").next().is_some_and(|name| !name.contains(' ')) && line.contains(" = "));
        if is_default {
            shown.push_str(&format!("{section}\n{}\n", line.trim_start_matches("# ")));
        }
    }
    assert!(shown.matches('\n').count() > 20, "{shown}");
    let single: Vec<&str> = ["[receiver]", "[queue]", "[store]", "[deliver]"].into_iter().filter(|name| shown.contains(name)).collect();
    assert_eq!(single.len(), 4, "{shown}");
    for name in single {
        let mut text = format!("{name}\n");
        let lines: Vec<&str> = shown.lines().collect();
        text.extend(lines.chunks(2).filter(|pair| pair[0] == name).map(|pair| format!("{}\n", pair[1])));
        let (config, defaults) = (Files::new(&text).load(&[]), Config::load(None, []).expect("the defaults"));
        let seen = |config: &Config| format!("{:?} {:?} {:?} {:?}", config.receiver, config.queue, config.store, config.deliver);
        assert_eq!(seen(&config), seen(&defaults), "{text}");
    }
}

#[test]
fn the_schema_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/config.schema.json");
    let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, &text).expect("writing the schema");
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "run the tests with UPDATE_SCHEMAS=1");
}

/// A secret that `secrets` does not know would stay unresolved, and be part of the hash.
#[test]
fn every_secret_of_the_schema_is_resolved() {
    let schema = schema();
    let mut found = Vec::new();
    let section = |name: &str| schema["properties"][name].clone();
    let resolved = [
        ("admin", secrets::ADMIN),
        ("connection", secrets::CONNECTION),
        ("queue", secrets::QUEUE),
        ("store", secrets::STORE),
        ("traces", secrets::TRACES),
    ];
    for (name, known) in resolved {
        secret_paths(&schema, &section(name), &mut Vec::new(), &mut found);
        assert_eq!(sorted_paths(&mut found), known_paths(known), "{name}");
    }
    for sink in schema["$defs"]["Sink"]["oneOf"].as_array().expect("a list") {
        let kind = sink["properties"]["type"]["const"].as_str().expect("a type");
        secret_paths(&schema, sink, &mut Vec::new(), &mut found);
        assert_eq!(sorted_paths(&mut found), known_paths(sinks::secrets_of(kind)), "{kind}");
    }
    for name in ["receiver", "deliver", "rule"] {
        secret_paths(&schema, &section(name), &mut Vec::new(), &mut found);
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

fn sorted_paths(found: &mut Vec<String>) -> Vec<String> {
    found.sort();
    found.dedup();
    std::mem::take(found)
}

fn known_paths(known: &[&[&str]]) -> Vec<String> {
    let mut known: Vec<String> = known.iter().map(|path| path.join(".")).collect();
    known.sort();
    known
}

fn secret_paths(root: &Value, schema: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        if target.ends_with("/SecretSource") {
            found.push(path.join("."));
            return;
        }
        secret_paths(root, root.pointer(target.trim_start_matches('#')).expect("a definition"), path, found);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        secret_paths(root, member, path, found);
        path.pop();
    }
    if schema["items"].is_object() {
        path.push("*".to_owned());
        secret_paths(root, &schema["items"], path, found);
        path.pop();
    }
    for inner in ["anyOf", "oneOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten()) {
        secret_paths(root, inner, path, found);
    }
    if schema["additionalProperties"].is_object() {
        // The names of connections are no part of a path that begins in one.
        let is_inside = !path.is_empty();
        path.extend(is_inside.then(|| "*".to_owned()));
        secret_paths(root, &schema["additionalProperties"], path, found);
        path.truncate(path.len() - usize::from(is_inside));
    }
}
