//! Events as lines, one writer for many lanes.
//!
//! Batches that arrive while a write is under way are written together by the next one, so that lanes share the cost of reaching
//! the disk. A caller is answered once its own lines are where they belong, or with the reason why they are not. Nothing is tried
//! again here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Enriched, Receipt, Scope, SinkError};
use crate::event::structured;

const ENDED: &str = "the writer ended before it answered";

/// Where lines go.
pub(super) trait Append: Send + 'static {
    /// Writes whole lines: all of them, or as few as the medium allows. Err: the reason, for people.
    fn append(&mut self, lines: &[u8]) -> Result<(), String>;

    /// Whether it could.
    fn check(&mut self) -> Result<(), String>;
}

pub(super) struct Lines<A> {
    shared: Arc<Shared<A>>,
    /// Whoever holds it writes for all that wait. It orders callers and protects no data, so it may be held while waiting.
    turn: tokio::sync::Mutex<()>,
    include_raw: bool,
}

struct Shared<A> {
    waiting: Mutex<Vec<Waiting>>,
    writer: Mutex<A>,
}

struct Waiting {
    lines: Vec<u8>,
    answer: oneshot::Sender<Result<(), String>>,
}

impl<A: Append> Lines<A> {
    pub fn new(writer: A, include_raw: bool) -> Self {
        let shared = Shared { waiting: Mutex::default(), writer: Mutex::new(writer) };
        Self { shared: Arc::new(shared), turn: tokio::sync::Mutex::default(), include_raw }
    }

    /// The batch goes whole or not at all, so all its answers are alike.
    pub async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let mut lines = Vec::new();
        for delivery in batch {
            lines.extend_from_slice(&structured(&delivery.envelope, &delivery.event, self.include_raw));
            lines.push(b'\n');
        }
        let outcome = self.append(lines).await.map(|()| Receipt::default()).map_err(unavailable);
        vec![outcome; batch.len()]
    }

    pub async fn check(&self) -> Result<(), SinkError> {
        let shared = Arc::clone(&self.shared);
        let checked = tokio::task::spawn_blocking(move || held(&shared.writer).check()).await;
        checked.unwrap_or_else(|_| Err(ENDED.to_owned())).map_err(unavailable)
    }

    async fn append(&self, lines: Vec<u8>) -> Result<(), String> {
        if lines.is_empty() {
            return Ok(());
        }
        let (answer, mut told) = oneshot::channel();
        held(&self.shared.waiting).push(Waiting { lines, answer });
        let _turn = self.turn.lock().await;
        if let Ok(outcome) = told.try_recv() {
            return outcome;
        }
        // A caller that goes away does not stop this: the answers are given by the thread that wrote.
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || shared.write_waiting()).await;
        written.map_err(|_| ENDED.to_owned())?;
        told.await.unwrap_or_else(|_| Err(ENDED.to_owned()))
    }
}

impl<A: Append> Shared<A> {
    fn write_waiting(&self) {
        // The writer first: who has it and finds nothing waiting knows that everything before has been answered.
        let mut writer = held(&self.writer);
        let mut group = std::mem::take(&mut *held(&self.waiting));
        // Nobody waits for these any more, and whoever takes the lane next brings them again.
        group.retain(|waiting| !waiting.answer.is_closed());
        let outcome = match group.as_slice() {
            [] => return,
            [one] => writer.append(&one.lines),
            many => writer.append(&many.iter().map(|waiting| waiting.lines.as_slice()).collect::<Vec<_>>().concat()),
        };
        for waiting in group {
            // Err: the caller has gone away meanwhile.
            let _ = waiting.answer.send(outcome.clone());
        }
    }
}

/// After a panic the callers were told that the writer ended; the next write starts from what the medium holds.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(reason: String) -> SinkError {
    SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    /// Remembers each write, and fails the ones it is told to.
    struct Recorder {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        fail: bool,
    }

    impl Append for Recorder {
        fn append(&mut self, lines: &[u8]) -> Result<(), String> {
            if self.fail {
                return Err("no".to_owned());
            }
            held(&self.writes).push(lines.to_vec());
            Ok(())
        }

        fn check(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn batches_that_wait_are_written_together() {
        let writes = Arc::default();
        let lines = Lines::new(Recorder { writes: Arc::clone(&writes), fail: false }, false);
        let turn = lines.turn.lock().await;
        let mut calls = Box::pin(join_all((0..8).map(|n| lines.append(format!("{n}\n").into_bytes()))));
        assert!(futures_util::poll!(&mut calls).is_pending());
        drop(turn);
        assert!(calls.await.into_iter().all(|outcome| outcome.is_ok()));
        assert_eq!(*held(&writes), [b"0\n1\n2\n3\n4\n5\n6\n7\n".to_vec()]);
    }

    #[tokio::test]
    async fn who_went_away_is_not_written_for() {
        let writes = Arc::default();
        let lines = Lines::new(Recorder { writes: Arc::clone(&writes), fail: false }, false);
        let turn = lines.turn.lock().await;
        let mut gone = Box::pin(lines.append(b"gone\n".to_vec()));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop((gone, turn));
        assert_eq!(lines.append(b"here\n".to_vec()).await, Ok(()));
        assert_eq!(*held(&writes), [b"here\n".to_vec()]);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_every_delivery_of_the_batch() {
        let lines = Lines::new(Recorder { writes: Arc::default(), fail: true }, false);
        let outcomes = lines.deliver(&[super::super::sample::enriched(1), super::super::sample::enriched(2)]).await;
        assert_eq!(outcomes, vec![Err(unavailable("no".to_owned())); 2]);
        assert!(lines.deliver(&[]).await.is_empty());
    }
}
