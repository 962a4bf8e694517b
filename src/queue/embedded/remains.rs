//! What the engine cuts off the newest file of the log when it opens it: it says nothing of that itself, and a person should know.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const BLOCK: usize = 64 << 10;

/// The newest file and where what is written in it ends. Behind that lie zeros, which the file system gave in advance.
pub(super) struct Newest {
    path: PathBuf,
    end: u64,
}

impl Newest {
    /// None: there is no file yet, or it cannot be read, which the engine will tell.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let paths = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let path = paths.filter(|path| path.extension().is_some_and(|extension| extension == "raftlog")).max()?;
        let end = end_of(&path).ok()?;
        Some(Self { path, end })
    }

    /// Says what is gone since, if anything is.
    pub(super) fn tell(&self) {
        let now = end_of(&self.path).unwrap_or(self.end);
        if now < self.end {
            let bytes = self.end - now;
            tracing::warn!(
                bytes,
                "the last {bytes} bytes of `{}` are no whole write and were cut off: the end of a write that a crash tore, or damage of the disk; \
                 everything before is kept",
                self.path.display()
            );
        }
    }
}

/// The offset after the last byte that is not zero.
fn end_of(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut to, mut block) = (file.metadata()?.len(), vec![0; BLOCK]);
    while to > 0 {
        let from = to.saturating_sub(BLOCK as u64);
        let piece = block.get_mut(..usize::try_from(to - from).unwrap_or(BLOCK)).unwrap_or_default();
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(piece)?;
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(from + last as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_before_zeros() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(Newest::of(dir.path()).is_none());
        for (written, zeros, end) in [(0, 0, 0), (0, 200_000, 0), (1, 0, 1), (70_000, 300_000, 70_000), (65_536, 65_536, 65_536)] {
            let path = dir.path().join("0000000000000001.raftlog");
            std::fs::write(&path, [vec![7; written], vec![0; zeros]].concat()).expect("a file");
            assert_eq!(end_of(&path).expect("read"), end, "{written} {zeros}");
            assert_eq!(Newest::of(dir.path()).expect("a file").end, end);
        }
    }
}
