//! `serve`: the service itself, from the configuration to an orderly stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::Options;
use super::{Ended, Failure};
use crate::app::{self, Roles};
use crate::config::{self, Config, Watch};
use crate::telemetry::{self, Levels, Traces};

pub(crate) async fn run(options: &Options, roles: &[String]) -> Ended {
    let prepared = load(options)?;
    let roles = Roles::named(roles);
    if !roles.are_whole() && !prepared.config.queue.is_broker() {
        let hint = "leave `--role` out, name `receiver,worker`, or set `queue.url` to a broker";
        return Err(Failure::Configuration(format!("with `queue.url = \"embedded:\"` one process does everything\n  hint: {hint}")));
    }
    let traces = start_traces(&prepared.config)?;
    let levels = start_logs(options, prepared.config.log.level.as_deref(), traces.as_ref())?;
    if let Some(hint) = options.no_file() {
        let connections = if prepared.config.connections.is_empty() { ", without any connection" } else { "" };
        tracing::info!("the service runs by its defaults and the environment{connections}; {hint}");
    }
    for warning in &prepared.config.warnings {
        tracing::warn!("{}: {}", warning.place, warning.message);
    }
    let exporter = telemetry::install().map_err(anyhow::Error::from)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = signal(SignalKind::hangup())?;
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let Some(running) = app::start_unless(stopped, prepared, roles, exporter, Box::new(std::io::stdout())).await? else {
        tracing::info!("stopped before everything was there");
        stop_traces(traces).await;
        return Ok(());
    };
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.failed() => true,
        // Given up where it stands when the service stops: it changes all or nothing.
        () = keep_up(&running, options, &levels, hangup) => false,
    };
    tracing::info!("stopping");
    let in_order = tokio::time::timeout(app::STOP_DEADLINE, running.stop()).await.unwrap_or(false);
    if in_order {
        tracing::info!("stopped");
    } else {
        tracing::warn!("not everything ended in time; what was in hand is taken up at the next start");
    }
    stop_traces(traces).await;
    if failed {
        return Err(Failure::Other(anyhow::anyhow!("a part of the service ended by itself; see the log")));
    }
    Ok(())
}

/// Takes up another configuration at SIGHUP and when a file of it changed, one after another, for as long as the service runs.
async fn keep_up(running: &app::Running, options: &Options, levels: &Levels, mut hangup: Signal) {
    let mut watch = Watch::default();
    loop {
        watch.follow(running.watched());
        tokio::select! {
            _ = hangup.recv() => watch.know(),
            () = watch.changed() => {}
        }
        let draft = Config::draft(options.config.as_deref(), config::environment());
        watch.follow(draft.config.watched.clone());
        // How it went is logged and measured where it happens.
        let _ = running.reload(draft).await;
        // What could not be read as a level was refused with its configuration.
        let _ = levels.set(&log_level(options, running.log_level().as_deref()));
    }
}

/// The configuration with its rules compiled; every problem in one report.
pub(crate) fn load(options: &Options) -> Result<app::Prepared, Failure> {
    let draft = Config::draft(options.config.as_deref(), config::environment());
    app::prepare(draft).map_err(|problems| Failure::Configuration(problems.to_string()))
}

pub(crate) fn install_logs(options: &Options) -> Ended {
    start_logs(options, None, None).map(drop)
}

pub(crate) fn start_traces(config: &Config) -> Result<Option<Traces>, Failure> {
    Ok(config.traces.as_ref().map(Traces::start).transpose().map_err(anyhow::Error::from)?)
}

/// The last thing of all: everything that stops makes spans.
pub(crate) async fn stop_traces(traces: Option<Traces>) {
    if let Some(traces) = traces {
        traces.flush(app::TRACES_DEADLINE).await;
    }
}

pub(crate) fn start_logs(options: &Options, configured: Option<&str>, traces: Option<&Traces>) -> Result<Levels, Failure> {
    telemetry::install_logs(&log_level(options, configured), traces).map_err(|err| Failure::Configuration(err.to_string()))
}

fn log_level(options: &Options, configured: Option<&str>) -> String {
    telemetry::level(options.log.as_deref(), &|name| std::env::var(name).ok(), configured)
}
