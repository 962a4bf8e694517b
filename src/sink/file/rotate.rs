//! Rotation, where it was asked for: `NAME` becomes `NAME.1`, `NAME.1` becomes `NAME.2`, and so on, as many as are kept.
//!
//! Every step is one rename or removal, on the disk before the next. The shift begins at the first number that is free, so a shift that a
//! crash cut short is gone on with by the next: it moves only what was not moved yet. Lines are never copied, so none is lost or written
//! twice; only what stands beyond `keep` goes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::append::directory_of;

/// When a file is full, and how many of its forerunners are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    pub(super) at: u64,
    pub(super) keep: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Replaces the second path if it exists.
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Rotation {
    /// Whether so many bytes more would go beyond it. An empty file takes a batch of any size: a batch is never divided.
    pub(super) fn is_due(self, length: u64, more: usize) -> bool {
        length > 0 && length.saturating_add(more as u64) > self.at
    }

    /// Moves the file away, so that nothing exists under `path` afterwards.
    pub(super) fn rotate(self, path: &Path) -> io::Result<()> {
        let directory = File::open(directory_of(path))?;
        for step in steps(path, self.keep)? {
            step.take()?;
            directory.sync_all()?;
        }
        Ok(())
    }
}

impl Step {
    fn take(&self) -> io::Result<()> {
        match self {
            Self::Rename(from, to) => std::fs::rename(from, to),
            Self::Remove(path) => std::fs::remove_file(path),
        }
    }
}

/// `NAME.number`
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Whether it is a name that a file of this path is moved to.
pub(super) fn is_numbered(path: &Path, other: &Path) -> bool {
    let (Some(name), Some(other_name)) =
        (path.file_name().and_then(|name| name.to_str()), other.file_name().and_then(|name| name.to_str()))
    else {
        return false;
    };
    let number = other_name.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
    path.parent() == other.parent() && number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// What is to be done from here on, whatever was done before a crash.
fn steps(path: &Path, keep: u32) -> io::Result<Vec<Step>> {
    let is_there = |number: u32| {
        numbered(path, number).symlink_metadata().map(|_| true).or_else(|err| match err.kind() {
            io::ErrorKind::NotFound => Ok(false),
            _ => Err(err),
        })
    };
    let mut steps = Vec::new();
    // More files were kept before. The highest number is removed first, so that a crash leaves no gap that hides the others.
    let mut last = keep;
    while is_there(last + 1)? {
        last += 1;
    }
    steps.extend((keep + 1..=last).rev().map(|number| Step::Remove(numbered(path, number))));
    let mut free = keep;
    for number in 1..keep {
        if !is_there(number)? {
            free = number;
            break;
        }
    }
    steps.extend((1..free).rev().map(|number| Step::Rename(numbered(path, number), numbered(path, number + 1))));
    steps.push(Step::Rename(path.to_owned(), numbered(path, 1)));
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::super::lines::Append;
    use super::super::append::Appended;
    use super::*;

    const KEEP: u32 = 3;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// What is kept, the oldest first, the file itself last.
    fn kept(path: &Path) -> Vec<Vec<String>> {
        let rotated = (1..=9).rev().map(|number| numbered(path, number)).filter(|path| path.exists());
        rotated.chain([path.to_owned()]).map(|path| lines(&path)).collect()
    }

    /// A folder in which so many files were rotated out, each with its line, and the file itself is full.
    fn folder(rotated: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.jsonl");
        for number in 1..=rotated {
            std::fs::write(numbered(&path, number), format!("{{\"n\":{}}}\n", 10 - number)).expect("a file");
        }
        std::fs::write(&path, "{\"n\":10}\n").expect("a file");
        (folder, path)
    }

    #[test]
    fn a_crash_between_any_two_steps_loses_and_doubles_nothing() {
        for rotated in 0..=KEEP + 2 {
            let (_folder, path) = folder(rotated);
            let count = steps(&path, KEEP).expect("steps").len();
            for taken in 0..=count {
                let (_folder, path) = folder(rotated);
                for step in steps(&path, KEEP).expect("steps").iter().take(taken) {
                    step.take().expect("it is taken");
                }
                // The next life: it goes on with what is there, and appends two more lines, each too long for a file that has one.
                let mut file = Appended::open(path.clone(), Some(Rotation { at: 10, keep: KEEP })).expect("it opens");
                file.append(b"{\"n\":11}\n").expect("it is appended");
                let found = kept(&path);
                let oldest = 10 - rotated.min(KEEP - 1);
                let expected: Vec<Vec<String>> = (oldest..=11).map(|n| vec![format!("{{\"n\":{n}}}")]).collect();
                assert_eq!(found, expected, "{rotated} rotated, crash after {taken} of {count} steps");
                file.append(b"{\"n\":12}\n").expect("it is appended");
                let found = kept(&path);
                assert_eq!(found.len(), (expected.len() + 1).min(KEEP as usize + 1));
                assert_eq!(found.concat(), (12 + 1 - found.len()..=12).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_file_is_rotated_before_it_goes_beyond_and_never_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.jsonl");
        let mut file = Appended::open(path.clone(), Some(Rotation { at: 20, keep: 2 })).expect("it opens");
        for line in ["{\"n\":1}\n", "{\"n\":2}\n", "{\"n\":3}\n", "{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}\n", "{\"n\":5}\n"] {
            file.append(line.as_bytes()).expect("it is appended");
        }
        let long = "{\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxx\"}";
        assert_eq!(kept(&path), [vec!["{\"n\":3}"], vec![long], vec!["{\"n\":5}"]]);
        let mut file = Appended::open(folder.path().join("grows"), None).expect("it opens");
        (0..9).for_each(|_| file.append(b"{\"n\":1}\n").expect("it is appended"));
        assert!(!folder.path().join("grows.1").exists(), "nobody asked for it");
    }

    #[test]
    fn what_cannot_be_rotated_is_told_and_goes_on_afterwards() {
        let (_folder, path) = folder(0);
        std::fs::create_dir(numbered(&path, 1)).expect("a folder in the way");
        std::fs::create_dir(numbered(&path, 2)).expect("another");
        std::fs::write(numbered(&path, 2).join("x"), "").expect("a file");
        let mut file = Appended::open(path.clone(), Some(Rotation { at: 10, keep: 2 })).expect("it opens");
        let err = file.append(b"{\"n\":11}\n").expect_err("it cannot be rotated");
        assert!(err.contains("cannot be rotated"), "{err}");
        assert_eq!(lines(&path), ["{\"n\":10}"], "nothing was written");
        std::fs::remove_dir_all(numbered(&path, 2)).expect("it goes");
        std::fs::remove_dir(numbered(&path, 1)).expect("it goes");
        file.append(b"{\"n\":11}\n").expect("it is appended");
        assert_eq!(kept(&path), [["{\"n\":10}"], ["{\"n\":11}"]]);
    }

    #[test]
    fn other_names_are_left_alone() {
        let path = Path::new("d/events.jsonl");
        for (other, expected) in [
            ("d/events.jsonl.1", true),
            ("d/events.jsonl.x", false),
            ("e/events.jsonl.1", false),
            ("d/events.jsonl", false),
            ("d/events.1", false),
        ] {
            assert_eq!(is_numbered(path, Path::new(other)), expected, "{other}");
        }
    }
}
