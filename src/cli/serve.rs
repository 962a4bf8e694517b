//! `serve`: the service itself, from the configuration to an orderly stop.

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::Options;
use super::{Ended, Failure};
use crate::app::{self, Roles};
use crate::config::{self, Config};
use crate::telemetry;

pub(crate) async fn run(options: &Options, roles: &[String]) -> Ended {
    let prepared = load(options)?;
    let roles = Roles::named(roles);
    if !roles.are_whole() && !prepared.config.queue.is_broker() {
        let hint = "leave `--role` out, name `receiver,worker`, or set `queue.url` to a broker";
        return Err(Failure::Configuration(format!("with `queue.url = \"embedded:\"` one process does everything\n  hint: {hint}")));
    }
    install_logs(options)?;
    for warning in &prepared.config.warnings {
        tracing::warn!("{}: {}", warning.place, warning.message);
    }
    let exporter = telemetry::install().map_err(anyhow::Error::from)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = app::start(prepared, roles, exporter, Box::new(std::io::stdout())).await?;
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.failed() => true,
    };
    tracing::info!("stopping");
    let in_order = tokio::time::timeout(app::STOP_DEADLINE, running.stop()).await.unwrap_or(false);
    if !in_order {
        tracing::warn!("not everything ended in time; what was in hand is taken up at the next start");
    }
    if failed {
        return Err(Failure::Other(anyhow::anyhow!("a part of the service ended by itself; see the log")));
    }
    Ok(())
}

/// The configuration with its rules compiled; every problem in one report.
pub(crate) fn load(options: &Options) -> Result<app::Prepared, Failure> {
    let draft = Config::draft(options.config.as_deref(), config::environment());
    app::prepare(draft).map_err(|problems| Failure::Configuration(problems.to_string()))
}

pub(crate) fn install_logs(options: &Options) -> Ended {
    let level = telemetry::level(options.log.as_deref(), &|name| std::env::var(name).ok());
    telemetry::install_logs(&level).map_err(|err| Failure::Configuration(err.to_string()))
}
