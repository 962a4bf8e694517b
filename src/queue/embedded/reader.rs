//! The one thread that reads the log, for sinks that fell behind.
//!
//! The engine caches its last block per thread under a key that does not name the log: on a shared thread the blocks of two queues in
//! one process would be taken for each other. A thread of its own also keeps a single block in memory, not one per blocking thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::log::{Log, unreadable};
use crate::event::{Envelope, LaneId, Position, Renew};
use crate::queue::{QueueError, Seen};

/// Readers beyond these wait in turn.
const WAITING_MAX: usize = 64;

/// Positions `from` to before `end` of a lane: at least one, then up to `bytes`.
pub(super) struct Read {
    pub(super) lane: LaneId,
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) bytes: usize,
}

/// Where to ask. The thread ends when all are gone.
#[derive(Clone)]
pub(super) struct Reader {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    read: Read,
    answer: oneshot::Sender<Result<Vec<Seen>, QueueError>>,
}

impl Reader {
    /// The asking end, and the work of the thread.
    pub(super) fn new(log: Arc<Log>, renew: Option<Renew>) -> (Self, impl FnOnce() + Send + 'static) {
        let (asks, mut asked) = mpsc::channel::<Ask>(WAITING_MAX);
        let work = move || {
            while let Some(Ask { read, answer }) = asked.blocking_recv() {
                // Whoever does not wait any more needs no answer.
                if !answer.is_closed() {
                    drop(answer.send(seen(&log, &read, renew)));
                }
            }
        };
        (Self { asks }, work)
    }

    /// Given up, it leaves the read to end by itself: nothing was changed.
    pub(super) async fn read(self, read: Read) -> Result<Vec<Seen>, QueueError> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { read, answer }).await.map_err(|_| QueueError::Lost)?;
        drop(self);
        answered.await.unwrap_or(Err(QueueError::Lost))
    }
}

/// Up to the first that cannot be decoded; Err if that is the first of all.
fn seen(log: &Log, read: &Read, renew: Option<Renew>) -> Result<Vec<Seen>, QueueError> {
    let &Read { lane, from, end, bytes } = read;
    let entries = catch_unwind(AssertUnwindSafe(|| log.read(lane, from, end, bytes)));
    let entries = entries.unwrap_or_else(|_| Err(unreadable(lane, from, "the log contradicts itself")))?;
    let mut seen = Vec::with_capacity(entries.len());
    for (position, bytes) in entries {
        let decoded = renew.map_or_else(|| Envelope::decode(&bytes), |renew| Envelope::decode_any(&bytes, renew));
        match decoded {
            Ok(envelope) => seen.push(Seen { position: Position(position), envelope: Arc::new(envelope) }),
            Err(err) if seen.is_empty() => return Err(unreadable(lane, position, &err.to_string())),
            Err(_) => break,
        }
    }
    if seen.is_empty() { Err(unreadable(lane, from, "the log has nothing there")) } else { Ok(seen) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::LaneCount;
    use crate::queue::embedded::disk;
    use crate::queue::embedded::entry::Entry;
    use crate::queue::embedded::log::Batch;
    use crate::queue::embedded::settings::Files;

    #[tokio::test]
    async fn what_cannot_be_decoded_is_named_and_never_skipped() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = disk::lock(dir.path()).expect("a lock");
        let log = Arc::new(Log::open(dir.path(), LaneCount::default(), Files::for_disk(1 << 30), lock).expect("a log"));
        let mut batch = Batch::default();
        // An envelope of a later format, one that ends too early, and a position that does not exist.
        let mut entries = [Entry::new(vec![9, 0, 0], Bytes::new()), Entry::new(vec![1, 255], Bytes::new())];
        batch.append(LaneId(3), 1, &mut entries).expect("fits");
        log.write(&mut batch, true).expect("written");
        let (reader, work) = Reader::new(log, None);
        let thread = std::thread::spawn(work);
        for (from, why) in [(1, "format 9"), (2, "ends too early"), (3, "Not Found")] {
            let read = reader.clone().read(Read { lane: LaneId(3), from, end: from + 1, bytes: 0 });
            let QueueError::Unusable(text) = read.await.expect_err("unreadable") else { panic!("position {from}") };
            assert!(text.contains(&format!("position {from} of lane 3")) && text.contains(why), "{text}");
        }
        drop(reader);
        thread.join().expect("the thread ended");
    }
}
