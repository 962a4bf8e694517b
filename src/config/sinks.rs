//! `[sink.NAME]`: which type has which settings, and what of them are secrets and paths. A new type of sink is a new row here.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::DeValue;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::problems::Place;
use super::secrets::{self, Reading};
use super::tree::{self, members};
use super::wording::suggest;
use crate::setting::SinkName;
use crate::sink::{BuildError, Clearance, amqp, file, http, kafka, slack, stdout, tickets};

/// A sink as it is configured, its secrets resolved.
#[derive(Debug, Clone)]
pub struct Sink {
    pub name: SinkName,
    pub place: Place,
    pub clearance: Clearance,
    /// It records what it would send, and sends nothing.
    pub shadow: bool,
    pub settings: SinkSettings,
    /// No member of it was left out for a mistake: what is missing was never written.
    pub is_whole: bool,
}

/// What a sink of any type may have besides its own settings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OfEverySink {
    /// Whether it decides, guards and renders as always, records what it would send, and sends nothing.
    shadow: bool,
}

#[derive(Debug, Clone)]
pub enum SinkSettings {
    Tickets(tickets::Settings),
    Slack(slack::Settings),
    File(file::Settings),
    Stdout(stdout::Settings),
    Http(http::Settings),
    Amqp(amqp::Settings),
    Kafka(kafka::Settings),
}

impl SinkSettings {
    /// The `type` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tickets(_) => "tickets",
            Self::Slack(_) => "slack",
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Http(_) => "http",
            Self::Amqp(_) => "amqp",
            Self::Kafka(_) => "kafka",
        }
    }

    /// Gets nothing but what rules send.
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::Slack(_))
    }

    fn clearance(&self) -> Clearance {
        match self {
            Self::Tickets(settings) => settings.clearance(),
            Self::Slack(settings) => settings.clearance(),
            Self::File(settings) => settings.clearance(),
            Self::Stdout(settings) => settings.clearance(),
            Self::Http(settings) => settings.clearance(),
            Self::Amqp(settings) => settings.clearance(),
            Self::Kafka(settings) => settings.clearance(),
        }
    }

    /// Reads a reduced issue before it writes the event.
    pub fn enriches(&self) -> bool {
        match self {
            Self::Tickets(_) | Self::Slack(_) => false,
            Self::File(settings) => settings.enrich,
            Self::Stdout(settings) => settings.enrich,
            Self::Http(settings) => settings.enrich,
            Self::Amqp(settings) => settings.enrich,
            Self::Kafka(settings) => settings.enrich,
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        match self {
            Self::Tickets(settings) => settings.check(),
            Self::Slack(settings) => settings.check(),
            Self::File(settings) => settings.check(),
            Self::Stdout(settings) => settings.check(),
            Self::Http(settings) => settings.check(),
            Self::Amqp(settings) => settings.check(),
            Self::Kafka(settings) => settings.check(),
        }
    }
}

pub(crate) const KINDS: [&str; 7] = ["tickets", "slack", "file", "stdout", "http", "amqp", "kafka"];
/// The members that are not settings of the sink itself.
const TYPE: &str = "type";
const SHADOW: &str = "shadow";

pub(crate) fn secrets_of(kind: &str) -> &'static [&'static [&'static str]] {
    match kind {
        "slack" => &[&["token"], &["webhook_url"]],
        "http" => &[&["secret"]],
        "amqp" | "kafka" => &[&["password"]],
        _ => &[],
    }
}

fn paths_of(kind: &str) -> &'static [&'static [&'static str]] {
    match kind {
        "file" => &[&["path"]],
        "amqp" | "kafka" => &[&["ca_file"], &["client_certificate"], &["client_key"]],
        _ => &[],
    }
}

/// Reads one sink; what is wrong with it is in the report.
pub(crate) fn read<'a>(
    section: &Section<'a>,
    data_dir: &std::path::Path,
    fingerprint: &mut Fingerprint,
    reading: &mut Reading<'a>,
) -> Option<Sink> {
    let kind = kind_of(section, reading)?;
    fingerprint.add(section, secrets_of(kind));
    let mut own = section.clone();
    secrets::resolve(&mut own, secrets_of(kind), data_dir, reading);
    fingerprint.mark(&own);
    tree::remove(&mut own.value, &members(&[TYPE]));
    let OfEverySink { shadow } = of_every_sink(&mut own, reading);
    secrets::make_absolute(&mut own, paths_of(kind), data_dir);
    let before = reading.problems.findings().len();
    let settings = match kind {
        "tickets" => SinkSettings::Tickets(settings(&own, reading)?),
        "stdout" => SinkSettings::Stdout(settings(&own, reading)?),
        "file" => SinkSettings::File(settings(&own, reading)?),
        "http" => SinkSettings::Http(settings(&own, reading)?),
        "amqp" => SinkSettings::Amqp(settings(&own, reading)?),
        "kafka" => SinkSettings::Kafka(settings(&own, reading)?),
        _ => SinkSettings::Slack(settings(&own, reading)?),
    };
    let is_whole = reading.problems.findings().len() == before;
    if is_whole {
        check(&own, &settings, reading);
        check_raw(&own, &settings, reading);
    }
    let place = reading.sources.place(section.offset);
    Some(Sink { name: section.name.parse().ok()?, place, clearance: settings.clearance(), shadow, settings, is_whole })
}

fn settings<'a, T: DeserializeOwned>(own: &Section<'a>, reading: &mut Reading<'a>) -> Option<T> {
    fit(own, &[TYPE, SHADOW], reading.sources, &mut reading.problems).map(|(settings, _)| settings)
}

/// Taken out of the section: what is left is the type's own.
fn of_every_sink<'a>(own: &mut Section<'a>, reading: &mut Reading<'a>) -> OfEverySink {
    let mut common = own.clone();
    if let DeValue::Table(table) = own.value.get_ref() {
        let others = table.keys().filter(|name| name.get_ref() != SHADOW);
        others.for_each(|name| tree::remove(&mut common.value, &members(&[name.get_ref()])));
    }
    tree::remove(&mut own.value, &members(&[SHADOW]));
    fit(&common, &[], reading.sources, &mut reading.problems).map(|(common, _)| common).unwrap_or_default()
}

fn kind_of(section: &Section<'_>, reading: &mut Reading<'_>) -> Option<&'static str> {
    let path = members(&[TYPE]);
    let place = section.place(&path, reading.sources);
    let typed = tree::get(&section.value, &path).map(|value| value.get_ref().as_str().unwrap_or_default());
    let Some(typed) = typed else {
        reading.problems.add(place, format!("`type` is missing in {}", section.label()), suggest("", &KINDS, "add one of"));
        return None;
    };
    let known = KINDS.into_iter().find(|kind| *kind == typed);
    if known.is_none() {
        let message = format!("`type` of {}: there is no sink of type `{typed}`", section.label());
        reading.problems.add(place, message, suggest(typed, &KINDS, "write one of"));
    }
    known
}

/// What the types of the members cannot say.
fn check(section: &Section<'_>, settings: &SinkSettings, reading: &mut Reading<'_>) {
    let (place, subject, reason) = match settings.check() {
        Ok(()) => return,
        Err(BuildError::Setting { setting, reason }) => {
            (section.place(&members(&[setting]), reading.sources), format!("`{setting}` of {}", section.label()), reason)
        }
        Err(BuildError::Surroundings { reason }) => (reading.sources.place(section.offset), section.label(), reason),
    };
    let (what, hint) = match reason.split_once("; set ") {
        Some((what, remedy)) => (what, format!("in {}, set {remedy}", section.label())),
        None => (reason.as_str(), format!("`ticketwire config example` shows a sink of type `{}`", settings.kind())),
    };
    reading.problems.add(place, format!("{subject}: {what}"), hint);
}

/// The body as it came cannot be guarded part by part: it may hold every comment of its issue.
fn check_raw(section: &Section<'_>, settings: &SinkSettings, reading: &mut Reading<'_>) {
    let includes_raw = match settings {
        SinkSettings::File(file) => file.include_raw,
        SinkSettings::Stdout(stdout) => stdout.include_raw,
        SinkSettings::Http(http) => http.include_raw,
        SinkSettings::Amqp(amqp) => amqp.include_raw,
        SinkSettings::Kafka(kafka) => kafka.include_raw,
        SinkSettings::Tickets(_) | SinkSettings::Slack(_) => false,
    };
    if includes_raw && !settings.clearance().clears_everything() {
        let place = section.place(&members(&["include_raw"]), reading.sources);
        let message = format!("`include_raw` of {} would hand restricted content to a sink that is not cleared for it", section.label());
        let hint = "remove `include_raw`, or clear the sink for everything: \
            `clearance = { security_levels = [\"*\"], restricted_comments = true, internal_comments = true }`";
        reading.problems.add(place, message, hint);
    }
}

/// Two sinks that write to one place would tear each other's lines.
pub(crate) fn check_shared(sinks: &[Sink], reading: &mut Reading<'_>) {
    for (at, sink) in sinks.iter().enumerate() {
        let is_shared = |first: &&Sink| match (&first.settings, &sink.settings) {
            (SinkSettings::Stdout(_), SinkSettings::Stdout(_)) => true,
            (SinkSettings::File(first), SinkSettings::File(second)) => first.writes_to(&second.path) || second.writes_to(&first.path),
            _ => false,
        };
        if let Some(first) = sinks.iter().take(at).find(is_shared) {
            let message = format!("`[sink.{}]` writes to the same place as `[sink.{}]` ({})", sink.name, first.name, first.place);
            reading.problems.add(sink.place.clone(), message, "remove one of them, or give it another path");
        }
    }
}
