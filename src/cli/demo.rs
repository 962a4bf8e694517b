//! `demo`: everything at once against a simulated Jira and Slack, with nothing to install, configure or clean up.

mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::arguments::Options;
use super::output::Output;
use super::{Ended, Failure, serve};
use crate::app::{self, Roles};
use crate::config::{self, Config};
use crate::setting::SinkName;
use crate::shutdown::Tasks;
use crate::simulate::{Flavour, Settings, Simulation};
use crate::store::Store;
use crate::telemetry;
use show::{EventLines, Show};

/// What people do in a second: quick enough to see something, slow enough to read it.
const PACE: f64 = 1.5;
/// Lines that the terminal may lag behind.
const LINES: usize = 4_096;
const DRAIN: Duration = Duration::from_secs(15);

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Counts {
    /// Events that the bodies sent stand for.
    sent: u64,
    /// Distinct event ids answered.
    accepted: u64,
    /// Of these in the archive.
    stored: u64,
    delivered: BTreeMap<SinkName, u64>,
}

pub(crate) async fn run(length: Option<Duration>, flavour: Flavour, options: &Options, mut output: Output) -> Ended {
    let quiet = Options { log: options.log.clone().or_else(|| Some("warn".into())), ..options.clone() };
    let tasks = Tasks::new();
    let simulation = Simulation::start(Settings::demo(flavour), &tasks).await?;
    let directory = Directory::new()?;
    let file = directory.path.join("demo.toml");
    std::fs::write(&file, configuration(&simulation, &directory.path)).context("the demo's configuration cannot be written")?;
    let draft = Config::draft(Some(&file), config::environment());
    let prepared = app::prepare(draft).map_err(|problems| Failure::Configuration(problems.to_string()))?;
    let traces = serve::start_traces(&prepared.config)?;
    serve::start_logs(&quiet, None, traces.as_ref())?;
    let (lines, events) = mpsc::channel(LINES);
    let exporter = telemetry::install().map_err(anyhow::Error::from)?;
    let running = app::start(prepared, Roles::ALL, exporter, Box::new(EventLines::new(lines))).await?;

    let mut show = Show::new(&simulation, events, output.is_json);
    let receiver = running.receiver.context("the demo takes webhooks")?;
    let store = running.store().context("the demo has a store")?;
    show.welcome(receiver, running.admin, &directory.path)?;
    simulation.webhook_to(format!("http://{receiver}/hooks/acme"));
    simulation.people_work(PACE);
    let until = Instant::now() + length.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
    tokio::select! {
        shown = show.run(store) => shown?,
        () = tokio::time::sleep_until(until) => {}
        _ = ctrl_c() => {}
    }
    let sent = simulation.people_stop_and_drain(DRAIN).await;
    settle(&running, store).await;
    show.rest(store).await?;
    let mut stored = 0;
    for id in &sent.event_ids {
        stored += u64::from(store.archived(&crate::event::EventId::known(id)).await.map_err(anyhow::Error::from)?.is_some());
    }
    let delivered = store.delivered_counts().await.map_err(anyhow::Error::from)?.into_iter().collect();
    let counts = Counts { sent: sent.events, accepted: sent.event_ids.len() as u64, stored, delivered };
    running.stop().await;
    serve::stop_traces(traces).await;
    tasks.stop(Duration::from_secs(2)).await;
    if output.is_json {
        output.json(&counts)?;
    } else {
        conclude(&counts, &mut output)?;
    }
    if counts.sent == counts.accepted && counts.accepted == counts.stored { Ok(()) } else { Err(Failure::No) }
}

fn conclude(counts: &Counts, output: &mut Output) -> Ended {
    let delivered: Vec<String> = counts.delivered.iter().map(|(sink, count)| format!("{sink} {count}")).collect();
    output.line("")?;
    output.line(&format!("{} events happened in Jira, {} were accepted, {} are stored", counts.sent, counts.accepted, counts.stored))?;
    output.line(&format!("delivered: {}", delivered.join(", ")))?;
    output.line("HELP is a service-management project: its tickets have no rows, because `service_projects` does not list it")?;
    output.line("Slack got only what its rules send, and nothing restricted. Next: `ticketwire config example`")?;
    Ok(())
}

/// Returns when nothing waits in the queue or the store any more.
async fn settle(running: &app::Running, store: &Store) {
    let until = Instant::now() + DRAIN;
    while Instant::now() < until {
        let waiting: u64 = running.queue().backlog().await.unwrap_or_default().iter().map(|row| row.waiting).sum();
        let parked = store.waiting_counts().await.unwrap_or_default();
        if waiting == 0 && parked.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn configuration(simulation: &Simulation, directory: &Path) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let token = text(simulation.api_token());
    format!(
        r##"data_dir = {data_dir}
[receiver]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[connection.acme]
url = {jira}
auth = {auth}
webhook = {{ secrets = [{secret}] }}
[sink.events]
type = "stdout"
[sink.tickets]
type = "tickets"
[sink.team]
type = "slack"
token = {slack_token}
api_url = {slack}
channel = "#general"
[rule."docs on hold"]
when = 'event.kind == "issue.updated" && issue.project.key == "DOCS" && change.status.to == "On Hold"'
send = [{{ to = "team", channel = "#docs", username = "Docs bot", template = "*{{{{ issue.key }}}}* {{{{ issue.summary }}}} is on hold" }}]
[rule."new tickets"]
when = 'event.kind == "issue.created"'
send = [{{ to = "team", channel = "#new-tickets", template = "{{{{ actor.name }}}} created {{{{ issue.key | link(issue.url) }}}} {{{{ issue.summary }}}}" }}]
[rule."talk"]
when = 'event.kind == "comment.created"'
send = [{{ to = "team", channel = "#talk", template = "{{{{ actor.name }}}} on {{{{ issue.key | link(issue.url) }}}}: {{{{ comment.body }}}}" }}]
[rule."done"]
when = 'event.kind == "issue.updated" && change.status.to == "Done"'
send = [{{ to = "team", channel = "#done", template = "{{{{ issue.key | link(issue.url) }}}} {{{{ issue.summary }}}} is done" }}]
"##,
        data_dir = text(&directory.join("data").to_string_lossy()),
        jira = text(&simulation.jira_url()),
        auth = match simulation.flavour() {
            Flavour::Cloud => format!("{{ type = \"api-token\", email = {}, token = {token} }}", text(simulation.email())),
            Flavour::Datacenter => format!("{{ type = \"pat\", token = {token} }}"),
        },
        secret = text(simulation.webhook_secret()),
        slack_token = text(simulation.slack_token()),
        slack = text(&format!("{}/api", simulation.slack_url())),
    )
}

/// A directory that goes when the demo goes.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("ticketwire-demo-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).with_context(|| format!("the directory `{}` cannot be made", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left lies where temporary files are cleared anyway.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
