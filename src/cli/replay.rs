//! `replay`: gives the order and shows how far it is until it is done. Ctrl-C ends the looking on, not the replay.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::admin::{Admin, encoded};
use super::arguments::{Options, ReplayArguments};
use super::output::Output;
use super::{Ended, Failure};
use crate::api::{ReplayOrder, ReplayView, ReplayedSink};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A service that restarts is waited for so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: ReplayArguments, options: &Options, mut output: Output) -> Ended {
    let admin = Admin::find(options)?;
    if arguments.list {
        return list(&admin, output).await;
    }
    if let Some(id) = &arguments.stop {
        let view: ReplayView = admin.post(&format!("replays/{}/stop", encoded(id)), &()).await?;
        return show(&view, &mut output);
    }
    let Some(since) = arguments.since else { return Err(Failure::Other(anyhow::anyhow!("`replay` needs `--since`"))) };
    let order = ReplayOrder {
        since,
        until: arguments.until,
        rule: arguments.rule,
        sink: arguments.sink,
        again: arguments.again,
        dry_run: arguments.dry_run,
    };
    let ordered: ReplayView = admin.post("replays", &order).await?;
    let view = follow(&admin, ordered, &mut output).await?;
    show(&view, &mut output)
}

/// Looks until it is done or stopped.
async fn follow(admin: &Admin, mut view: ReplayView, output: &mut Output) -> Result<ReplayView, Failure> {
    let bar = bar(&view);
    let path = format!("replays/{}", encoded(&view.id));
    let (mut told, mut answered) = (None, Instant::now());
    while view.state == "running" {
        bar.set_position(view.sinks.iter().map(|sink| sink.seen).sum());
        let paused = view.sinks.iter().find_map(|sink| {
            let (name, reason) = (&sink.sink, sink.paused.as_ref()?);
            Some(format!("sink `{name}` is paused: {reason}\nhint: `ticketwire sink resume {name}`; the replay `{}` waits for it", view.id))
        });
        if let Some(text) = paused.filter(|text| told.as_ref() != Some(text)) {
            bar.suspend(|| output.error(&text));
            told = Some(text);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        match admin.get(&path).await {
            Ok(now) => (view, answered) = (now, Instant::now()),
            Err(Failure::Unreachable(_)) if answered.elapsed() < PATIENCE => {}
            Err(failure) => return Err(failure),
        }
    }
    bar.finish_and_clear();
    Ok(view)
}

/// On stderr, and only where that is a terminal.
fn bar(view: &ReplayView) -> ProgressBar {
    let bar = ProgressBar::new(view.sinks.iter().map(|sink| sink.events).sum());
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} events, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(view: &ReplayView, output: &mut Output) -> Ended {
    if output.is_json {
        return Ok(output.json(view)?);
    }
    let delivered = if view.dry_run { "WOULD DELIVER" } else { "DELIVERED" };
    let row = |sink: &ReplayedSink| {
        let counts = [sink.seen, sink.delivered, sink.filtered, sink.withheld, sink.parked, sink.dead, sink.known];
        std::iter::once(sink.sink.to_string()).chain(counts.iter().map(u64::to_string)).collect()
    };
    let rows = view.sinks.iter().map(row).collect();
    let header = ["SINK", "EVENTS", delivered, "FILTERED", "WITHHELD", "PARKED", "DEAD", "KNOWN"];
    output.table(&header, rows, "the archive holds nothing of that time")?;
    Ok(output.line(&ended(view))?)
}

fn ended(view: &ReplayView) -> String {
    let would: u64 = view.sinks.iter().map(|sink| sink.delivered).sum();
    match (view.dry_run, view.state.as_str()) {
        (true, "done") => format!("dry run: {would} would be delivered, nothing was sent"),
        (true, state) => format!("dry run {} is {state}: nothing was sent", view.id),
        (false, state) => format!("replay {} is {state}", view.id),
    }
}

fn mode(view: &ReplayView) -> &'static str {
    match (view.dry_run, view.again) {
        (true, true) => "dry run, again",
        (true, false) => "dry run",
        (false, true) => "again",
        (false, false) => "normal",
    }
}

async fn list(admin: &Admin, mut output: Output) -> Ended {
    let views: Vec<ReplayView> = admin.get("replays").await?;
    if output.is_json {
        return Ok(output.json(&views)?);
    }
    let row = |view: &ReplayView| {
        let (seen, events) = view.sinks.iter().fold((0, 0), |(seen, events), sink| (seen + sink.seen, events + sink.events));
        let sinks: Vec<String> = view.sinks.iter().map(|sink| sink.sink.to_string()).collect();
        vec![
            view.id.clone(),
            mode(view).to_owned(),
            view.state.clone(),
            format!("{seen} of {events}"),
            view.since.to_string(),
            view.until.to_string(),
            sinks.join(" "),
        ]
    };
    Ok(output.table(&["ID", "MODE", "STATE", "SEEN", "SINCE", "UNTIL", "SINKS"], views.iter().map(row).collect(), "no replays")?)
}
