//! A sink that does what its script says and remembers what it saw.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ticketwire::setting::SinkName;
use ticketwire::sink::{Enriched, Receipt, Scope, Sink, SinkError, Traits};
use tokio::time::Instant;

use super::world::number_of;

/// How one delivery goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It takes so long.
    Slow(Duration),
    Down,
    Limited(Option<Duration>),
    Failed,
    Refused,
    Revoked,
    Panic,
    /// It is taken, and the answer is lost.
    Unanswered,
}

#[derive(Debug, Clone)]
pub struct Success {
    pub target: String,
    pub issue: String,
    pub number: u32,
    pub generation: u32,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub number: u32,
    pub fault: Fault,
    pub at: Instant,
}

#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Call>,
    pub successes: Vec<Success>,
    /// Of all batches.
    pub largest: usize,
    /// Until when a target asked to be left alone, and since when.
    limited: HashMap<String, (Instant, Instant)>,
    /// By how much the machine was late at most to go on with something.
    late: Duration,
    /// What delivery did that it must not.
    pub wrong: Vec<String>,
}

type Script = Box<dyn FnMut(&str, u32) -> Fault + Send>;

pub struct Scripted {
    name: SinkName,
    traits: Traits,
    script: Mutex<Script>,
    seen: Mutex<Seen>,
    /// How many questions whether it is there get no answer from now on.
    silent_checks: AtomicU32,
}

/// Calls that were under way when a target asked to be left alone.
const GRACE: Duration = Duration::from_millis(500);

impl Scripted {
    pub fn new(name: &str, traits: Traits, script: impl FnMut(&str, u32) -> Fault + Send + 'static) -> Self {
        let script: Mutex<Script> = Mutex::new(Box::new(script));
        Self { name: super::world::name(name), traits, script, seen: Mutex::default(), silent_checks: AtomicU32::default() }
    }

    pub fn silence_checks(&self, count: u32) {
        self.silent_checks.store(count, Ordering::Relaxed);
    }

    pub fn silent_checks(&self) -> u32 {
        self.silent_checks.load(Ordering::Relaxed)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> usize {
        self.seen().calls.len()
    }

    /// The numbers that a target took, in order.
    pub fn taken(&self, target: &str) -> Vec<u32> {
        self.seen().successes.iter().filter(|success| success.target == target).map(|success| success.number).collect()
    }

    pub fn calls_of(&self, number: u32) -> Vec<Call> {
        self.seen().calls.iter().filter(|call| call.number == number).cloned().collect()
    }

    /// What a target asked for is not known to the next process.
    pub fn forget_limits(&self) {
        self.seen().limited.clear();
    }

    pub fn late(&self) -> Duration {
        self.seen().late
    }

    pub fn note_late(&self, late: Duration) {
        let mut seen = self.seen();
        seen.late = seen.late.max(late);
    }

    fn ask(&self, delivery: &Enriched) -> Fault {
        let number = number_of(&delivery.event.id);
        let fault = (self.script.lock().unwrap_or_else(PoisonError::into_inner))(&delivery.target, number);
        let now = Instant::now();
        let mut seen = self.seen();
        if let Some((since, until)) = seen.limited.get(&*delivery.target).copied()
            && now > since + GRACE + seen.late
            && now < until
        {
            seen.wrong.push(format!("{number} came to {} {:?} before its time", delivery.target, until - now));
        }
        if let Fault::Limited(Some(span)) = fault {
            let until = seen.limited.get(&*delivery.target).map_or(now + span, |known| known.1.max(now + span));
            seen.limited.insert(delivery.target.to_string(), (now, until));
        }
        seen.calls.push(Call { number, fault: fault.clone(), at: now });
        fault
    }

    /// The effect happens before the answer, as with a real sink.
    fn take(&self, delivery: &Enriched) {
        let success = Success {
            target: delivery.target.to_string(),
            issue: delivery.event.partition_key.to_string(),
            number: number_of(&delivery.event.id),
            generation: delivery.generation,
        };
        self.seen().successes.push(success);
    }
}

fn unavailable(scope: Scope, retry_after: Option<Duration>) -> Result<Receipt, SinkError> {
    Err(SinkError::Unavailable { scope, retry_after, reason: "not now".into() })
}

#[async_trait]
impl Sink for Scripted {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        // A batch is all or nothing, as one request is: its first delivery decides, but for what is wrong with one alone.
        {
            let mut seen = self.seen();
            seen.largest = seen.largest.max(batch.len());
        }
        let faults: Vec<Fault> = batch.iter().map(|delivery| self.ask(delivery)).collect();
        assert!(!faults.contains(&Fault::Panic), "as the script says");
        let whole = faults.iter().find(|fault| !matches!(fault, Fault::None | Fault::Slow(_) | Fault::Refused)).cloned();
        let slow = faults.iter().find_map(|fault| if let Fault::Slow(span) = fault { Some(*span) } else { None });
        let mut answers = Vec::new();
        for (delivery, fault) in batch.iter().zip(faults) {
            answers.push(match whole.clone().unwrap_or(fault) {
                Fault::Down => unavailable(Scope::Sink, None),
                Fault::Limited(span) => unavailable(Scope::Target, span),
                Fault::Failed => Err(SinkError::Failed { reason: "something odd".into() }),
                Fault::Refused => Err(SinkError::Refused { scope: Scope::Target, reason: "no such channel".into() }),
                Fault::Revoked => Err(SinkError::Refused { scope: Scope::Sink, reason: "the token was revoked".into() }),
                Fault::Unanswered => {
                    self.take(delivery);
                    Err(SinkError::Unanswered { reason: "no answer in time".into() })
                }
                Fault::None | Fault::Slow(_) | Fault::Panic => {
                    self.take(delivery);
                    Ok(Receipt::default())
                }
            });
        }
        // The answer comes late: a crash in between loses it.
        tokio::time::sleep(slow.unwrap_or_default()).await;
        answers
    }

    async fn check(&self) -> Result<(), SinkError> {
        match self.silent_checks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(SinkError::Unanswered { reason: "no answer in time".into() }),
            Err(_) => Ok(()),
        }
    }
}

/// One at a time, and twice is harmful: as a chat is.
pub fn chat() -> Traits {
    Traits { repeatable: false, records_itself: false, batch: 1, for_people: true }
}

/// Many at once, and twice is harmless: as a file is.
pub fn file() -> Traits {
    Traits { repeatable: true, records_itself: false, batch: 8, for_people: false }
}
