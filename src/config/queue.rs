//! `[queue]`: which road, its name, and what its engine may be told. The URL alone chooses the engine.

use std::borrow::Cow;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeValue;
use url::Url;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::secrets::{self, Reading, resolved};
use super::tree::{self, members};
use crate::event::LaneCount;
use crate::queue::{Wrong, amqp, embedded, kafka};

/// `[queue]` as it is used.
#[derive(Debug, Clone)]
pub struct Queue {
    /// `embedded:`, which lies in `data_dir`, or that of a broker, without a password.
    pub url: String,
    pub name: String,
    pub lanes: LaneCount,
    pub embedded: embedded::Settings,
    /// Only where the URL is one of RabbitMQ.
    pub amqp: Option<amqp::Broker>,
    /// Only where the URL is one of Kafka.
    pub kafka: Option<kafka::Broker>,
}

impl Queue {
    /// The name of this process that is set.
    pub fn instance(&self) -> Option<&str> {
        self.kafka.as_ref()?.instance.as_deref()
    }

    /// Whether it is a server of its own, which several processes can share.
    pub fn is_broker(&self) -> bool {
        self.amqp.is_some() || self.kafka.is_some()
    }
}

/// What every queue has; the other members belong to the engine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Road {
    /// `embedded:` is kept in `data_dir`; `amqp://` and `amqps://` name a RabbitMQ, `kafka://` with one or more hosts a Kafka.
    url: String,
    /// Begins the name of everything that is made on a broker.
    name: String,
    /// The number of ordered partitions; can never change for a queue that holds events.
    #[schemars(with = "u16")]
    lanes: LaneCount,
}

impl Default for Road {
    fn default() -> Self {
        Self { url: "embedded:".into(), name: "ticketwire".into(), lanes: LaneCount::default() }
    }
}

const ROAD: [&str; 3] = ["url", "name", "lanes"];
const FILES: &[&[&str]] = &[&["ca_file"], &["client_certificate"], &["client_key"]];
/// Names on RabbitMQ have at most 255 bytes, topics of Kafka 249; a sink's name and a lane follow.
const NAME_MAX: usize = 128;
const URLS: &str = "write `embedded:`, or `amqp://HOST` for RabbitMQ, or `kafka://HOST:PORT,HOST:PORT` for Kafka";

pub(crate) fn read<'a>(section: &Section<'a>, data_dir: &Path, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> Queue {
    let mut section = section.clone();
    let (url, password_in_url) = take_password(&mut section, reading);
    fingerprint.add(&section, secrets::QUEUE);
    secrets::resolve(&mut section, secrets::QUEUE, data_dir, reading);
    fingerprint.mark(&section);
    secrets::make_absolute(&mut section, FILES, data_dir);
    let common = fit::<Road>(&section, &[], reading.sources, &mut reading.problems);
    let Road { url: shown, name, lanes } = common.map(|(common, _)| common).unwrap_or_default();
    let mut queue = Queue { url: shown, name, lanes, embedded: embedded::Settings::default(), amqp: None, kafka: None };
    check_name(&queue.name, &section, reading);
    match queue.url.split_once(':').map_or("", |(scheme, _)| scheme) {
        "amqp" | "amqps" => queue.amqp = rabbitmq(&section, url.as_deref().unwrap_or(&queue.url), password_in_url, reading),
        "kafka" => queue.kafka = kafka(&section, url.as_deref().unwrap_or(&queue.url), reading),
        _ => queue.embedded = embedded(&section, &queue.url, reading),
    }
    queue
}

fn embedded<'a>(section: &Section<'a>, url: &str, reading: &mut Reading<'a>) -> embedded::Settings {
    let place = section.place(&members(&["url"]), reading.sources);
    let mut wrong = |what: &str| reading.problems.add(place.clone(), format!("`url` of `[queue]`: {what}"), URLS);
    match url.split_once(':') {
        Some(("embedded", "")) => {}
        Some(("embedded", _)) => wrong("nothing follows `embedded:`, it lies in `data_dir`"),
        _ => wrong("there is no such queue"),
    }
    let mut engine = section.clone();
    // The number of lanes is one of the engine's own settings.
    for name in ["url", "name"] {
        tree::remove(&mut engine.value, &members(&[name]));
    }
    let fitted = fit::<embedded::Settings>(&engine, &["url", "name"], reading.sources, &mut reading.problems);
    fitted.map(|(settings, _)| settings).unwrap_or_default()
}

/// `url` is the one with the password.
fn rabbitmq<'a>(section: &Section<'a>, url: &str, password_in_url: bool, reading: &mut Reading<'a>) -> Option<amqp::Broker> {
    let (settings, _) = fit::<amqp::Settings>(&engine(section), &ROAD, reading.sources, &mut reading.problems)?;
    if !amqp::IS_BUILT {
        not_built(section, "RabbitMQ", "build it with `--features amqp`, or write `embedded:`", reading);
        return None;
    }
    if password_in_url {
        let place = section.place(&members(&["url"]), reading.sources);
        reading.warn(place, "`url` of `[queue]` holds a password", "use `username`, and `password = { env = \"NAME\" }`");
    }
    let broker = settings.broker(url, settings.password.as_ref().map(resolved));
    broker.map_err(|wrongs| tell(wrongs, section, reading)).ok()
}

fn kafka<'a>(section: &Section<'a>, url: &str, reading: &mut Reading<'a>) -> Option<kafka::Broker> {
    let (settings, _) = fit::<kafka::Settings>(&engine(section), &ROAD, reading.sources, &mut reading.problems)?;
    if !kafka::IS_BUILT {
        not_built(section, "Kafka", "build it with `--features kafka`, or write `embedded:`", reading);
        return None;
    }
    let broker = settings.broker(url, settings.password.as_ref().map(resolved));
    let broker = broker.map_err(|wrongs| tell(wrongs, section, reading)).ok()?;
    if broker.login.as_ref().is_some_and(|login| login.mechanism == kafka::Mechanism::Plain) && broker.tls.is_none() {
        let place = section.place(&members(&["password"]), reading.sources);
        reading.warn(place, "`password` of `[queue]` goes over the network as it is", "write `tls = true`");
    }
    Some(broker)
}

/// The section without what every queue has.
fn engine<'a>(section: &Section<'a>) -> Section<'a> {
    let mut engine = section.clone();
    for name in ROAD {
        tree::remove(&mut engine.value, &members(&[name]));
    }
    engine
}

fn not_built<'a>(section: &Section<'a>, what: &str, hint: &str, reading: &mut Reading<'a>) {
    let place = section.place(&members(&["url"]), reading.sources);
    reading.problems.add(place, format!("`url` of `[queue]`: this build has no {what}"), hint);
}

fn tell<'a>(wrongs: Vec<Wrong>, section: &Section<'a>, reading: &mut Reading<'a>) {
    for wrong in wrongs {
        let place = section.place(&members(&[wrong.member]), reading.sources);
        reading.problems.add(place, format!("`{}` of `[queue]`: {}", wrong.member, wrong.why), wrong.hint);
    }
}

/// Takes a password out of the section, so that nothing shows it; what was written there, and whether it stands in the file itself.
fn take_password(section: &mut Section<'_>, reading: &Reading<'_>) -> (Option<String>, bool) {
    let path = members(&["url"]);
    let Some(value) = tree::get_mut(&mut section.value, &path) else { return (None, false) };
    let Some(written) = value.get_ref().as_str().map(str::to_owned) else { return (None, false) };
    let Ok(mut url) = Url::parse(&written) else {
        // A list of hosts is no URL, and a password does not belong there; but whoever wrote one must not see it again.
        if let Some((before, hosts)) = written.rsplit_once('@') {
            let user = before.split_once("://").map_or(before, |(_, user)| user).split(':').next().unwrap_or_default();
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            *value.get_mut() = DeValue::String(Cow::Owned(format!("{scheme}://{user}@{hosts}")));
        }
        return (Some(written), false);
    };
    if url.password().is_none() {
        return (Some(written), false);
    }
    // Refused only where there is no host, and then there was no password.
    if url.set_password(None).is_ok() {
        *value.get_mut() = DeValue::String(Cow::Owned(url.to_string()));
    }
    let in_file = reading.sources.variable_at(value.span().start).is_none();
    (Some(written), in_file)
}

fn check_name(name: &str, section: &Section<'_>, reading: &mut Reading<'_>) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        let place = section.place(&members(&["name"]), reading.sources);
        let hint = "use letters, digits, `.`, `-` and `_`, at most 128 of them";
        reading.problems.add(place, "`name` of `[queue]` is not a name", hint);
    }
}
