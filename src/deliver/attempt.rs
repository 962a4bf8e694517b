//! Trying: batches where a sink takes them, one after another for each issue where it does not, different issues side by side.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::Admission;
use super::journal::{NotWritten, persist};
use super::meters;
use super::step::{Concerns, Step, Wait, step};
use super::supervise::Shared;
use super::work::Work;
use crate::event::PartitionKey;
use crate::sink::{Enriched, Receipt, SinkError};
use crate::store::{Ended, JournalRow, Progress, ThreadRow, Write};
use crate::telemetry::Span;

/// A delivery that is ready to be made.
pub(crate) struct Attempt {
    pub(crate) work: Work,
    pub(crate) partition_key: PartitionKey,
    pub(crate) delivery: Enriched,
    /// Further deliveries that the same message covers.
    pub(crate) folded: Vec<Work>,
    /// Whether it is posted into the thread of its issue.
    pub(crate) in_thread: bool,
    /// Where it shows what the sink itself asks of Jira.
    pub(crate) span: Span,
}

impl Attempt {
    fn works(&self) -> impl Iterator<Item = &Work> {
        std::iter::once(&self.work).chain(&self.folded)
    }

    /// Gives the same end to every delivery that the message covers.
    fn end(self, end: End) -> impl Iterator<Item = (Work, End)> {
        std::iter::once(self.work).chain(self.folded).map(move |work| (work, end.clone()))
    }
}

/// How it ended for now.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Done,
    /// The journal has it already.
    Recorded(Ended),
    Park {
        wait: Wait,
        concerns: Concerns,
        counted: bool,
        reason: String,
    },
    /// It was begun, and no answer came: the journal goes on saying that nobody knows whether it was done.
    Unanswered {
        reason: String,
    },
    /// Something before it stands in the way.
    NotTried {
        reason: String,
    },
    Dead {
        reason: String,
    },
}

impl End {
    /// What follows it to the same place must not overtake.
    fn waits(&self) -> bool {
        matches!(self, Self::Park { .. } | Self::NotTried { .. } | Self::Unanswered { .. })
    }
}

pub(crate) const WAITS_BEHIND: &str = "earlier deliveries of this issue wait";
/// What the journal says of a delivery whose earlier try is in doubt, where it has nothing newer to say.
const DOUBT: &str = "an earlier try had no answer";
/// After three starts that died with nothing but this event in hand, it is the event.
const UNCLEAN_RUNS_MAX: u32 = 3;

/// Between two looks at a store that cannot be read.
const STORE_PATIENCE: Duration = Duration::from_millis(200);

/// What a delivery under way gets when the service stops; less than the whole stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

pub(crate) async fn all(shared: &Arc<Shared>, tries: Vec<Attempt>, stop: &CancellationToken) -> Result<Vec<(Work, End)>, NotWritten> {
    if tries.is_empty() {
        return Ok(Vec::new());
    }
    let batch = shared.route.sink.traits().batch;
    if batch <= 1 || shared.is_careful() {
        return deliver_concurrently(shared, tries, stop).await;
    }
    let keys: HashMap<usize, PartitionKey> = tries.iter().map(|attempt| (attempt.work.item, attempt.partition_key.clone())).collect();
    let mut ends: Vec<(Work, End)> = Vec::new();
    let mut rest = tries.into_iter().peekable();
    while rest.peek().is_some() {
        let held: HashSet<(Arc<str>, &PartitionKey)> = ends
            .iter()
            .filter(|(_, end)| end.waits())
            .filter_map(|(work, _)| Some((work.key.target.clone(), keys.get(&work.item)?)))
            .collect();
        let is_held = |attempt: &Attempt| held.contains(&(attempt.work.key.target.clone(), &attempt.partition_key));
        let (behind, go): (Vec<Attempt>, Vec<Attempt>) = rest.by_ref().take(batch).partition(is_held);
        ends.extend(behind.into_iter().flat_map(|attempt| attempt.end(End::NotTried { reason: WAITS_BEHIND.into() })));
        if !go.is_empty() {
            ends.extend(deliver_batch(shared, go, stop).await?);
        }
    }
    Ok(ends)
}

/// Issues side by side, the deliveries of one after another.
async fn deliver_concurrently(shared: &Arc<Shared>, tries: Vec<Attempt>, stop: &CancellationToken) -> Result<Vec<(Work, End)>, NotWritten> {
    let mut chains: Vec<Vec<Attempt>> = Vec::new();
    let mut places: HashMap<PartitionKey, usize> = HashMap::new();
    for attempt in tries {
        let place = *places.entry(attempt.partition_key.clone()).or_insert_with(|| {
            chains.push(Vec::new());
            chains.len() - 1
        });
        chains[place].push(attempt);
    }
    let mut ends = Vec::new();
    for chain in join_all(chains.into_iter().map(|chain| deliver_in_order(shared, chain, stop))).await {
        ends.extend(chain?);
    }
    Ok(ends)
}

/// One call for all of them; what the sink did not take for want of an answer is tried again while the lane may hold.
async fn deliver_batch(shared: &Arc<Shared>, mut tries: Vec<Attempt>, stop: &CancellationToken) -> Result<Vec<(Work, End)>, NotWritten> {
    let mut ends = Vec::new();
    loop {
        if let Some(reason) = admitted(shared).await {
            ends.extend(tries.into_iter().flat_map(|attempt| attempt.end(End::NotTried { reason: reason.clone() })));
            return Ok(ends);
        }
        let batch: Vec<Enriched> = tries.iter().map(|attempt| attempt.delivery.clone()).collect();
        let span = tries.first().map_or_else(Span::none, |first| first.span.clone());
        let Some(results) = span.within(deliver(shared, &batch)).await else {
            // A panic does not say which delivery caused it: retry them one at a time.
            ends.extend(deliver_concurrently(shared, tries, stop).await?);
            return Ok(ends);
        };
        let mut again = Vec::new();
        for (attempt, result) in tries.into_iter().zip(results) {
            match decide(shared, &attempt.work, result).await {
                Some(end) => ends.extend(attempt.end(end)),
                None => again.push(attempt),
            }
        }
        if again.is_empty() {
            return Ok(ends);
        }
        tries = again;
    }
}

/// The deliveries of one issue, in order; what cannot go on holds back what follows it to the same target.
async fn deliver_in_order(shared: &Arc<Shared>, chain: Vec<Attempt>, stop: &CancellationToken) -> Result<Vec<(Work, End)>, NotWritten> {
    let mut ends: Vec<(Work, End)> = Vec::new();
    for attempt in chain {
        let stuck = ends.iter().any(|(work, end)| work.key.target == attempt.work.key.target && end.waits());
        let end = if stuck { End::NotTried { reason: WAITS_BEHIND.into() } } else { deliver_one(shared, &attempt, stop).await? };
        ends.extend(attempt.end(end));
    }
    Ok(ends)
}

async fn deliver_one(shared: &Arc<Shared>, attempt: &Attempt, stop: &CancellationToken) -> Result<End, NotWritten> {
    let recorded_first = shared.is_careful() || !shared.route.sink.traits().repeatable;
    let mut panics = 0;
    if attempt.works().any(|work| work.unknown)
        && shared.settings.on_unknown == super::settings::OnUnknown::Dead
        && !shared.route.sink.traits().repeatable
    {
        return Ok(End::Dead { reason: "unknown: an earlier try may have delivered it".into() });
    }
    if shared.is_careful() && attempt.work.unclean_runs >= UNCLEAN_RUNS_MAX {
        return Ok(End::Dead { reason: format!("the process died {UNCLEAN_RUNS_MAX} times while it was delivered") });
    }
    loop {
        // Asked first and last: who is admitted as a probe must try, and the wait for that may be long.
        if let Some(end) = blocked(shared, attempt) {
            return Ok(end);
        }
        if let Some(reason) = admitted(shared).await {
            return Ok(End::NotTried { reason });
        }
        if recorded_first {
            let journal = attempt.works().map(|work| row(shared, work, Progress::Started, None)).collect();
            persist(&shared.store, Write { journal, ..Write::default() }, stop).await?;
            if let Some(end) = blocked(shared, attempt) {
                return Ok(end);
            }
        }
        let (delivery, thread) = in_thread(shared, attempt, stop).await?;
        let delivered = tokio::select! {
            results = attempt.span.within(deliver(shared, std::slice::from_ref(&*delivery))) => results,
            // The outcome of this try stays open, so that the results of the others in the window can be written down before the process
            // ends.
            () = stopped_for(stop, STOP_PATIENCE) => return Ok(in_doubt(shared, attempt, "the service stopped before an answer came")),
        };
        let Some(mut results) = delivered else {
            panics += 1;
            if panics == 2 {
                return Ok(End::Dead { reason: "the sink panicked twice".into() });
            }
            continue;
        };
        let result = results.pop().unwrap_or_else(|| Err(SinkError::Failed { reason: "the sink gave no answer".into() }));
        let threads = begun(shared, attempt, thread.as_deref(), &result);
        let doubt = result.as_ref().err().filter(|err| !err.certainly_not_sent()).map(ToString::to_string);
        if let Some(end) = decide(shared, &attempt.work, result).await {
            // The answer is written down at once: a crash from here on repeats nothing.
            if recorded_first && matches!(end, End::Done) {
                let ended = |work: &Work| {
                    let (ended, reason) = work.taken(shared.route.is_shadow());
                    meters::outcome(&work.key.sink, ended);
                    row(shared, work, Progress::Ended(ended), reason)
                };
                let journal = attempt.works().map(ended).collect();
                persist(&shared.store, Write { journal, threads, ..Write::default() }, stop).await?;
                return Ok(End::Recorded(attempt.work.taken(shared.route.is_shadow()).0));
            }
            return Ok(end);
        }
        if let Some(doubt) = doubt.filter(|_| !shared.route.sink.traits().repeatable) {
            return Ok(in_doubt(shared, attempt, &doubt));
        }
        if recorded_first {
            // This try certainly did nothing. The journal says so, lest a crash while the lane holds leave it in doubt.
            let journal = attempt
                .works()
                .map(|work| row(shared, work, work.progress_if_not_sent(), work.unknown.then(|| DOUBT.to_owned())))
                .collect();
            persist(&shared.store, Write { journal, ..Write::default() }, stop).await?;
        }
    }
}

/// It may have been done, and nobody will ever know. Where twice shows, it is repeated once at most.
fn in_doubt(shared: &Shared, attempt: &Attempt, reason: &str) -> End {
    attempt.works().for_each(|work| meters::in_doubt(&work.key.sink));
    let is_repeat = attempt.works().any(|work| work.unknown);
    if !shared.route.sink.traits().repeatable && (is_repeat || shared.settings.on_unknown == super::settings::OnUnknown::Dead) {
        return End::Dead { reason: format!("unknown: {reason}; it may have been delivered") };
    }
    End::Unanswered { reason: format!("{reason}; it may have been delivered") }
}

/// The delivery, made an answer to what was said of its issue before, and which message that is.
async fn in_thread<'a>(
    shared: &Shared,
    attempt: &'a Attempt,
    stop: &CancellationToken,
) -> Result<(Cow<'a, Enriched>, Option<String>), NotWritten> {
    if !attempt.in_thread {
        return Ok((Cow::Borrowed(&attempt.delivery), None));
    }
    let key = &attempt.work.key;
    let thread = loop {
        match shared.store.thread(&key.sink, &key.target, &attempt.partition_key).await {
            Ok(thread) => break thread,
            Err(_) if stop.is_cancelled() => return Err(NotWritten),
            Err(_) => tokio::time::sleep(STORE_PATIENCE).await,
        }
    };
    let mut delivery = attempt.delivery.clone();
    if let Some(message) = &mut delivery.message {
        message.thread.clone_from(&thread);
    }
    Ok((Cow::Owned(delivery), thread))
}

/// The thread that a message began, if it did.
fn begun(shared: &Shared, attempt: &Attempt, thread: Option<&str>, result: &Result<Receipt, SinkError>) -> Vec<ThreadRow> {
    let reference = result.as_ref().ok().and_then(|receipt| receipt.thread.clone());
    let reference = reference.filter(|reference| attempt.in_thread && Some(reference.as_str()) != thread);
    let row = |reference| ThreadRow {
        sink: attempt.work.key.sink.clone(),
        target: attempt.work.key.target.clone(),
        partition_key: attempt.partition_key.clone(),
        reference,
        at: shared.clock.now(),
    };
    reference.map(row).into_iter().collect()
}

/// Returns so long after the service was asked to stop.
async fn stopped_for(stop: &CancellationToken, span: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(span).await;
}

/// Some: the target asked for patience meanwhile.
fn blocked(shared: &Shared, attempt: &Attempt) -> Option<End> {
    let wait = shared.blocked(&attempt.work.key.target)?;
    let reason = "the target takes nothing now".into();
    Some(End::Park { wait: Wait::Told(wait), concerns: Concerns::Key, counted: false, reason })
}

/// One answer for each. None: the sink panicked, which says nothing against its being there.
async fn deliver(shared: &Shared, batch: &[Enriched]) -> Option<Vec<Result<Receipt, SinkError>>> {
    let started = Instant::now();
    let sink = &shared.route.sink;
    let results = AssertUnwindSafe(sink.deliver(batch)).catch_unwind().await.ok();
    meters::attempts(sink.name(), results.as_deref(), started.elapsed());
    let Some(mut results) = results else {
        tracing::error!(sink = %sink.name(), "sink `{}` panicked on a batch of {}", sink.name(), batch.len());
        shared.breaker.record_success();
        return None;
    };
    results.resize_with(batch.len(), || Err(SinkError::Failed { reason: "the sink gave no answer".into() }));
    Some(results)
}

/// `None`: the sink does not answer, so the lane holds and tries again.
async fn decide(shared: &Shared, work: &Work, result: Result<Receipt, SinkError>) -> Option<End> {
    let is_taken = result.as_ref().is_ok_and(|receipt| !receipt.not_taken);
    let step = step(result, work.failures, shared.settings.max_tries);
    if !matches!(step, Step::Hold { .. }) {
        shared.breaker.record_success();
    }
    let records_itself = shared.route.sink.traits().records_itself;
    Some(match step {
        Step::Done if records_itself => {
            let ended = if is_taken { Ended::Delivered } else { Ended::Filtered };
            meters::outcome(&work.key.sink, ended);
            End::Recorded(ended)
        }
        Step::Done => End::Done,
        Step::Park { wait, concerns, counted, reason } => {
            if concerns == Concerns::Target {
                // At once: other lanes, and the rest of this window, are about to try it.
                shared.block(&work.key.target, wait.span());
            }
            End::Park { wait, concerns, counted, reason }
        }
        Step::Dead { reason } => End::Dead { reason },
        Step::Pause { reason } => {
            shared.pause.refuse(&reason, &shared.store, &shared.clock).await;
            End::NotTried { reason }
        }
        Step::Hold { retry_after, reason } => {
            if shared.breaker.record_failure(retry_after) {
                tracing::warn!(sink = %work.key.sink, "sink `{}` does not answer: {reason}", work.key.sink);
            }
            return None;
        }
    })
}

/// Waits as long as the lane may hold. `None`: try now. `Some`: the delivery must be parked, and why.
async fn admitted(shared: &Shared) -> Option<String> {
    loop {
        if shared.pause.is_paused() {
            return Some("the sink is paused".into());
        }
        let (until, since) = match shared.breaker.admit() {
            Admission::Go => return None,
            Admission::Probe if answers_again(shared).await => return None,
            Admission::Probe => continue,
            Admission::Wait { until, since } => (until, since),
        };
        let last = since + shared.settings.hold_in_lane.0;
        if Instant::now() >= last || shared.retired().is_cancelled() {
            return Some("the sink does not answer".into());
        }
        tokio::select! {
            () = shared.retired().cancelled() => {}
            () = shared.breaker.wait(until.min(last) + Duration::from_millis(1)) => {}
        }
    }
}

/// Asked before a sink to which nothing may be sent twice gets its next delivery: what an outage swallows would be in doubt.
async fn answers_again(shared: &Shared) -> bool {
    let sink = &shared.route.sink;
    if sink.traits().repeatable {
        return true;
    }
    let checked = tokio::select! {
        checked = sink.is_there() => checked,
        () = shared.retired().cancelled() => return false,
    };
    match checked.map_err(SinkError::of_a_question) {
        Err(SinkError::Unavailable { retry_after, .. }) => {
            shared.breaker.record_failure(retry_after);
            false
        }
        Ok(()) | Err(_) => true,
    }
}

fn row(shared: &Shared, work: &Work, progress: Progress, reason: Option<String>) -> JournalRow {
    let begins = progress == Progress::Started && reason.is_none();
    JournalRow {
        key: work.key.clone(),
        rule: work.rule.clone(),
        progress,
        reason,
        at: shared.clock.now(),
        attempts: work.failures + 1,
        unclean_runs: work.unclean_runs + u32::from(begins && shared.is_careful()),
    }
}
