//! The disk under the queue: whether there is room to accept, the reserve file, and the lock against a second process.
//!
//! The engine cannot free its own files on a completely full disk. So nothing is accepted below `min_free`, and before the very end the
//! reserve file is given up; it is made again when there is room for it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Settings;
use crate::queue::QueueError;
use crate::setting::ByteSize;

/// A look at the disk costs a system call: not for every event. But a fast disk is full in less, so what is written counts too.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Disk {
    dir: PathBuf,
    min_free: u64,
    reserve: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    /// Bytes that were let in since.
    admitted: u64,
    /// Why nothing is accepted.
    full: Option<String>,
    is_reserved: bool,
}

/// Bytes that an ordinary user can still take, and all there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) free: u64,
    pub(super) total: u64,
}

impl Disk {
    pub(super) fn new(dir: &Path, settings: &Settings) -> Result<Self, QueueError> {
        let room =
            room_of(dir).map_err(|err| QueueError::Unusable(format!("the disk of `{}` cannot be measured: {err}", dir.display())))?;
        let reserve = settings.reserve.0;
        let is_reserved = reserve == 0 || reserve_file(dir).metadata().is_ok_and(|file| file.len() == reserve);
        let state = Mutex::new(State { is_reserved, ..State::default() });
        Ok(Self { dir: dir.to_owned(), min_free: settings.min_free_of(room.total), reserve, state })
    }

    /// Whether so many bytes of events may be accepted. Err: why not, and what to do.
    pub(super) fn admits(&self, bytes: usize) -> Result<(), String> {
        let is_much = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.admitted += bytes as u64;
            state.admitted > self.min_free / 8
        };
        self.look(is_much);
        match &self.state.lock().unwrap_or_else(PoisonError::into_inner).full {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    /// A write met a full disk: believed until the next look.
    pub(super) fn met_full(&self) -> String {
        let why = format!("no space left on the disk of `{}`: make room there", self.dir.display());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked = Some(Instant::now());
        state.full = Some(why.clone());
        why
    }

    /// Measures the free room, and gives the reserve file up or makes it again.
    pub(super) fn look(&self, at_once: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !at_once && state.looked.is_some_and(|looked| now.duration_since(looked) < LOOK_EVERY) {
            return;
        }
        state.looked = Some(now);
        state.admitted = 0;
        let free = match room_of(&self.dir) {
            Ok(room) => room.free,
            Err(err) => {
                state.full = Some(format!("the disk of `{}` cannot be measured: {err}", self.dir.display()));
                return;
            }
        };
        if state.is_reserved && free < self.reserve / 2 {
            self.give_up(&mut state);
        } else if !state.is_reserved && free >= self.reserve.saturating_add(self.min_free) {
            self.reserve_again(&mut state);
        }
        // The room that the reserve file needs to come back is not free.
        let owed = if state.is_reserved { 0 } else { self.reserve };
        let is_full = free < self.min_free.saturating_add(owed);
        if is_full != state.full.is_some() {
            tracing::warn!(
                free_bytes = free,
                min_free_bytes = self.min_free,
                "the queue {}",
                if is_full { "is full" } else { "accepts again" }
            );
        }
        state.full = is_full.then(|| {
            let (free, must) = (ByteSize::mib(free >> 20), ByteSize(self.min_free.saturating_add(owed)));
            format!("{free} are free on the disk of `{}` and {must} must be: make room there", self.dir.display())
        });
    }

    /// True: there was something to give up.
    pub(super) fn give_up_reserve(&self) -> bool {
        self.give_up(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_up(&self, state: &mut State) -> bool {
        let was_there = self.reserve > 0 && std::fs::remove_file(reserve_file(&self.dir)).is_ok();
        if was_there {
            tracing::warn!("the disk of `{}` is full: the reserve file was given up", self.dir.display());
            state.is_reserved = false;
        }
        was_there
    }

    fn reserve_again(&self, state: &mut State) {
        match make_file(&reserve_file(&self.dir), self.reserve) {
            Ok(()) => state.is_reserved = true,
            Err(err) => tracing::warn!("the reserve file in `{}` cannot be made: {err}", self.dir.display()),
        }
    }
}

/// Refuses a second process for as long as the file is held.
pub(super) fn lock(dir: &Path) -> Result<File, QueueError> {
    let path = dir.join("lock");
    let failed = |err: std::io::Error| QueueError::Unusable(format!("`{}` cannot be locked: {err}; check its permissions", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(QueueError::Unusable(format!(
            "the queue in `{}` is in use by another process: stop that one, or use a broker to share the work",
            dir.display()
        ))),
        Err(TryLockError::Error(err)) => Err(failed(err)),
    }
}

/// What can be seen of a queue without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Bytes that can still be taken.
    pub free: u64,
    /// Below so many nothing is accepted.
    pub needed: u64,
    /// A process has it open.
    pub is_open: bool,
}

/// Makes and changes nothing; where the directory is not there yet, the disk is the one that it will lie on.
pub fn look(settings: &Settings, dir: &Path) -> std::io::Result<Look> {
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let Room { free, total } = room_of(there)?;
    let is_open = match File::open(dir.join("lock")) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => false,
        Err(err) => return Err(err),
    };
    Ok(Look { free, needed: settings.min_free_of(total), is_open })
}

pub(super) fn room_of(dir: &Path) -> std::io::Result<Room> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(Room { free: found.f_bavail.saturating_mul(found.f_frsize), total: found.f_blocks.saturating_mul(found.f_frsize) })
}

fn reserve_file(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

fn make_file(path: &Path, length: u64) -> std::io::Result<()> {
    use std::io::{Read, repeat};

    let mut file = File::create(path)?;
    let allocated = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length);
    // Not every file system can allocate; what is written takes its room anywhere.
    let made = allocated.or_else(|_| std::io::copy(&mut repeat(0).take(length), &mut file).map(drop));
    made.and_then(|()| file.sync_all()).inspect_err(|_| drop(std::fs::remove_file(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(dir: &Path, min_free: u64) -> Disk {
        let settings = Settings { min_free: Some(ByteSize(min_free)), reserve: ByteSize::mib(1), ..Settings::default() };
        Disk::new(dir, &settings).expect("a disk")
    }

    #[test]
    fn the_reserve_is_made_given_up_and_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = disk(dir.path(), 0);
        for _ in 0..2 {
            assert!(!reserve_file(dir.path()).exists());
            disk.look(true);
            assert_eq!(reserve_file(dir.path()).metadata().expect("the reserve").len(), 1 << 20);
            assert_eq!(disk.admits(0), Ok(()));
            assert!(disk.give_up_reserve());
            assert!(!disk.give_up_reserve());
        }
    }

    #[test]
    fn too_little_room_is_told_with_its_numbers() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = disk(dir.path(), 1 << 60);
        let why = disk.admits(0).expect_err("full");
        assert!(why.contains("1099511627777MiB") && why.ends_with("make room there"), "{why}");
        assert!(!reserve_file(dir.path()).exists());
    }

    #[test]
    fn a_write_that_met_a_full_disk_is_believed_until_the_next_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = disk(dir.path(), 0);
        disk.met_full();
        assert!(disk.admits(0).is_err());
        disk.look(true);
        assert_eq!(disk.admits(0), Ok(()));
    }

    #[test]
    fn a_second_lock_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = lock(dir.path()).expect("a lock");
        assert!(matches!(lock(dir.path()), Err(QueueError::Unusable(why)) if why.contains("another process")));
        drop(first);
        assert!(lock(dir.path()).is_ok());
    }
}
