//! `event list|show|tail`.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::admin::{Admin, encoded};
use super::arguments::{EventCommand, EventWhich, Options};
use super::output::Output;
use super::trace::show_deliveries;
use super::{Ended, Failure};
use crate::api::{EventQuery, EventRow, ListedEvent, ShownEvent};

/// A service that restarts is waited for so long.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(what: EventCommand, options: &Options, output: Output) -> Ended {
    let admin = Admin::find(options)?;
    match what {
        EventCommand::List { which, limit } => list(&admin, &which.query(), limit, output).await,
        EventCommand::Show { id, raw } => show(&admin, &id, raw, output).await,
        EventCommand::Tail { which } => tail(&admin, &which.query(), output).await,
    }
}

impl EventWhich {
    fn query(&self) -> EventQuery {
        let Self { kind, connection, issue, since, until } = self.clone();
        EventQuery { kind, connection, issue, since, until }
    }
}

async fn list(admin: &Admin, which: &EventQuery, limit: usize, mut output: Output) -> Ended {
    let events: Vec<ListedEvent> = admin.list("events", which, limit).await?;
    if output.is_json {
        return Ok(output.json(&events)?);
    }
    let row = |event: &ListedEvent| {
        let count = |outcome: &str| event.deliveries.iter().filter(|delivery| delivery.outcome == outcome).count();
        let outcomes = ["delivered", "filtered", "withheld", "parked", "pending", "unknown", "dead"];
        let told = outcomes.iter().map(|outcome| (count(outcome), outcome)).filter(|(count, _)| *count > 0);
        vec![
            event.row.received_at.to_string(),
            event.row.kind.to_string(),
            event.row.issue_key.clone().unwrap_or_default(),
            event.row.event_id.to_string(),
            told.map(|(count, outcome)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", "),
        ]
    };
    Ok(output.table(&["RECEIVED", "KIND", "ISSUE", "EVENT", "DELIVERIES"], events.iter().map(row).collect(), "no such events")?)
}

async fn show(admin: &Admin, id: &str, raw: bool, mut output: Output) -> Ended {
    let query = if raw { "?raw=true" } else { "" };
    let event: ShownEvent = admin.get(&format!("events/{}{query}", encoded(id))).await?;
    if output.is_json {
        return Ok(output.json(&event)?);
    }
    output.line(&format!("{}  {}  {}", event.row.received_at, event.row.kind, event.row.event_id))?;
    show_deliveries(&event.deliveries, &mut output)?;
    Ok(output.line(&format!("{:#}", event.event))?)
}

/// Until Ctrl-C, or until the service stays away.
async fn tail(admin: &Admin, which: &EventQuery, mut output: Output) -> Ended {
    let (mut last, mut answered) = (None, None::<Instant>);
    loop {
        match look_on(admin, which, &mut last, &mut output).await {
            // It was cut off: the service stops or restarts, and what comes meanwhile is told afterwards.
            Ok(()) => answered = Some(Instant::now()),
            Err(Failure::Unreachable(_)) if answered.is_some_and(|at| at.elapsed() < PATIENCE) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Until the stream ends.
async fn look_on(admin: &Admin, which: &EventQuery, last: &mut Option<String>, output: &mut Output) -> Ended {
    let mut stream = admin.stream("events/stream", which, last.as_deref()).await?;
    let mut begun: Vec<u8> = Vec::new();
    while let Ok(Some(bytes)) = stream.chunk().await {
        begun.extend_from_slice(&bytes);
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let rest = begun.split_off(end + 1);
            let line = std::mem::replace(&mut begun, rest);
            told(&String::from_utf8_lossy(&line), last, output)?;
        }
    }
    Ok(())
}

fn told(line: &str, last: &mut Option<String>, output: &mut Output) -> Ended {
    if let Some(id) = line.strip_prefix("id:") {
        *last = Some(id.trim().to_owned());
    }
    let Some(data) = line.strip_prefix("data:").map(str::trim) else { return Ok(()) };
    if output.is_json {
        let event: Value = serde_json::from_str(data).map_err(not_understood)?;
        return Ok(output.json(&event)?);
    }
    let event: EventRow = serde_json::from_str(data).map_err(not_understood)?;
    let key = event.issue_key.map(|key| format!("  {key}")).unwrap_or_default();
    Ok(output.line(&format!("{}  {}{key}  {}", event.received_at, event.kind, event.event_id))?)
}

fn not_understood(err: serde_json::Error) -> Failure {
    Failure::Other(anyhow::anyhow!("the service's answer is not understood: {err}"))
}
