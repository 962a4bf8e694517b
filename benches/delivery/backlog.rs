//! Makes a backlog, and drains it with the whole service.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use sqlx::{Connection, Executor};
use ticketwire::app::{self, Roles, renew};
use ticketwire::clock::Clock;
use ticketwire::config::Config;
use ticketwire::event::Envelope;
use ticketwire::jira::{Headers, Received, normalize};
use ticketwire::queue::Queue;
use ticketwire::queue::embedded::{self, Embedded};
use ticketwire::render::to_markdown;
use ticketwire::setting::SinkName;
use ticketwire::telemetry;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::measure::{body, process};

/// Publications under way at a time.
const AT_ONCE: usize = 256;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(10);

fn names(sinks: &str) -> anyhow::Result<Vec<SinkName>> {
    sinks.split(',').map(str::parse).collect::<Result<_, _>>().map_err(anyhow::Error::msg)
}

/// Every sink has its place, then all is published; says how many events a second that were.
pub fn fill(sinks: &str, events: u64, place: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let queue = Arc::new(Embedded::open(&embedded::Settings::default(), &place.join("data/queue"), Some(renew))?);
        for sink in names(sinks)?.iter().chain([&SinkName::archive()]) {
            drop(queue.subscribe(sink).await?);
        }
        let source = body::source()?;
        let started = Instant::now();
        let (mut under_way, mut by_issue) = (JoinSet::new(), VecDeque::new());
        for number in 0..events {
            let raw: bytes::Bytes = body::body(number, body::Description::Markup).into();
            let received = Received {
                connection: &source.connection,
                base_url: &source.base_url,
                body: &raw,
                headers: &Headers::default(),
                received_at: Clock::system().now(),
                to_markdown,
            };
            for event in normalize(&received) {
                let envelope = Envelope { event, raw: raw.clone(), target: None, traceparent: None, received: None, renewable: true };
                by_issue.push_back(Arc::new(envelope));
            }
            if under_way.len() >= AT_ONCE
                && let Some(published) = under_way.join_next().await
            {
                published??;
            }
            if let Some(envelope) = by_issue.pop_front() {
                let queue = queue.clone();
                under_way.spawn(async move { queue.publish(vec![envelope]).await });
            }
        }
        while let Some(published) = under_way.join_next().await {
            published??;
        }
        let per_second = events as f64 / started.elapsed().as_secs_f64();
        queue.close(PATIENCE).await?;
        writeln!(std::io::stdout(), "{per_second}")?;
        anyhow::Ok(())
    })
}

/// Starts the service and says how many seconds each part of it took. A schema of its own in a PostgreSQL is gone afterwards.
pub fn drain(sinks: &str, url: &str, events: u64, place: &Path) -> anyhow::Result<()> {
    let config = place.join("ticketwire.toml");
    let schema = url.starts_with("postgres:").then(|| format!("bench_{}", std::process::id()));
    std::fs::write(&config, configuration(sinks, url, schema.as_deref(), place))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let prepared = app::prepare(Config::draft(Some(&config), [])).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        telemetry::install_logs("warn", None)?;
        let exporter = telemetry::install()?;
        writeln!(std::io::stdout(), "started")?;
        let started = Instant::now();
        let running = app::start(prepared, Roles::ALL, exporter, Box::new(std::io::sink())).await?;
        let names = names(sinks)?;
        let everybody: Vec<SinkName> = names.iter().cloned().chain([SinkName::archive()]).collect();
        let tickets = until_passed(running.queue(), &names[..1], events, started).await?;
        let all = until_passed(running.queue(), &everybody, events, started).await?;
        writeln!(std::io::stdout(), "{}", json!({ "tickets": tickets, "all": all }))?;
        tokio::task::spawn_blocking(process::until_closed).await?;
        let store = running.store().context("all roles have a store")?;
        let archived = store.archived_count().await?;
        anyhow::ensure!(archived == events, "{archived} of {events} events are in the archive");
        for (sink, count) in store.delivered_counts().await? {
            anyhow::ensure!(count == events, "`{sink}` took {count} of {events} events");
        }
        anyhow::ensure!(running.stop().await, "the service did not stop in order");
        if let Some(schema) = schema {
            let mut postgres = sqlx::PgConnection::connect(url).await?;
            postgres.execute(sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"))).await?;
        }
        Ok(())
    })
}

/// Seconds since `started` when all of them have passed so many events.
async fn until_passed(queue: &Arc<dyn Queue>, sinks: &[SinkName], events: u64, started: Instant) -> anyhow::Result<f64> {
    while started.elapsed() < LIMIT {
        let mut least = events;
        for sink in sinks {
            let mut passed = 0;
            for lane in queue.lanes().lanes() {
                passed += queue.passed(sink, lane).await?.map_or(0, |position| position.0);
            }
            least = least.min(passed);
        }
        if least >= events {
            return Ok(started.elapsed().as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    anyhow::bail!("the backlog was not drained within {LIMIT:?}")
}

fn configuration(sinks: &str, store: &str, schema: Option<&str>, place: &Path) -> String {
    let (name, site, secret) = (body::CONNECTION, body::SITE, body::SECRET);
    let mut text = format!(
        "data_dir = \"{}\"\n[receiver]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[connection.{name}]\n\
         url = \"{site}\"\nwebhook.secrets = [\"{secret}\"]\n",
        place.join("data").display()
    );
    let schema = schema.map(|name| format!("schema = \"{name}\"\n")).unwrap_or_default();
    text.push_str(&format!("[store]\nurl = \"{store}\"\n{schema}"));
    for sink in sinks.split(',') {
        text.push_str(match sink {
            "file" => "[sink.file]\ntype = \"file\"\npath = \"events.jsonl\"\n",
            _ => "[sink.tickets]\ntype = \"tickets\"\n",
        });
    }
    text
}
