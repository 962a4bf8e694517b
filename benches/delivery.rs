//! How fast a backlog drains: events per second from the embedded queue into the ticket store, the archive beside it as in the service.
//!
//! Filled by one process and drained by another, so nothing is left in memory: what is measured is the return after an outage. A real
//! PostgreSQL, where `TICKETWIRE_TEST_POSTGRES` says that there is one (`tests/services/start` starts it); else it is said to be left out.
//! `-- --quick` is a short run.

#[path = "delivery/backlog.rs"]
mod backlog;
mod measure;

use anyhow::Context;
use serde_json::{Value, json};

use measure::process::Process;
use measure::report::{self, Limit};
use measure::{disk, median};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sinks, their title, and whether the store is a PostgreSQL.
const SCENES: [(&str, &str, bool); 3] =
    [("tickets", "tickets", false), ("tickets,file", "tickets and a file", false), ("tickets", "tickets in PostgreSQL", true)];

const POSTGRES: &str = "TICKETWIRE_TEST_POSTGRES";

struct Plan {
    rounds: usize,
    events: u64,
}

const WHOLE: Plan = Plan { rounds: 3, events: 50_000 };
const QUICK: Plan = Plan { rounds: 1, events: 8_000 };

struct Figures {
    /// Until the ticket store has passed everything.
    tickets: f64,
    /// Until every sink and the archive have.
    all: f64,
    cpu_us: f64,
    peak_mb: f64,
    filled: f64,
    fdatasync_ms: f64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, sinks, store, events, place, ..] = arguments.as_slice() {
        let (events, place) = (events.parse()?, place.as_ref());
        return match what.as_str() {
            "fill" => backlog::fill(sinks, events, place),
            "drain" => backlog::drain(sinks, store, events, place),
            _ => anyhow::bail!("`{what}` is not understood"),
        };
    }
    let plan = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { WHOLE };
    let postgres = std::env::var(POSTGRES).ok();
    if postgres.is_none() {
        report::say(&format!("left out: PostgreSQL, because {POSTGRES} is not set"))?;
    }
    let is_there = |is_postgres: bool| !is_postgres || postgres.is_some();
    let mut rounds: Vec<Vec<Figures>> = SCENES.iter().map(|_| Vec::new()).collect();
    for round in 0..plan.rounds {
        report::say(&format!("round {} of {}", round + 1, plan.rounds))?;
        for ((sinks, _, is_postgres), figures) in SCENES.iter().zip(&mut rounds).filter(|(scene, _)| is_there(scene.2)) {
            let store = postgres.as_deref().filter(|_| *is_postgres).unwrap_or("sqlite:");
            figures.push(one(&plan, sinks, store)?);
        }
    }
    show(&plan, &rounds)
}

fn one(plan: &Plan, sinks: &str, store: &str) -> anyhow::Result<Figures> {
    let place = measure::empty("delivery")?;
    let events = plan.events.to_string();
    let path = place.to_str().context("a path that is text")?;
    let mut filling = Process::again(&["fill", sinks, store, &events, path])?;
    let filled = filling.line()?.parse()?;
    filling.stop()?;
    let fdatasync_ms = disk::fdatasync_ms(&place)?;
    let mut draining = Process::again(&["drain", sinks, store, &events, path])?;
    anyhow::ensure!(draining.line()? == "started", "the service did not start");
    let before = draining.cpu()?;
    let figures: Value = serde_json::from_str(&draining.line()?)?;
    let cpu_us = (draining.cpu()? - before) * 1e6 / plan.events as f64;
    let (_, peak_mb) = draining.memory()?;
    draining.stop()?;
    std::fs::remove_dir_all(&place)?;
    let seconds = |name: &str| figures.get(name).and_then(Value::as_f64).context("a figure of the other process");
    let per_second = |name: &str| anyhow::Ok(plan.events as f64 / seconds(name)?);
    Ok(Figures { tickets: per_second("tickets")?, all: per_second("all")?, cpu_us, peak_mb, filled, fdatasync_ms })
}

fn show(plan: &Plan, rounds: &[Vec<Figures>]) -> anyhow::Result<()> {
    let middle = |which: usize, figure: fn(&Figures) -> f64| median(rounds.get(which).into_iter().flatten().map(figure).collect());
    let heads = ["", "events/s into tickets", "events/s by all", "CPU us", "peak MB", "filled/s"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut scenes = Vec::new();
    for (which, (name, title, is_postgres)) in
        SCENES.iter().enumerate().filter(|(which, _)| rounds.get(*which).is_some_and(|one| !one.is_empty()))
    {
        let figures = [
            middle(which, |figures| figures.tickets),
            middle(which, |figures| figures.all),
            middle(which, |figures| figures.cpu_us),
            middle(which, |figures| figures.peak_mb),
            middle(which, |figures| figures.filled),
        ];
        let cells = figures.iter().zip([0, 0, 1, 1, 0]).map(|(figure, decimals)| format!("{figure:.decimals$}"));
        rows.push(std::iter::once((*title).to_owned()).chain(cells).collect());
        let [tickets, all, cpu_us, peak_mb, filled] = figures;
        scenes.push(json!({
            "sinks": name, "postgres": is_postgres, "tickets_per_second": tickets, "all_per_second": all, "cpu_us_per_event": cpu_us, "peak_mb": peak_mb,
            "filled_per_second": filled,
        }));
    }
    let fdatasync = median(rounds.iter().flatten().map(|figures| figures.fdatasync_ms).collect());
    report::table(&format!("delivery of a backlog of {} events of 8,192 bytes, archive running", plan.events), &rows)?;
    report::say(&format!("  one fdatasync: {fdatasync:.3} ms"))?;
    let limit = |name, figure| Limit { name, figure, aim: 10_000.0, gate: 4_000.0, upwards: true };
    let verdicts = report::limits(&[
        limit("events/s into tickets", middle(0, |figures| figures.tickets)),
        limit("the same, the archive done as well", middle(0, |figures| figures.all)),
    ])?;
    let figures = json!({ "events": plan.events, "scenes": scenes, "fdatasync_ms": fdatasync, "limits": verdicts });
    report::write_json("delivery.json", &figures)
}
