//! The only file that knows the engine (raft-engine): a log per lane with cursors beside it. Leaving the engine is a change of this file.
//!
//! Promises: positions of a lane are dense; what one `Batch` holds is kept whole or not at all; a synced write survives a crash.
//! A failed sync panics inside the engine: the calling thread must end the process, because what was kept is not known any more.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use raft_engine::{Command, Config, Engine, Error, LogBatch, ReadableSize, RecoveryMode};

use super::entry::{Entry, Indexed};
use super::remains::Newest;
use super::settings::Files;
use crate::event::{LaneCount, LaneId};
use crate::queue::QueueError;
use crate::setting::SinkName;

const LANES_KEY: &[u8] = b"lanes";
const IDENTITY_KEY: &[u8] = b"identity";
const CURSOR_PREFIX: &str = "c/";

pub(super) struct Log {
    engine: Engine,
    // Behind the engine, so that it is let go after the engine's last write.
    _lock: File,
}

/// What is written together.
#[derive(Default)]
pub(super) struct Batch(LogBatch);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriteError {
    /// The disk has no room.
    Full,
    Other(String),
}

impl Log {
    /// Everything that is found is made durable before it is shown to anybody.
    pub(super) fn open(dir: &Path, lanes: LaneCount, files: Files, lock: File) -> Result<Self, QueueError> {
        let text =
            dir.to_str().ok_or_else(|| QueueError::Unusable(format!("`{}` is not text: choose another `data_dir`", dir.display())))?;
        let config = Config {
            dir: text.to_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(files.each),
            purge_threshold: ReadableSize(files.freed_above),
            enable_log_recycle: true,
            prefill_for_recycle: false,
            ..Config::default()
        };
        let newest = Newest::of(dir);
        let engine = Engine::open(config).map_err(|err| {
            let hint = "check the disk and its permissions; a copy of the directory is worth keeping before anything is removed";
            QueueError::Unusable(format!("the log in `{text}` cannot be opened: {err}; {hint}"))
        })?;
        newest.inspect(Newest::tell);
        let log = Self { engine, _lock: lock };
        log.fix_lanes(text, lanes)?;
        log.fix_identity();
        Ok(log)
    }

    /// Random, and part of the log, so that it goes with it: one that is made in its place has another.
    pub(super) fn identity(&self) -> Option<String> {
        self.engine.get(region(LaneId(0)), IDENTITY_KEY).and_then(|bytes| String::from_utf8(bytes).ok())
    }

    /// A log that was made without one gets one. On a full disk it opens all the same, and gets it another time.
    fn fix_identity(&self) {
        if self.identity().is_some() {
            return;
        }
        let mut batch = LogBatch::default();
        let made = format!("{:016x}", rand::random::<u64>());
        batch.put(region(LaneId(0)), IDENTITY_KEY.to_vec(), made.into_bytes()).expect("a key that the engine does not use itself");
        if let Err(err) = self.engine.write(&mut batch, true) {
            tracing::warn!("the queue's log could not be given an identity: {err}");
        }
    }

    fn fix_lanes(&self, dir: &str, lanes: LaneCount) -> Result<(), QueueError> {
        let meta = region(LaneId(0));
        let known = self.engine.get(meta, LANES_KEY).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
        if let Some(known) = known.filter(|known| *known != lanes.get()) {
            return Err(QueueError::Unusable(format!(
                "the queue in `{dir}` has {known} lanes, but {} are set, and events would change their order: set `queue.lanes = {known}`, \
                 or let every sink pass what it holds (`ticketwire queue status`) and remove the directory: what is parked in the store \
                 then goes on in the new lanes",
                lanes.get()
            )));
        }
        let mut batch = LogBatch::default();
        batch.put(meta, LANES_KEY.to_vec(), lanes.get().to_le_bytes().to_vec()).expect("a key that the engine does not use itself");
        match self.engine.write(&mut batch, true) {
            // On a full disk a queue that was there before opens all the same: what it holds must get out.
            Err(err) if known.is_none() => Err(QueueError::Unavailable(format!("`{dir}` cannot be written: {err}"))),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) fn first(&self, lane: LaneId) -> u64 {
        self.engine.first_index(region(lane)).unwrap_or(1)
    }

    pub(super) fn last(&self, lane: LaneId) -> u64 {
        self.engine.last_index(region(lane)).unwrap_or(0)
    }

    /// Every cursor that was ever written and not forgotten.
    pub(super) fn cursors(&self, lane: LaneId) -> Vec<(SinkName, u64)> {
        let mut found = Vec::new();
        let scan = self.engine.scan_raw_messages(region(lane), None, None, false, |key, value| {
            let sink = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(CURSOR_PREFIX)).and_then(sink_named);
            let cursor = value.try_into().ok().map(u64::from_le_bytes);
            found.extend(sink.zip(cursor));
            true
        });
        if let Err(err) = scan {
            tracing::error!(lane = lane.0, "cursors of lane {lane} cannot be read: {err}");
        }
        found
    }

    /// The batch is empty afterwards, whatever came of it.
    ///
    /// # Panics
    /// When a sync fails.
    pub(super) fn write(&self, batch: &mut Batch, sync: bool) -> Result<(), WriteError> {
        let written = self.engine.write(&mut batch.0, sync).map(drop).map_err(WriteError::from);
        if written.is_err() {
            *batch = Batch::default();
        }
        written
    }

    /// What stands at `from` and after, before `end`: at least one, then up to `bytes`.
    pub(super) fn read(&self, lane: LaneId, from: u64, end: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, QueueError> {
        let mut entries = Vec::new();
        let fetched = self.engine.fetch_entries_to::<Indexed>(region(lane), from, end, Some(bytes), &mut entries);
        match fetched {
            Err(Error::Io(err)) if entries.is_empty() => {
                Err(QueueError::Unavailable(format!("position {from} of lane {lane} cannot be read: {err}")))
            }
            Err(err) if entries.is_empty() => Err(unreadable(lane, from, &err.to_string())),
            // What was read before the fault is shown first; the fault comes back when it stands in front.
            Ok(_) | Err(_) => Ok(entries.into_iter().map(|entry| (entry.position, Bytes::from(entry.head))).collect()),
        }
    }

    /// Frees the files that nothing needs; returns how many lanes hold old files back.
    pub(super) fn purge(&self) -> Result<usize, WriteError> {
        loop {
            let used = self.engine.get_used_size();
            let lanes = self.engine.purge_expired_files()?;
            // A call looks at the older files only, so what it frees may make room for the next.
            if self.engine.get_used_size() >= used {
                return Ok(lanes.len());
            }
        }
    }
}

impl Batch {
    /// Appends to a lane and numbers the entries from `first`, which must follow the last one in the log.
    pub(super) fn append(&mut self, lane: LaneId, first: u64, entries: &mut [Entry]) -> Result<(), WriteError> {
        for (position, entry) in (first..).zip(entries.iter_mut()) {
            entry.position = position;
        }
        self.0.add_entries::<Indexed>(region(lane), entries).map_err(WriteError::from)
    }

    pub(super) fn put_cursor(&mut self, lane: LaneId, sink: &SinkName, cursor: u64) {
        let put = self.0.put(region(lane), cursor_key(sink), cursor.to_le_bytes().to_vec());
        put.expect("a key that the engine does not use itself");
    }

    pub(super) fn remove_cursor(&mut self, lane: LaneId, sink: &SinkName) {
        self.0.delete(region(lane), cursor_key(sink));
    }

    /// Lets go of everything before `low`. That one stays, or the lane would forget how far it has counted.
    pub(super) fn let_go_before(&mut self, lane: LaneId, low: u64) {
        self.0.add_command(region(lane), Command::Compact { index: low });
    }

    /// Something to write when only the sync matters: an empty batch would not be synced.
    pub(super) fn seal(&mut self, lanes: LaneCount) {
        let put = self.0.put(region(LaneId(0)), LANES_KEY.to_vec(), lanes.get().to_le_bytes().to_vec());
        put.expect("a key that the engine does not use itself");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Error> for WriteError {
    fn from(err: Error) -> Self {
        let full = match &err {
            Error::Io(err) => matches!(err.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
            // After its own retry the engine keeps nothing but the text.
            Error::TryAgain(text) => text.contains("nospace"),
            _ => false,
        };
        if full { Self::Full } else { Self::Other(err.to_string()) }
    }
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("no space left on the disk"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// What a person must look at: nothing is ever passed over silently.
pub(super) fn unreadable(lane: LaneId, position: u64, why: &str) -> QueueError {
    QueueError::Unusable(format!(
        "position {position} of lane {lane} cannot be read: {why}; if a newer version wrote it, run that version again, \
         else restore the queue's directory or `forget` the subscription"
    ))
}

/// The engine's regions are counted from 1.
fn region(lane: LaneId) -> u64 {
    u64::from(lane.0) + 1
}

fn cursor_key(sink: &SinkName) -> Vec<u8> {
    format!("{CURSOR_PREFIX}{sink}").into_bytes()
}

/// The archive's name is not one that could be configured.
fn sink_named(text: &str) -> Option<SinkName> {
    let archive = SinkName::archive();
    if text == archive.as_str() { Some(archive) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::embedded::disk;

    const LANE: LaneId = LaneId(0);

    fn open(dir: &Path) -> Log {
        let files = Files { each: 64 << 10, freed_above: 256 << 10 };
        Log::open(dir, LaneCount::default(), files, disk::lock(dir).expect("a lock")).expect("a log")
    }

    #[test]
    fn what_is_let_go_is_freed_and_the_count_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = open(dir.path());
        let sink: SinkName = "docs".parse().expect("a name");
        let mut batch = Batch::default();
        for first in (1..=2_000).step_by(20) {
            let mut entries = vec![Entry::new(vec![7; 100], Bytes::from_static(&[8; 900])); 20];
            batch.append(LANE, first, &mut entries).expect("fits");
            log.write(&mut batch, false).expect("written");
        }
        let used = log.engine.get_used_size();
        for low in [1_990, 2_000] {
            batch.put_cursor(LANE, &sink, low);
            batch.let_go_before(LANE, low);
            log.write(&mut batch, true).expect("written");
            assert_eq!((log.first(LANE), log.last(LANE)), (low, 2_000));
            log.purge().expect("purged");
            assert!(log.engine.get_used_size() * 3 < used, "{} of {used}", log.engine.get_used_size());
            drop(log);
            log = open(dir.path());
            assert_eq!((log.first(LANE), log.last(LANE)), (low, 2_000));
            assert_eq!(log.cursors(LANE), [(sink.clone(), low)]);
            let read = log.read(LANE, low, 2_001, usize::MAX >> 32).expect("read");
            assert_eq!(read.len() as u64, 2_001 - low);
        }
        batch.remove_cursor(LANE, &sink);
        log.write(&mut batch, true).expect("written");
        assert_eq!(log.cursors(LANE), []);
    }

    #[test]
    fn a_log_keeps_its_identity_and_one_in_its_place_has_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("log");
        let make = || {
            std::fs::create_dir_all(&place).expect("a directory");
            open(&place)
        };
        let first = make().identity().expect("an identity");
        let log = make();
        assert_eq!(log.identity().as_ref(), Some(&first));
        assert_eq!(log.cursors(LANE), [], "it is no cursor");
        drop(log);
        std::fs::remove_dir_all(&place).expect("removed");
        assert_ne!(make().identity().expect("an identity"), first);
    }

    #[test]
    fn a_log_of_before_gets_an_identity_and_keeps_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path());
        let mut batch = Batch::default();
        batch.0.delete(region(LANE), IDENTITY_KEY.to_vec());
        log.write(&mut batch, true).expect("written");
        assert_eq!(log.identity(), None);
        drop(log);
        let made = open(dir.path()).identity();
        assert!(made.is_some());
        assert_eq!(open(dir.path()).identity(), made);
    }

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let full = |kind| WriteError::from(Error::Io(std::io::Error::new(kind, "nospace")));
        assert_eq!(full(ErrorKind::StorageFull), WriteError::Full);
        assert_eq!(full(ErrorKind::QuotaExceeded), WriteError::Full);
        assert_eq!(WriteError::from(Error::TryAgain("error when append: nospace".to_owned())), WriteError::Full);
        assert!(matches!(full(ErrorKind::PermissionDenied), WriteError::Other(_)));
    }
}
