//! From settings to sinks: the one list of which type is built by which room.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use crate::clock::Clock;
use crate::config::{Config, SinkSettings, resolved};
use crate::deliver::{Jiras, Names, Route, Rules};
use crate::sink::{Sink, file, http, slack, stdout, tickets};
use crate::store::Store;

pub(super) fn routes(
    config: &Config,
    rules: &Arc<Rules>,
    names: &Arc<Names>,
    store: &Store,
    jiras: &Arc<Jiras>,
    clock: &Clock,
    output: Box<dyn Write + Send>,
) -> anyhow::Result<Vec<Route>> {
    let mut output = Some(output);
    let mut routes = Vec::new();
    for configured in &config.sinks {
        let name = configured.name.clone();
        let wrong = || format!("the sink `{}` cannot be built", configured.name);
        let sink: Arc<dyn Sink> = match &configured.settings {
            SinkSettings::Tickets(_) => Arc::new(tickets::build(name, store.clone(), jiras.clone(), clock.clone())),
            SinkSettings::File(settings) => Arc::new(file::build(name, settings, &config.data_dir).with_context(wrong)?),
            SinkSettings::Stdout(settings) => {
                // Only one sink can be the standard output; the others have nowhere to write.
                let output = output.take().with_context(|| format!("{}: another sink writes to standard output already", wrong()))?;
                Arc::new(stdout::build(name, settings, output).with_context(wrong)?)
            }
            SinkSettings::Http(settings) => {
                let secret = settings.secret.as_ref().map(resolved);
                Arc::new(http::build(name, settings, secret.as_ref(), clock.clone()).with_context(wrong)?)
            }
            SinkSettings::Slack(settings) => {
                let secrets = slack::Secrets {
                    token: settings.token.as_ref().map(resolved),
                    webhook_url: settings.webhook_url.as_ref().map(resolved),
                };
                Arc::new(slack::build(name, settings, secrets, clock.clone()).with_context(wrong)?)
            }
        };
        routes.push(Route { sink, clearance: configured.clearance.clone(), rules: rules.clone(), names: names.clone() });
    }
    Ok(routes)
}
