//! The configuration file: read, overridden by the environment, checked as a whole, and told about in one report.
//!
//! Rooms own their settings; this room owns the file. It promises that every problem of a run is told at once, each with its
//! place and a hint, and that nobody need read the environment or a secret's file after `Config::load`. It compiles neither
//! rules nor templates: a `Draft` lets `app` add what is wrong with those to the same report.

mod assemble;
mod changes;
mod connections;
mod files;
mod fingerprint;
mod fit;
mod nearest;
mod problems;
mod queue;
mod rules;
mod schema;
mod secrets;
mod sinks;
mod sources;
mod store;
mod traces;
mod tree;
mod variables;
mod watch;
mod wording;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use changes::Changes;
pub use connections::{Connection, ConnectionSettings};
pub use problems::{Finding, Place, Problems};
pub use queue::Queue;
pub use rules::{Rule, Send};
pub use schema::schema;
pub use secrets::{Unresolved, resolved};
pub use sinks::{Sink, SinkSettings};
pub use watch::Watch;
pub(crate) use wording::suggest;

use crate::setting::{ConnectionName, Secret, SinkName};
use crate::{api, deliver, receive, telemetry};
use assemble::Assembled;
use fingerprint::{Fingerprint, Marks};
use fit::{Section, fit, label};
use secrets::Reading;
use sources::Sources;
use tree::members;

/// A commented example with everything in it; `config example` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");

pub(crate) const DATA_DIR: &str = "ticketwire-data";

/// What the service runs by. Paths are absolute, secrets resolved.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub receiver: receive::Settings,
    pub admin: Admin,
    pub queue: Queue,
    pub store: crate::store::Settings,
    pub deliver: deliver::Settings,
    pub log: telemetry::LogSettings,
    /// None: no traces are made.
    pub traces: Option<telemetry::Collector>,
    /// In the order of the files, as are sinks and rules.
    pub connections: Vec<Connection>,
    pub sinks: Vec<Sink>,
    pub rules: Vec<Rule>,
    /// What works and should be known all the same.
    pub warnings: Vec<Finding>,
    /// Secrets that are not at hand.
    pub unresolved: Vec<Unresolved>,
    /// What it was read from: files, secret files, and the directories of patterns. A change of one may be a change of it.
    pub watched: Vec<PathBuf>,
    hash: String,
    marks: Marks,
}

/// `[admin]` with its secrets resolved.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    /// None of them is empty; no tokens: one is generated into `<data_dir>/admin.token`.
    pub tokens: Vec<Secret>,
    /// Names under which the API may be called besides `localhost` and the address itself.
    pub hosts: Vec<String>,
}

/// As much of a configuration as could be read, and what is wrong with the rest. Rules and sinks that are in it can be compiled
/// and their problems added before it is finished.
pub struct Draft {
    pub config: Config,
    pub problems: Problems,
}

impl Draft {
    /// The configuration, if nothing is wrong with it.
    pub fn finish(self) -> Result<Config, Problems> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}

impl Config {
    /// Without a path: the defaults, under `ticketwire-data`; the environment overrides either.
    pub fn load(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problems> {
        Self::draft(path, environment).finish()
    }

    /// As `load`, for a caller that has more to add to the report.
    pub fn draft(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Draft {
        Self::draft_with(path, environment, true)
    }

    /// As `draft`, for a caller that sends nothing: a secret that cannot be resolved is no mistake.
    pub fn draft_without_secrets(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Draft {
        Self::draft_with(path, environment, false)
    }

    fn draft_with(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>, needs_secrets: bool) -> Draft {
        let (mut sources, mut problems) = (Sources::default(), Problems::default());
        let mut watched = Vec::new();
        if let Some(path) = path {
            files::read(path, &mut sources, &mut watched, &mut problems);
        }
        let environment: std::collections::BTreeMap<_, _> = environment.into_iter().collect();
        for (name, text) in environment.iter().filter(|(name, _)| name.starts_with(variables::PREFIX)) {
            sources.add_variable(name, text.clone());
        }
        // What is not there or no TOML has been told; sections that are missed because of it are no problems of their own.
        let is_there = path.is_none() || sources.files().next().is_some();
        let assembled = if is_there { assemble::assemble(&sources, &mut problems) } else { None };
        let assembled = assembled.map(|mut assembled| {
            variables::apply(&mut assembled, &sources, &mut problems);
            assembled
        });
        let assembled = assembled.unwrap_or_default();
        let (warnings, unresolved) = Default::default();
        let mut reading = Reading { sources: &sources, environment, problems, warnings, needs_secrets, unresolved, watched };
        let config = read(&assembled, &mut reading);
        let Reading { warnings, unresolved, watched, problems, .. } = reading;
        Draft { config: Config { warnings: sorted(warnings), unresolved, watched, ..config }, problems }
    }

    /// What is different in `new`.
    pub fn changes(&self, new: &Self) -> Changes {
        Changes::between(self, new)
    }

    /// Changes when what is configured changes; says nothing of the secrets' values.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// The environment of this process, for `Config::load`; variables that are not Unicode are left out.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn sorted(mut warnings: Vec<Finding>) -> Vec<Finding> {
    warnings.sort();
    warnings
}

fn read<'a>(assembled: &Assembled<'a>, reading: &mut Reading<'a>) -> Config {
    let mut fingerprint = Fingerprint::default();
    check_names(assembled, reading);
    let data_dir = data_dir(assembled, &mut fingerprint, reading);
    let receiver = receiver(assembled, &data_dir, &mut fingerprint, reading);
    let admin = admin(assembled, &data_dir, &mut fingerprint, reading);
    let queue = queue::read(&section_of("queue", assembled), &data_dir, &mut fingerprint, reading);
    let store = store::read(section_of("store", assembled), &data_dir, &mut fingerprint, reading);
    let deliver = deliver(assembled, &mut fingerprint, reading);
    let log = log(assembled, &mut fingerprint, reading);
    let traces = traces::read(section_of("traces", assembled), &data_dir, &mut fingerprint, reading);
    let connections: Vec<_> =
        assembled.of("connection").filter_map(|section| connections::read(section, &data_dir, &mut fingerprint, reading)).collect();
    connections::check_urls(&connections, reading);
    let sinks: Vec<_> = assembled.of("sink").filter_map(|section| sinks::read(section, &data_dir, &mut fingerprint, reading)).collect();
    sinks::check_shared(&sinks, reading);
    let rules: Vec<_> = assembled.of("rule").filter_map(|section| rules::read(section, &mut fingerprint, reading)).collect();
    let names: Vec<&str> = assembled.of("sink").map(|section| section.name.as_str()).collect();
    rules::check_targets(&rules, &names, reading);
    warn_unnamed(&sinks, &rules, reading);
    check_asked(&connections, &rules, reading);
    let (hash, marks) = fingerprint.finish();
    let (warnings, unresolved, watched) = Default::default();
    Config {
        data_dir,
        receiver,
        admin,
        queue,
        store,
        deliver,
        log,
        traces,
        connections,
        sinks,
        rules,
        warnings,
        unresolved,
        watched,
        hash,
        marks,
    }
}

fn check_names(assembled: &Assembled<'_>, reading: &mut Reading<'_>) {
    for section in &assembled.sections {
        let wrong = match section.kind {
            "connection" => section.name.parse::<ConnectionName>().err(),
            "sink" => section.name.parse::<SinkName>().err(),
            _ => None,
        };
        if wrong.is_some() {
            let message = format!("{}: `{}` is not a name", section.label(), section.name);
            let hint = "use lower-case letters, digits and `-`, begin with a letter or digit, at most 63 characters";
            reading.problems.add(reading.sources.place(section.offset), message, hint);
        }
    }
}

fn data_dir(assembled: &Assembled<'_>, fingerprint: &mut Fingerprint, reading: &mut Reading<'_>) -> PathBuf {
    let given = assembled.data_dir.as_ref().map(|(offset, value)| {
        let from_variable = reading.sources.variable_at(value.span().start);
        (*offset, from_variable.or(value.get_ref().as_str()).unwrap_or_default())
    });
    if let Some((offset, "")) = given {
        reading.problems.add(
            reading.sources.place(offset),
            "`data_dir` is not a path",
            "write a text, as in `data_dir = \"ticketwire-data\"`",
        );
    }
    let text = given.map_or(DATA_DIR, |(_, text)| text);
    fingerprint.add_value("data_dir", text);
    std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text))
}

/// A section of which there is one, or its defaults. What could not be read is told, and the defaults stand in for it.
fn single<'a, T: DeserializeOwned + Default>(
    kind: &'static str,
    assembled: &Assembled<'a>,
    fingerprint: &mut Fingerprint,
    reading: &mut Reading<'a>,
) -> (T, Section<'a>) {
    let section = section_of(kind, assembled);
    fingerprint.add(&section, &[]);
    fingerprint.mark(&section);
    fit(&section, &[], reading.sources, &mut reading.problems).unwrap_or_else(|| (T::default(), section))
}

fn section_of<'a>(kind: &'static str, assembled: &Assembled<'a>) -> Section<'a> {
    let absent = || Section { kind, name: String::new(), offset: 0, value: Spanned::new(0..0, DeValue::Table(DeTable::new())) };
    assembled.of(kind).next().cloned().unwrap_or_else(absent)
}

fn admin<'a>(assembled: &Assembled<'a>, data_dir: &Path, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> Admin {
    let mut section = section_of("admin", assembled);
    fingerprint.add(&section, secrets::ADMIN);
    secrets::resolve(&mut section, secrets::ADMIN, data_dir, reading);
    fingerprint.mark(&section);
    let fitted = fit::<api::Settings>(&section, &[], reading.sources, &mut reading.problems);
    let settings = fitted.map(|(settings, _)| settings).unwrap_or_default();
    if !settings.listen.ip().is_loopback() {
        let place = section.place(&members(&["listen"]), reading.sources);
        reading.warn(
            place,
            "the admin listener can be reached from other machines, without TLS",
            "keep it inside, or put a proxy with TLS before it",
        );
    }
    Admin { listen: settings.listen, tokens: settings.tokens.iter().map(resolved).collect(), hosts: settings.hosts }
}

fn receiver<'a>(assembled: &Assembled<'a>, data_dir: &Path, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> receive::Settings {
    let (mut settings, section) = single::<receive::Settings>("receiver", assembled, fingerprint, reading);
    if let Some(tls) = &mut settings.tls {
        for path in [&mut tls.certificate, &mut tls.key] {
            *path = data_dir.join(&*path);
            reading.watched.push(path.clone());
        }
        if let Err(err) = receive::Tls::load(tls) {
            let place = section.place(&members(&["tls"]), reading.sources);
            reading.problems.add(
                place,
                format!("`tls` of `[receiver]`: {err}"),
                "give both files in PEM; relative paths are against `data_dir`",
            );
        }
    }
    if !settings.trusted_proxies.is_empty() && settings.allow.is_empty() {
        let place = section.place(&members(&["trusted_proxies"]), reading.sources);
        reading.warn(place, "`trusted_proxies` of `[receiver]` does nothing without `allow`", "add `allow`, or remove it");
    }
    settings
}

fn deliver<'a>(assembled: &Assembled<'a>, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> deliver::Settings {
    let (settings, section) = single::<deliver::Settings>("deliver", assembled, fingerprint, reading);
    if settings.max_tries == 0 {
        let place = section.place(&members(&["max_tries"]), reading.sources);
        reading.problems.add(place, "`max_tries` of `[deliver]` is 0", "write at least 1");
    }
    if !(1..=16).contains(&settings.window) {
        let place = section.place(&members(&["window"]), reading.sources);
        let hint = "write 1 to 16: a crash may repeat as many events in each lane of each sink";
        reading.problems.add(place, format!("`window` of `[deliver]` is {}", settings.window), hint);
    }
    settings
}

fn log<'a>(assembled: &Assembled<'a>, fingerprint: &mut Fingerprint, reading: &mut Reading<'a>) -> telemetry::LogSettings {
    let (settings, section) = single::<telemetry::LogSettings>("log", assembled, fingerprint, reading);
    if let Err(err) = settings.check() {
        let place = section.place(&members(&["level"]), reading.sources);
        reading.problems.add(place, format!("`level` of `[log]`: {err}"), "");
    }
    settings
}

/// A lookup that no connection could ask for is null for ever, and such a JQL matches nothing.
fn check_asked(connections: &[Connection], rules: &[Rule], reading: &mut Reading<'_>) {
    if connections.is_empty() || connections.iter().any(|connection| connection.auth.is_some()) {
        return;
    }
    for place in rules.iter().filter_map(|rule| rule.lookup_places.values().next()) {
        reading.warn(
            place.clone(),
            "`lookup` finds nothing: no connection has `auth`, so Jira cannot be asked",
            "add `auth` to the connection",
        );
    }
    for rule in rules.iter().filter(|rule| rule.jql.is_some()) {
        reading.problems.add(
            rule.jql_place.clone(),
            format!("`jql` of {} cannot be answered: no connection has `auth`, so Jira cannot be asked", label("rule", &rule.name)),
            "add `auth` to the connection, or say with `when` what the event itself tells",
        );
    }
}

fn warn_unnamed(sinks: &[Sink], rules: &[Rule], reading: &mut Reading<'_>) {
    for sink in sinks.iter().filter(|sink| sink.settings.is_for_people()) {
        let is_named = rules.iter().flat_map(|rule| &rule.send).any(|send| send.settings.to == sink.name);
        if !is_named {
            let message = format!("`[sink.{}]` gets nothing: no rule sends to it", sink.name);
            reading.warn(sink.place.clone(), message, format!("add a rule with `send = [{{ to = \"{}\" }}]`", sink.name));
        }
    }
}
