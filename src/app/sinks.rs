//! From settings to sinks: the one list of which type is built by which room.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use super::revision::Revision;
use crate::clock::Clock;
use crate::config::{self, Config, SinkSettings, resolved};
use crate::deliver::Route;
use crate::sink::{Sink, amqp, file, http, kafka, shadow, slack, stdout, tickets};
use crate::store::Store;

/// The standard output, which goes from one sink to the next when that is built anew.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl Output {
    pub(super) fn new(output: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(output)))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// What sinks are built from.
pub(super) struct Building<'a> {
    pub(super) revision: &'a Revision,
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) output: &'a Output,
    /// The configuration in force until the new sinks begin.
    pub(super) before: Option<&'a Config>,
}

impl Building<'_> {
    pub(super) fn routes(&self) -> anyhow::Result<Vec<Route>> {
        self.revision.config.sinks.iter().map(|sink| Ok(self.route(sink, self.sink(sink)?))).collect()
    }

    pub(super) fn route(&self, configured: &config::Sink, sink: Arc<dyn Sink>) -> Route {
        let Revision { rules, names, .. } = self.revision;
        let (clearance, enrich) = (configured.clearance.clone(), configured.settings.enriches());
        Route { sink, clearance, enrich, rules: rules.clone(), names: names.clone() }
    }

    pub(super) fn sink(&self, configured: &config::Sink) -> anyhow::Result<Arc<dyn Sink>> {
        let sink = self.of_its_type(configured)?;
        if !configured.shadow {
            return Ok(sink);
        }
        Ok(Arc::new(shadow::build(sink, self.store.clone(), self.clock.clone())))
    }

    fn of_its_type(&self, configured: &config::Sink) -> anyhow::Result<Arc<dyn Sink>> {
        let (name, clock, Revision { config, jiras, .. }) = (configured.name.clone(), self.clock.clone(), self.revision);
        let wrong = || format!("the sink `{}` cannot be built", configured.name);
        Ok(match &configured.settings {
            SinkSettings::Tickets(settings) => Arc::new(tickets::build(name, settings, self.store.clone(), jiras.clone(), clock)),
            // Who writes to the file now lets go of it when the new sink begins.
            SinkSettings::File(settings) if self.is_written(settings) => {
                Arc::new(file::build_lazily(name, settings, &config.data_dir).with_context(wrong)?)
            }
            SinkSettings::File(settings) => Arc::new(file::build(name, settings, &config.data_dir).with_context(wrong)?),
            SinkSettings::Stdout(settings) => Arc::new(stdout::build(name, settings, Box::new(self.output.clone())).with_context(wrong)?),
            SinkSettings::Http(settings) => {
                let secret = settings.secret.as_ref().map(resolved);
                Arc::new(http::build(name, settings, secret.as_ref(), clock).with_context(wrong)?)
            }
            SinkSettings::Amqp(settings) => {
                Arc::new(amqp::build(name, settings, settings.password.as_ref().map(resolved)).with_context(wrong)?)
            }
            SinkSettings::Kafka(settings) => {
                Arc::new(kafka::build(name, settings, settings.password.as_ref().map(resolved)).with_context(wrong)?)
            }
            SinkSettings::Slack(settings) => {
                let secrets = slack::Secrets {
                    token: settings.token.as_ref().map(resolved),
                    webhook_url: settings.webhook_url.as_ref().map(resolved),
                };
                Arc::new(slack::build(name, settings, secrets, clock).with_context(wrong)?)
            }
        })
    }

    fn is_written(&self, settings: &file::Settings) -> bool {
        let is_it = |sink: &config::Sink| matches!(&sink.settings, SinkSettings::File(file) if file.path == settings.path);
        self.before.is_some_and(|before| before.sinks.iter().any(is_it))
    }
}

/// Whether the sink itself reads from Jira.
pub(super) fn asks_jira(sink: &config::Sink) -> bool {
    matches!(sink.settings, SinkSettings::Tickets(_))
}
