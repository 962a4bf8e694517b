//! The one thread that writes: takes whatever waits, commits it with one sync, then answers every caller (group commit).
//!
//! It alone numbers positions, makes and forgets places, writes cursors down and lets go of what every sink has passed.
//! A panic in it (a failed sync above all) ends the process: what is on disk is not known any more, and a restart finds out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::Shared;
use super::cursors::{Claim, Place};
use super::entry::Entry;
use super::log::{Batch, Log, WriteError};
use crate::event::{Envelope, LaneId};
use crate::queue::{PublishError, QueueError};
use crate::setting::SinkName;

/// Cursors are written this often; what a crash takes back is shown again.
const TEND_EVERY: Duration = Duration::from_millis(250);
/// The engine counts calls that free nothing and then rewrites the backlog: not too many of them.
const PURGE_EVERY: Duration = Duration::from_secs(5);
const PURGE_EVERY_WHEN_BUSY: Duration = Duration::from_millis(500);
/// After so much was written a purge is worth its while: files that are used again are synced faster than new ones.
const BUSY_BYTES: usize = 64 << 20;
/// After a group of this many, most of its senders come again at once: a moment's wait lets one sync cover more of them.
const CROWD: usize = 8;
const CROWD_WAIT: Duration = Duration::from_micros(200);
/// What one sync may cover at most.
const GROUP_REQUESTS: usize = 512;
const GROUP_BYTES: usize = 8 << 20;
/// What is written together is read together: larger blocks make single reads slow.
const BLOCK_EVENTS: usize = 32;
const BLOCK_BYTES: usize = 256 << 10;

pub(super) enum Request {
    Publish(Publication),
    Subscribe { sink: SinkName, answer: Answer<Arc<Claim>> },
    Forget { sink: SinkName, answer: Answer<()> },
    Close { answer: Answer<()> },
}

/// Where an answer goes, and the share of what may wait that the question took.
pub(super) struct Answer<T> {
    pub(super) to: oneshot::Sender<Result<T, QueueError>>,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl<T> Answer<T> {
    fn send(self, answer: Result<T, QueueError>) {
        // Who asked may have gone.
        drop(self.to.send(answer));
    }
}

/// One call of `publish`, encoded by its caller.
pub(super) struct Publication {
    pub(super) lane: LaneId,
    pub(super) envelopes: Vec<Arc<Envelope>>,
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
    /// Its share of the bytes that may wait.
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    log: Arc<Log>,
    purge: SyncSender<()>,
    /// The last position of every lane in the log.
    last: Vec<u64>,
    /// What every lane was told to let go of.
    low: Vec<u64>,
    batch: Batch,
    unclaimed_after: Duration,
    tended: Instant,
    purged: Instant,
    must_purge: bool,
    /// Bytes since the last purge.
    written: usize,
    /// The last group was a large one.
    is_crowded: bool,
    is_failing: bool,
}

/// Cursors and retention marks in a batch; they take effect once the batch is durable.
#[derive(Default)]
struct Staged {
    cursors: Vec<(Arc<Place>, LaneId, u64)>,
    lows: Vec<(LaneId, u64)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, log: Arc<Log>, purge: SyncSender<()>, unclaimed_after: Duration) -> Self {
        let last = shared.lanes.lanes().map(|lane| log.last(lane)).collect();
        let low = shared.lanes.lanes().map(|lane| log.first(lane)).collect();
        let now = Instant::now();
        Self {
            shared,
            log,
            purge,
            last,
            low,
            batch: Batch::default(),
            unclaimed_after,
            tended: now,
            purged: now,
            must_purge: false,
            written: 0,
            is_crowded: false,
            is_failing: false,
        }
    }

    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        or_abort("writer", || self.serve(requests));
    }

    /// Until it is closed or nobody can ask any more.
    fn serve(&mut self, requests: &Receiver<Request>) {
        loop {
            let wait = TEND_EVERY.saturating_sub(self.tended.elapsed());
            let mut next = match requests.recv_timeout(wait) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if self.is_crowded && matches!(next, Some(Request::Publish(_))) {
                std::thread::sleep(CROWD_WAIT);
            }
            let (mut group, mut bytes) = (Vec::new(), 0);
            while let Some(Request::Publish(publication)) = next {
                bytes += publication.bytes;
                group.push(publication);
                let is_enough = group.len() >= GROUP_REQUESTS || bytes >= GROUP_BYTES;
                next = if is_enough { None } else { requests.try_recv().ok() };
            }
            self.is_crowded = group.len() >= CROWD;
            self.written += bytes;
            self.commit(group);
            match next {
                Some(Request::Subscribe { sink, answer }) => answer.send(self.subscribe(sink)),
                Some(Request::Forget { sink, answer }) => answer.send(self.forget(&sink)),
                Some(Request::Close { answer }) => return answer.send(self.finish()),
                Some(Request::Publish(_)) | None => {}
            }
            if self.tended.elapsed() >= TEND_EVERY {
                self.tend();
            }
        }
        if let Err(err) = self.finish() {
            tracing::warn!("the last cursors of the queue were not written, so some events will be shown again: {err}");
        }
    }

    fn commit(&mut self, mut group: Vec<Publication>) {
        if group.is_empty() {
            return;
        }
        if let Err(why) = self.shared.disk.admits(group.iter().map(|publication| publication.bytes).sum()) {
            return answer_all(group, &Err(PublishError::Full(why)));
        }
        // Lanes together: who falls behind in one reads fewer blocks. The sort is stable, so each lane keeps its order.
        group.sort_by_key(|publication| publication.lane);
        let mut blocks = blocks(group).into_iter().peekable();
        let mut stored = Vec::new();
        while let Some(block) = blocks.next() {
            let is_last = blocks.peek().is_none();
            match self.write_block(block, is_last) {
                Ok(block) => stored.extend(block),
                Err((block, err)) => {
                    let answer = Err(self.refusal(&err));
                    answer_all(block, &answer);
                    blocks.by_ref().for_each(|block| answer_all(block, &answer));
                    return self.seal(stored);
                }
            }
        }
        self.show(stored);
    }

    /// Writes publications as one block: each is kept whole or not at all.
    fn write_block(&mut self, mut block: Vec<Publication>, sync: bool) -> Result<Vec<Publication>, (Vec<Publication>, WriteError)> {
        let mut last = self.last.clone();
        for publication in &mut block {
            let lane = publication.lane;
            let end = last.get_mut(usize::from(lane.0)).expect("a lane of this queue");
            if let Err(err) = self.batch.append(lane, *end + 1, &mut publication.entries) {
                self.batch = Batch::default();
                return Err((block, err));
            }
            *end += publication.entries.len() as u64;
        }
        // The engine would cut off what is newer, or break at a gap.
        for lane in self.shared.lanes.lanes() {
            let (before, after) = (self.last_of(lane), last.get(usize::from(lane.0)).copied().unwrap_or_default());
            assert!(before == after || before == self.log.last(lane), "lane {lane} does not go on where its log ends");
        }
        let is_due = sync && self.tended.elapsed() >= TEND_EVERY;
        let staged = if is_due { self.stage() } else { Staged::default() };
        match self.write(sync) {
            Ok(()) => {
                self.last = last;
                self.confirm(staged);
                Ok(block)
            }
            Err(err) => Err((block, err)),
        }
    }

    /// After a fault: makes durable what was written before it, or says that it may not be.
    fn seal(&mut self, stored: Vec<Publication>) {
        if stored.is_empty() {
            return;
        }
        self.batch.seal(self.shared.lanes);
        match self.write(true) {
            Ok(()) => self.show(stored),
            Err(err) => answer_all(stored, &Err(PublishError::Unavailable(err.to_string()))),
        }
    }

    /// Durable now: shows it to the sinks, then answers.
    fn show(&mut self, stored: Vec<Publication>) {
        let places = self.shared.places.all();
        for of_lane in stored.chunk_by(|a, b| a.lane == b.lane) {
            let Some(lane) = of_lane.first().map(|publication| publication.lane) else { continue };
            let tail = self.shared.tail(lane);
            let shown = of_lane.iter().flat_map(|publication| publication.envelopes.iter().cloned().zip(sizes(publication)));
            tail.push(shown, self.last_of(lane));
            // Trimmed at once, so that the memory is used again while it is still in the processor's cache.
            tail.trim(self.passed_by_all(&places, lane));
        }
        answer_all(stored, &Ok(()));
    }

    fn refusal(&mut self, err: &WriteError) -> PublishError {
        tracing::error!("the queue cannot write: {err}");
        match err {
            WriteError::Full => PublishError::Full(self.shared.disk.met_full()),
            WriteError::Other(why) => PublishError::Unavailable(why.clone()),
        }
    }

    /// Between two commits, so a new name starts exactly at the end.
    fn subscribe(&mut self, sink: SinkName) -> Result<Arc<Claim>, QueueError> {
        if let Some(place) = self.shared.places.get(&sink) {
            self.bring_back(&place);
            return Ok(Claim::new(place));
        }
        let place = Arc::new(Place::new(sink, self.shared.lanes, &self.shared.closing, |lane| self.last_of(lane)));
        let mut cursors = Vec::new();
        for lane in self.shared.lanes.lanes() {
            cursors.extend(place.put(lane, &mut self.batch).map(|cursor| (Arc::clone(&place), lane, cursor)));
        }
        self.write(true).map_err(|err| QueueError::Unavailable(err.to_string()))?;
        self.confirm(Staged { cursors, lows: Vec::new() });
        let claim = Claim::new(Arc::clone(&place));
        self.shared.places.insert(place);
        Ok(claim)
    }

    /// A place that was unclaimed for long may stand before what is still there.
    fn bring_back(&self, place: &Place) {
        for lane in self.shared.lanes.lanes() {
            let (passed, first) = (place.passed(lane), self.log.first(lane));
            if passed + 1 < first {
                let (sink, gone) = (&place.sink, first - 1 - passed);
                tracing::warn!(%sink, lane = lane.0, "sink `{sink}` was away for long: {gone} events of lane {lane} are in the archive only");
                place.pass(lane, first - 1);
            }
        }
    }

    fn forget(&mut self, sink: &SinkName) -> Result<(), QueueError> {
        let Some(place) = self.shared.places.get(sink) else { return Ok(()) };
        for lane in self.shared.lanes.lanes() {
            self.batch.remove_cursor(lane, sink);
        }
        self.write(true).map_err(|err| QueueError::Unavailable(err.to_string()))?;
        place.owners.taken().cancel();
        self.shared.places.remove(sink);
        Ok(())
    }

    /// Writes cursors down, lets go of what all have passed, and looks after the disk.
    fn tend(&mut self) {
        let staged = self.stage();
        if !self.batch.is_empty() {
            match self.write(false) {
                Ok(()) => {
                    self.is_failing = false;
                    self.confirm(staged);
                }
                Err(err) if !self.is_failing => {
                    self.is_failing = true;
                    tracing::warn!("the cursors of the queue cannot be written, so a crash would show more events again: {err}");
                }
                Err(_) => {}
            }
        }
        self.shared.disk.look(true);
        let is_busy = self.written >= BUSY_BYTES || self.shared.disk.admits(0).is_err();
        let every = if is_busy { PURGE_EVERY_WHEN_BUSY } else { PURGE_EVERY };
        if self.must_purge && self.purged.elapsed() >= every {
            self.written = 0;
            // A purge that is still at work will be asked again.
            self.must_purge = self.purge.try_send(()).is_err();
            self.purged = Instant::now();
        }
    }

    /// Cursors and retention go into one batch: what is let go was passed in what a restart reads.
    fn stage(&mut self) -> Staged {
        self.tended = Instant::now();
        let places = self.shared.places.all();
        let mut staged = Staged::default();
        for lane in self.shared.lanes.lanes() {
            // The mark first: the cursor that is put can only be further.
            let low = self.passed_by_all(&places, lane);
            for place in &places {
                staged.cursors.extend(place.put(lane, &mut self.batch).map(|cursor| (Arc::clone(place), lane, cursor)));
            }
            self.shared.tail(lane).trim(low);
            if self.low.get(usize::from(lane.0)).is_some_and(|known| low > *known) {
                self.batch.let_go_before(lane, low);
                staged.lows.push((lane, low));
            }
        }
        staged
    }

    /// Up to where nobody needs a lane any more.
    fn passed_by_all(&self, places: &[Arc<Place>], lane: LaneId) -> u64 {
        let pinning = places.iter().filter(|place| place.pins(self.unclaimed_after));
        pinning.map(|place| place.passed(lane)).fold(self.shared.tail(lane).last(), u64::min)
    }

    fn confirm(&mut self, staged: Staged) {
        for (place, lane, cursor) in staged.cursors {
            place.written(lane, cursor);
        }
        for (lane, low) in staged.lows {
            self.must_purge = true;
            if let Some(known) = self.low.get_mut(usize::from(lane.0)) {
                *known = low;
            }
        }
    }

    fn finish(&mut self) -> Result<(), QueueError> {
        let staged = self.stage();
        self.batch.seal(self.shared.lanes);
        self.write(true).map_err(|err| QueueError::Unavailable(err.to_string()))?;
        self.confirm(staged);
        Ok(())
    }

    fn write(&mut self, sync: bool) -> Result<(), WriteError> {
        self.log.write(&mut self.batch, sync)
    }

    fn last_of(&self, lane: LaneId) -> u64 {
        self.last.get(usize::from(lane.0)).copied().expect("a lane of this queue")
    }
}

/// Frees files on a thread of its own: now and then the engine rewrites a backlog, which takes seconds.
pub(super) fn purge(log: &Log, shared: &Shared, wanted: &Receiver<()>) {
    or_abort("purge", || {
        while wanted.recv().is_ok() {
            let mut purged = log.purge();
            // On a completely full disk the engine can free nothing without a little room.
            if purged.as_ref().is_err_and(|err| *err == WriteError::Full) && shared.disk.give_up_reserve() {
                purged = log.purge();
            }
            match purged {
                Ok(0) => {}
                Ok(lanes) => tracing::debug!(lanes, "{lanes} lanes hold old files of the queue back"),
                Err(err) => tracing::warn!("files of the queue cannot be freed: {err}"),
            }
        }
    });
}

fn or_abort(name: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("the {name} of the queue broke, perhaps because the disk could not sync: ending, so that a restart recovers");
        std::process::abort();
    }
}

fn answer_all(group: Vec<Publication>, answer: &Result<(), PublishError>) {
    for publication in group {
        drop(publication.room);
        // Who asked may have gone.
        drop(publication.answer.send(answer.clone()));
    }
}

fn sizes(publication: &Publication) -> impl Iterator<Item = usize> {
    publication.entries.iter().map(Entry::length)
}

fn blocks(group: Vec<Publication>) -> Vec<Vec<Publication>> {
    let (mut blocks, mut events, mut bytes) = (vec![Vec::new()], 0, 0);
    for publication in group {
        events += publication.entries.len();
        bytes += publication.bytes;
        let is_full = events > BLOCK_EVENTS || bytes > BLOCK_BYTES;
        match blocks.last_mut() {
            Some(block) if block.is_empty() || !is_full => block.push(publication),
            _ => {
                (events, bytes) = (publication.entries.len(), publication.bytes);
                blocks.push(vec![publication]);
            }
        }
    }
    blocks
}
