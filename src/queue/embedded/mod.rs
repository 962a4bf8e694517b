//! The embedded queue: one process, no server, a log on the local disk.
//!
//! ```text
//! publish ──encode──> bounded channel ──> writer thread ── one sync per group ──> tail (memory) ──> lanes
//!                                            log ──────────────────────> reader thread ────┘
//!                                             └── retention ──> purge thread
//! ```
//! Promises the contract of `queue`; a second process is refused; below `min_free` it is `Full`, and recovers by itself.
//! `publish` answers when the disk does: who cannot wait that long limits the wait, and then does not know what became of it.

mod cursors;
mod disk;
mod entry;
mod lane;
mod log;
mod reader;
mod remains;
mod settings;
mod tail;
mod writer;

pub use disk::{Look, look};
pub use settings::Settings;

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::cursors::{Place, Places};
use self::disk::Disk;
use self::entry::Entry;
use self::lane::EmbeddedSubscription;
use self::log::Log;
use self::reader::{Read, Reader};
use self::settings::Files;
use self::tail::Tail;
use self::writer::{Answer, Publication, Request, Writer};
use super::{Backlog, PublishError, Queue, QueueError, Subscription};
use crate::clock::Timestamp;
use crate::event::{Detail, Envelope, LaneCount, LaneId, Position, Renew};
use crate::setting::SinkName;

/// What may wait for the writer, in KiB: as much as the receiver lets in at a time.
const WAITING_KIB: u32 = 64 << 10;
/// The least a request counts, so that the channel has room for all that may wait.
const REQUEST_KIB: u32 = 64;
const REQUESTS_MAX: usize = (WAITING_KIB / REQUEST_KIB) as usize;

const CLOSED: &str = "it is closed";

pub struct Embedded {
    shared: Arc<Shared>,
    requests: SyncSender<Request>,
    waiting: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Embedded {
    /// Reads the log; a million waiting events take about a second. The directory is made if need be.
    ///
    /// With `renew` the log holds events in brief, and only who has it can read them: it must be the same for a directory ever after.
    pub fn open(settings: &Settings, dir: &Path, renew: Option<Renew>) -> Result<Self, QueueError> {
        let log_dir = dir.join("log");
        std::fs::create_dir_all(&log_dir).map_err(|err| unusable(dir, &err))?;
        // The engine's files are readable by all, and raw bodies are not for all.
        #[cfg(unix)]
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(|err| unusable(dir, &err))?;
        let lock = disk::lock(dir)?;
        let disk = Disk::new(dir, settings)?;
        let total = disk::room_of(dir).map_err(|err| unusable(dir, &err))?.total;
        let log = Arc::new(Log::open(&log_dir, settings.lanes, Files::for_disk(total), lock)?);
        for made in [log_dir.as_path(), dir].into_iter().chain(dir.parent().filter(|parent| !parent.as_os_str().is_empty())) {
            sync_dir(made).map_err(|err| unusable(made, &err))?;
        }

        let closing = CancellationToken::new();
        let (reader, reading) = Reader::new(Arc::clone(&log), renew);
        let tail = |lane| Tail::new(log.last(lane), settings.ring_events, settings.ring_size.length());
        let shared = Arc::new(Shared {
            lanes: settings.lanes,
            identity: log.identity(),
            renew,
            tails: settings.lanes.lanes().map(tail).collect(),
            places: Places::read(&log, settings.lanes, &closing),
            disk,
            inside: RwLock::new(Some(Inside { log: Arc::clone(&log), reader })),
            closing,
        });
        let (requests, asked) = sync_channel(REQUESTS_MAX);
        let threads = start(&shared, &log, asked, reading, settings.unclaimed_after.0).map_err(|err| unusable(dir, &err))?;
        let waiting = Arc::new(Semaphore::new(WAITING_KIB as usize));
        Ok(Self { shared, requests, waiting, threads: Mutex::new(threads) })
    }

    /// Whether anything of a lane waits for a sink that has a place here.
    pub(super) fn waits(&self, sink: &SinkName, lane: LaneId) -> bool {
        self.shared.places.get(sink).is_some_and(|place| place.passed(lane) < self.shared.tail(lane).last())
    }

    /// A share of what may wait; waits for it in turn.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes >> 10).unwrap_or(WAITING_KIB).clamp(REQUEST_KIB, WAITING_KIB);
        Arc::clone(&self.waiting).acquire_many_owned(kib).await.ok()
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, QueueError> {
        let (to, answered) = oneshot::channel();
        let room = self.room(0).await.ok_or_else(closed)?;
        self.requests.try_send(request(Answer { to, _room: Some(room) })).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    fn join(&self) -> impl FnOnce() + Send + 'static {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let shared = Arc::clone(&self.shared);
        move || {
            drop(shared.inside.write().unwrap_or_else(PoisonError::into_inner).take());
            for thread in threads {
                // A panic of those that write would have ended the process.
                drop(thread.join());
            }
        }
    }
}

#[async_trait]
impl Queue for Embedded {
    fn lanes(&self) -> LaneCount {
        self.shared.lanes
    }

    fn identity(&self) -> Option<String> {
        self.shared.identity.clone()
    }

    fn detail(&self) -> Detail {
        if self.shared.renew.is_some() { Detail::Brief } else { Detail::Whole }
    }

    async fn publish(&self, batch: Vec<Arc<Envelope>>) -> Result<(), PublishError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let lane = first.event.partition_key.lane(self.shared.lanes);
        debug_assert!(batch.iter().all(|envelope| envelope.event.partition_key == first.event.partition_key), "one partition key");
        let head = match self.detail() {
            Detail::Brief => Envelope::encode_brief_head,
            Detail::Whole => Envelope::encode_head,
        };
        let entries: Vec<Entry> = batch.iter().map(|envelope| Entry::new(head(envelope), envelope.raw.clone())).collect();
        let bytes = entries.iter().map(Entry::length).sum();
        let gone = || PublishError::Unavailable(CLOSED.to_owned());
        let room = self.room(bytes).await.ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        let publication = Publication { lane, envelopes: batch, entries, bytes, answer, room };
        self.requests.try_send(Request::Publish(publication)).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn subscribe(&self, sink: &SinkName) -> Result<Box<dyn Subscription>, QueueError> {
        let claim = self.ask(|answer| Request::Subscribe { sink: sink.clone(), answer }).await?;
        Ok(Box::new(EmbeddedSubscription { shared: Arc::clone(&self.shared), claim }))
    }

    async fn forget(&self, sink: &SinkName) -> Result<(), QueueError> {
        self.ask(|answer| Request::Forget { sink: sink.clone(), answer }).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, QueueError> {
        let mut backlog = Vec::new();
        for place in self.shared.places.all() {
            for lane in self.shared.lanes.lanes() {
                backlog.push(self.shared.backlog(&place, lane).await?);
            }
        }
        Ok(backlog)
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId) -> Result<Option<Position>, QueueError> {
        let place = self.shared.places.get(sink).filter(|_| lane.0 < self.shared.lanes.get());
        Ok(place.map(|place| Position(place.passed(lane))))
    }

    async fn check(&self) -> Result<(), QueueError> {
        if self.shared.closing.is_cancelled() {
            return Err(closed());
        }
        self.shared.disk.admits(0).map_err(QueueError::Full)
    }

    async fn close(&self, deadline: Duration) -> Result<(), QueueError> {
        let until = Instant::now() + deadline;
        let late = |_| QueueError::Unavailable(format!("it did not close within {deadline:?}, so some events will be shown again"));
        self.shared.closing.cancel();
        if self.waiting.is_closed() {
            return Ok(());
        }
        let asked = tokio::time::timeout_at(until, self.ask(|answer| Request::Close { answer })).await.map_err(late)?;
        self.waiting.close();
        let joined = tokio::task::spawn_blocking(self.join());
        drop(tokio::time::timeout_at(until, joined).await.map_err(late)?);
        asked
    }
}

impl Drop for Embedded {
    /// For whoever did not close: the lock must be free when this is gone.
    fn drop(&mut self) {
        self.shared.closing.cancel();
        let (to, _) = oneshot::channel();
        // The writer takes what waits, so this waits no longer than a publication does.
        drop(self.requests.send(Request::Close { answer: Answer { to, _room: None } }));
        self.join()();
    }
}

/// What the writer and all readers know.
struct Shared {
    lanes: LaneCount,
    identity: Option<String>,
    renew: Option<Renew>,
    tails: Vec<Tail>,
    places: Places,
    disk: Disk,
    inside: RwLock<Option<Inside>>,
    closing: CancellationToken,
}

/// What is let go of when the queue is closed.
struct Inside {
    log: Arc<Log>,
    reader: Reader,
}

impl Shared {
    fn tail(&self, lane: LaneId) -> &Tail {
        self.tails.get(usize::from(lane.0)).expect("a lane of this queue")
    }

    fn inside<T>(&self, get: impl FnOnce(&Inside) -> T) -> Option<T> {
        self.inside.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(get)
    }

    fn reader(&self) -> Result<Reader, QueueError> {
        self.inside(|inside| inside.reader.clone()).ok_or(QueueError::Lost)
    }

    async fn backlog(&self, place: &Place, lane: LaneId) -> Result<Backlog, QueueError> {
        let first = self.inside(|inside| inside.log.first(lane)).ok_or_else(closed)?;
        // The cursor first: it never overtakes the end that is asked for afterwards.
        let passed = place.passed(lane).max(first - 1);
        let waiting = self.tail(lane).last().saturating_sub(passed);
        let oldest = if waiting > 0 { self.received_at(place, lane, passed + 1).await } else { None };
        Ok(Backlog { sink: place.sink.clone(), lane, waiting, oldest })
    }

    /// What has left memory is read from the log once, however often it is asked for.
    async fn received_at(&self, place: &Place, lane: LaneId, position: u64) -> Option<Timestamp> {
        let known = self.tail(lane).received_at(position).or_else(|| place.oldest(lane, position));
        if known.is_some() {
            return known;
        }
        let read = self.reader().ok()?.read(Read { lane, from: position, end: position + 1, bytes: 0 }).await;
        let found = read.ok()?.first().map(|seen| seen.envelope.event.data.received_at);
        place.found_oldest(lane, position, found);
        found
    }
}

fn start(
    shared: &Arc<Shared>,
    log: &Arc<Log>,
    asked: Receiver<Request>,
    reading: impl FnOnce() + Send + 'static,
    unclaimed_after: Duration,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    // One that waits is enough: a purge frees whatever there is.
    let (purge, wanted) = sync_channel(1);
    let writer = Writer::new(Arc::clone(shared), Arc::clone(log), purge, unclaimed_after);
    let (shared, log) = (Arc::clone(shared), Arc::clone(log));
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    Ok(vec![
        named("queue-writer").spawn(move || writer.run(&asked))?,
        named("queue-reader").spawn(reading)?,
        named("queue-purge").spawn(move || writer::purge(&log, &shared, &wanted))?,
    ])
}

fn closed() -> QueueError {
    QueueError::Unavailable(CLOSED.to_owned())
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

fn unusable(dir: &Path, err: &std::io::Error) -> QueueError {
    QueueError::Unusable(format!("`{}` cannot be used for the queue: {err}; check that the directory may be written", dir.display()))
}
