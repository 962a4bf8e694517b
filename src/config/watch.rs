//! Tells when a file changed that the configuration was read from: by looking now and then, which works on every file system and
//! also where a secret is exchanged by turning a link. A file that is still being written is waited for.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Files and directories, and how they were when they were looked at.
#[derive(Debug, Default)]
pub struct Watch {
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// Something changed, and may still do so.
    is_moving: bool,
}

/// What the name leads to: device and number, length, and when contents and entry last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Looks at these too from now on.
    pub fn follow(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            let stamp = stamp(&path);
            self.seen.entry(path).or_insert(stamp);
        }
    }

    /// Takes the present state of the files as known. To be called before they are read for another reason.
    pub fn know(&mut self) {
        self.look();
        self.is_moving = false;
    }

    /// Returns when something changed since it was last known, and then stood still for a moment. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let moved = self.look();
            if self.is_moving && !moved {
                self.is_moving = false;
                return;
            }
            self.is_moving |= moved;
        }
    }

    fn look(&mut self) -> bool {
        let mut moved = false;
        for (path, seen) in &mut self.seen {
            let now = stamp(path);
            moved |= *seen != now;
            *seen = now;
        }
        moved
    }
}

fn stamp(path: &std::path::Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp {
        place: (found.dev(), found.ino()),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_and_when_it_stands_still() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("a.toml"), directory.path().join("secret"));
        std::fs::write(&file, "one").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        let mut watch = Watch::default();
        watch.follow(vec![link.clone(), directory.path().join("missing")]);

        let mut quiet = Box::pin(watch.changed());
        tokio::time::advance(LOOK_EVERY * 3).await;
        assert!(quiet.as_mut().now_or_never().is_none());
        drop(quiet);

        std::fs::write(&file, "another").expect("a file");
        watch.changed().await;
        let other = directory.path().join("b.toml");
        std::fs::write(&other, "another").expect("a file");
        std::fs::remove_file(&link).expect("it goes");
        std::os::unix::fs::symlink(&other, &link).expect("a link");
        watch.changed().await;
        std::fs::write(directory.path().join("missing"), "here").expect("a file");
        watch.know();
        let waited = tokio::time::timeout(LOOK_EVERY * 4, watch.changed()).await;
        assert!(waited.is_err(), "what is known is no change");
    }
}
