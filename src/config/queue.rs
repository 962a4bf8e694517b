//! `[queue]`: which road, its name, and what the embedded one may be told.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::secrets::Reading;
use super::tree::{self, members};
use crate::queue::embedded;

/// `[queue]` as it is used.
#[derive(Debug, Clone)]
pub struct Queue {
    /// `embedded:`, the only road of this build; it lies in `data_dir`.
    pub url: String,
    pub name: String,
    pub embedded: embedded::Settings,
}

/// What every queue has; the other members belong to the engine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Road {
    /// `embedded:` is kept in `data_dir`.
    url: String,
    /// Begins the name of everything that is made on a broker.
    name: String,
}

impl Default for Road {
    fn default() -> Self {
        Self { url: "embedded:".into(), name: "ticketwire".into() }
    }
}

const ROAD: [&str; 2] = ["url", "name"];

pub(crate) fn read<'a>(section: &Section<'a>, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> Queue {
    fingerprint.add(section, &[]);
    let mut engine = section.clone();
    for name in ROAD {
        tree::remove(&mut engine.value, &members(&[name]));
    }
    let embedded = fit::<embedded::Settings>(&engine, &ROAD, reading.sources, &mut reading.problems);
    let common = fit::<Road>(section, &[], reading.sources, &mut reading.problems);
    let Road { url, name } = common.map(|(common, _)| common).unwrap_or_default();
    let queue = Queue { url, name, embedded: embedded.map(|(settings, _)| settings).unwrap_or_default() };
    check(&queue, section, reading);
    queue
}

fn check(queue: &Queue, section: &Section<'_>, reading: &mut Reading<'_>) {
    let place = section.place(&members(&["url"]), reading.sources);
    let mut wrong = |what: &str| reading.problems.add(place.clone(), format!("`url` of `[queue]`: {what}"), "write `embedded:`");
    match queue.url.split_once(':') {
        Some(("embedded", "")) => {}
        Some(("embedded", _)) => wrong("nothing follows `embedded:`, it lies in `data_dir`"),
        Some(("amqp" | "amqps", _)) => wrong("this build has no RabbitMQ yet"),
        Some(("kafka", _)) => wrong("this build has no Kafka yet"),
        _ => wrong("there is no such queue"),
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if queue.name.is_empty() || !queue.name.chars().all(is_plain) {
        let place = section.place(&members(&["name"]), reading.sources);
        reading.problems.add(place, "`name` of `[queue]` is not a name", "use letters, digits, `.`, `-` and `_`");
    }
}
