//! Appending to a file that others may move, shorten or delete, whole batches only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::lines::Append;
use super::rotate::Rotation;

/// Events are not for everybody on the machine.
const MODE: u32 = 0o640;
/// How much is read at once when looking for the last line feed.
const CHUNK: usize = 64 * 1024;

pub(super) struct Appended {
    path: PathBuf,
    open: Option<Open>,
    /// None: it grows for ever.
    rotation: Option<Rotation>,
}

struct Open {
    file: File,
    /// Device and number: what the path named when it was opened.
    place: (u64, u64),
    /// The length to return to first, because a failed write could not be undone.
    undone: Option<u64>,
}

impl Append for Appended {
    fn append(&mut self, lines: &[u8]) -> Result<(), String> {
        self.make_room(lines.len())?;
        let open = self.current()?;
        let outcome = open.whole(|mut file| file.write_all(lines).and_then(|()| file.sync_data()));
        outcome.map_err(|err| reason(&self.path, "written", &err))
    }

    fn check(&mut self) -> Result<(), String> {
        self.current().map(|_| ())
    }
}

impl Appended {
    pub fn later(path: PathBuf, rotation: Option<Rotation>) -> Self {
        Self { path, open: None, rotation }
    }

    pub fn open(path: PathBuf, rotation: Option<Rotation>) -> Result<Self, String> {
        let mut file = Self::later(path, rotation);
        file.current()?;
        Ok(file)
    }

    /// Moves a file away that has no room for so many bytes. What is in it was answered for, or is cut first.
    fn make_room(&mut self, more: usize) -> Result<(), String> {
        let Some(rotation) = self.rotation else { return Ok(()) };
        let length = self.current()?.undo().map_err(|err| reason(&self.path, "written", &err))?;
        if rotation.is_due(length, more) {
            rotation.rotate(&self.path).map_err(|err| reason(&self.path, "rotated", &err))?;
        }
        Ok(())
    }

    /// The open file, or a new one where the path names another or none.
    fn current(&mut self) -> Result<&mut Open, String> {
        let place = std::fs::metadata(&self.path).ok().map(|found| (found.dev(), found.ino()));
        match self.open.take() {
            Some(open) if Some(open.place) == place => Ok(self.open.insert(open)),
            _ => Open::new(&self.path).map(|open| self.open.insert(open)).map_err(|err| reason(&self.path, "opened", &err)),
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let directory = directory_of(path);
        std::fs::create_dir_all(directory)?;
        // Reading too: a torn line is looked for, and a named pipe opened like this does not wait for a reader.
        let file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file; `type = \"stdout\"` writes to pipes"));
        }
        // A file system without locks is no reason to refuse.
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another sink or process writes to it"));
        }
        cut_torn_line(&file, path)?;
        // The name must survive a crash as well as the lines.
        File::open(directory)?.sync_all()?;
        Ok(Self { file, place: (found.dev(), found.ino()), undone: None })
    }

    /// Appends all, or leaves the file as it was: a part that was written is cut, at the latest before the next write.
    fn whole(&mut self, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let before = self.undo()?;
        let outcome = write(&self.file);
        if outcome.is_err() && self.file.set_len(before).is_err() {
            self.undone = Some(before);
        }
        outcome
    }

    /// Cuts what a failed write left, and says how long the file is.
    fn undo(&mut self) -> io::Result<u64> {
        let mut length = self.file.metadata()?.len();
        if let Some(whole) = self.undone {
            // Somebody may have shortened the file meanwhile; it is never made longer.
            length = length.min(whole);
            self.file.set_len(length)?;
            self.undone = None;
        }
        Ok(length)
    }
}

pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What stands behind the last line feed was never answered for, so it comes again.
fn cut_torn_line(file: &File, path: &Path) -> io::Result<()> {
    let length = file.metadata()?.len();
    let whole = end_of_last_line(file, length)?;
    if whole == length {
        return Ok(());
    }
    let mut first = [0];
    file.read_exact_at(&mut first, whole)?;
    // A crash leaves the beginning of an event, or zeros. Anything else was not written by a sink, and is not ours to cut.
    if !matches!(first, [b'{' | 0]) {
        let foreign = "its last line has no line feed and is not an event: end it with one, or name another file";
        return Err(io::Error::new(io::ErrorKind::InvalidData, foreign));
    }
    file.set_len(whole)?;
    file.sync_data()?;
    tracing::warn!(path = %path.display(), bytes = length - whole, "cut a torn last line of `{}`", path.display());
    Ok(())
}

fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let part = usize::try_from(end - start).ok().and_then(|count| chunk.get_mut(..count)).unwrap_or_default();
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn reason(path: &Path, what: &str, err: &io::Error) -> String {
    format!("`{}` cannot be {what}: {err}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut() {
        let long = format!("{{\"a\":1}}\n{{\"b\":\"{}", "x".repeat(3 * CHUNK));
        let zeros = "{\"a\":1}\n\0\0\0\0";
        for (torn, whole) in [
            ("", ""),
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"b", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"a\":1}", "{\"a\":1}\n"),
            ("{\"torn", ""),
            (&long, "{\"a\":1}\n"),
            (zeros, "{\"a\":1}\n"),
            ("{\"a\":1}\n\n", "{\"a\":1}\n\n"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), torn).unwrap();
            Open::new(file.path()).unwrap();
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), whole);
        }
    }

    #[test]
    fn a_write_that_failed_leaves_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}\n").unwrap();
        let mut open = Open::new(file.path()).unwrap();
        let outcome = open.whole(|mut file| file.write_all(b"{\"half").and_then(|()| Err(io::ErrorKind::StorageFull.into())));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "{}\n");
        // What could not be undone at once is undone before the next write.
        std::fs::write(file.path(), "{}\n{\"half").unwrap();
        open.undone = Some(3);
        open.whole(|mut file| file.write_all(b"{\"a\":1}\n")).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "{}\n{\"a\":1}\n");
    }
}
