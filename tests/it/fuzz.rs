//! Fuzzing: what others write (payloads, texts, rules, files, messages) is spoiled at random and given to everything that reads it.
//!
//! Nothing may panic, stall or break what is promised of it. A case is a number: it says which target, which seed and what is done to it,
//! so `TICKETWIRE_SEED` repeats one, or a range as in `1..1000` (with the same `TICKETWIRE_CORPUS`). `TICKETWIRE_CAMPAIGN=long` runs a million.

mod json;
mod live;
mod minimize;
mod mutate;
mod readers;
mod renderers;
mod run;
mod seeds;
mod targets;

use std::fmt::Write;
use std::sync::Arc;

use run::{Report, run};
use seeds::Seeds;

const CASES: u64 = 20_000;
const CASES_LONG: u64 = 1_000_000;

#[test]
#[expect(clippy::print_stdout, reason = "figures are for whoever runs the tests")]
fn nothing_that_others_write_panics_stalls_or_breaks_a_promise() {
    let asked = std::env::var("TICKETWIRE_SEED").ok().and_then(|seed| range(&seed));
    let cases = match asked.clone() {
        Some(cases) => cases,
        None => 1..1 + if crate::stage::is_long() { CASES_LONG } else { CASES },
    };
    let targets = Arc::new(targets::all(&Seeds::collect()));
    let report = run(&targets, cases);
    println!("{}", told(&report));
    assert!(report.failures.is_empty(), "repeat one with TICKETWIRE_SEED:\n{}", report.failures.join("\n"));
    let silent: Vec<_> = report.counts.iter().filter(|(_, count)| count.cases == 0).map(|(name, _)| name).collect();
    assert!(asked.is_some() || silent.is_empty(), "never tried: {silent:?}");
}

/// `7`, or `7..9` without the last.
fn range(text: &str) -> Option<std::ops::Range<u64>> {
    match text.split_once("..") {
        Some((first, end)) => Some(first.parse().ok()?..end.parse().ok()?),
        None => text.parse().ok().map(|case| case..case + 1),
    }
}

fn told(report: &Report) -> String {
    let sum: u64 = report.counts.values().map(|count| count.cases).sum();
    let mut text = format!("fuzz: {sum} cases in {:.1?}, {} wrong", report.took, report.failures.len());
    for (name, count) in &report.counts {
        write!(text, "; {name} {} of {} seeds (slowest {:.0?})", count.cases, count.seeds, count.slowest).expect("a string takes it");
    }
    text
}
