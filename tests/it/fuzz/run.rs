//! Runs cases on a few threads: each within a limit, each panic caught, each wrong one made small.
//!
//! A thread has the stack that the service's own have, and bears the numbers of its cases: an overflow, which nobody can catch, names it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, Thread, park_timeout};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::minimize::minimized;
use super::mutate::mutate;
use super::targets::Target;

/// Far beyond what any case takes, even where the machine has much else to do.
const LIMIT: Duration = Duration::from_secs(20);
const BATCH: u64 = 500;
const FAILURES_MAX: usize = 8;
/// As a thread of the runtime has.
const STACK_BYTES: usize = 2 << 20;
const THREADS_MAX: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub cases: u64,
    pub seeds: usize,
    pub slowest: Duration,
}

pub struct Report {
    pub took: Duration,
    pub counts: BTreeMap<&'static str, Count>,
    pub failures: Vec<String>,
}

/// What a thread does at this moment, with which input, and since when.
type Doing = Arc<Mutex<Option<(String, Vec<u8>, Instant)>>>;

struct Batch {
    doing: Doing,
    thread: JoinHandle<(BTreeMap<&'static str, Count>, Vec<String>)>,
}

pub fn run(targets: &Arc<Vec<Target>>, cases: Range<u64>) -> Report {
    let begun = Instant::now();
    let counts = targets.iter().map(|target| (target.name, Count { seeds: target.seeds.len(), ..Count::default() })).collect();
    let mut report = Report { took: Duration::ZERO, counts, failures: Vec::new() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let (mut next, mut batches) = (cases.start, Vec::new());
    loop {
        while batches.len() < threads && next < cases.end && report.failures.len() < FAILURES_MAX {
            let end = cases.end.min(next + BATCH);
            batches.push(start(targets, next..end));
            next = end;
        }
        if batches.is_empty() {
            break;
        }
        // Whoever ends wakes this thread.
        park_timeout(Duration::from_millis(500));
        let (ended, going): (Vec<_>, Vec<_>) = batches.into_iter().partition(|batch| batch.thread.is_finished());
        ended.into_iter().for_each(|batch| report.add(batch));
        batches = going;
        let stalled: Vec<String> = batches.iter().filter_map(stalled).collect();
        if !stalled.is_empty() {
            // Nothing can end such a thread.
            report.failures.extend(stalled);
            break;
        }
    }
    report.took = begun.elapsed();
    report
}

impl Report {
    fn add(&mut self, batch: Batch) {
        let (counts, failures) = batch.thread.join().expect("panics are caught inside");
        for (name, one) in counts {
            let sum = self.counts.entry(name).or_default();
            sum.cases += one.cases;
            sum.slowest = sum.slowest.max(one.slowest);
        }
        self.failures.extend(failures);
    }
}

fn stalled(batch: &Batch) -> Option<String> {
    let doing = batch.doing.lock().unwrap_or_else(PoisonError::into_inner);
    let (what, input, since) = doing.as_ref()?;
    (since.elapsed() > LIMIT).then(|| format!("{what} has not ended within {LIMIT:?}\n  input: {}", input.escape_ascii()))
}

fn start(targets: &Arc<Vec<Target>>, cases: Range<u64>) -> Batch {
    let (targets, doing) = (Arc::clone(targets), Doing::default());
    let (seen, main) = (Arc::clone(&doing), std::thread::current());
    let name = format!("fuzz cases {}..{}", cases.start, cases.end);
    let work = move || {
        let _wake = Wake(main);
        let (mut counts, mut failures) = (BTreeMap::<_, Count>::new(), Vec::new());
        for case in cases {
            let (target, input, choice) = made(&targets, case);
            let begun = Instant::now();
            let failed = tried(target, &input, choice, case, &seen);
            let count = counts.entry(target.name).or_default();
            count.cases += 1;
            count.slowest = count.slowest.max(begun.elapsed());
            if let Some(why) = failed {
                let small = minimized(&input, |shorter| tried(target, shorter, choice, case, &seen).is_some());
                failures.push(format!("seed {case}, {}: {why}\n  input: {}", target.name, small.escape_ascii()));
            }
        }
        (counts, failures)
    };
    Batch { doing, thread: Builder::new().name(name).stack_size(STACK_BYTES).spawn(work).expect("a thread") }
}

/// The case of a number: the target, what it gets, and a number for what the target itself chooses.
fn made(targets: &[Target], case: u64) -> (&Target, Vec<u8>, u64) {
    let mut random = StdRng::seed_from_u64(case);
    let mut ticket = random.random_range(0..targets.iter().map(|target| target.share).sum());
    let chosen = targets.iter().find(|target| {
        let is_it = ticket < target.share;
        ticket = ticket.saturating_sub(target.share);
        is_it
    });
    let target = chosen.expect("a ticket is below the sum");
    (target, mutate(&target.seeds, target.words, &mut random), random.random())
}

/// Why a case is wrong, if it is.
fn tried(target: &Target, input: &[u8], choice: u64, case: u64, doing: &Doing) -> Option<String> {
    let now = |what| *doing.lock().unwrap_or_else(PoisonError::into_inner) = what;
    now(Some((format!("case {case} of `{}` (TICKETWIRE_SEED={case})", target.name), input.to_vec(), Instant::now())));
    let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(input, choice)));
    now(None);
    match ended {
        Ok(answer) => answer.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Some(format!("it panicked: {}", text.unwrap_or("without words")))
        }
    }
}

/// Wakes the thread that waits, however this one ends.
struct Wake(Thread);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.unpark();
    }
}
