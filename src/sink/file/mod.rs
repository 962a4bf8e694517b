//! A file of lines: one structured CloudEvent per line, appended, on the disk before a delivery is answered.
//!
//! A batch is in the file whole or not at all; a line that a crash tore is cut when the file is opened. Where the file was moved or
//! deleted (`logrotate`), the next batch begins a new one. One process writes to a file: it is locked. Nothing is rotated unless
//! `rotate_at` asks for it.

mod append;
mod rotate;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use self::append::Appended;
use self::rotate::Rotation;
use super::lines::Lines;
use super::{BuildError, Clearance, Enriched, Receipt, Sink, SinkError, Traits};
use crate::setting::{ByteSize, SinkName};

/// Files that are kept besides the one that is written, unless said otherwise.
const KEEP: u32 = 5;
/// Each rotation moves all of them.
const KEEP_MAX: u32 = 1_000;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the lines go; relative to `data_dir`.
    pub path: PathBuf,
    /// Whether a reduced issue is read from Jira and made whole first; then events wait while Jira cannot be asked.
    #[serde(default)]
    pub enrich: bool,
    /// Whether `data.raw` carries Jira's own body.
    #[serde(default)]
    pub include_raw: bool,
    /// Before a batch that would make the file longer than this it is renamed to `NAME.1`, `NAME.1` to `NAME.2` and so on. Without it
    /// the file is never rotated.
    #[serde(default)]
    pub rotate_at: Option<ByteSize>,
    /// How many files `NAME.1`, `NAME.2` and so on are kept; 5 unless said otherwise.
    #[serde(default)]
    pub keep: Option<u32>,
    /// What restricted content it takes: everything unless said otherwise.
    #[serde(default)]
    pub clearance: Option<Clearance>,
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::everything)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        if self.path.file_name().is_none() {
            return Err(BuildError::setting("path", format!("`{}` does not name a file", self.path.display())));
        }
        match (self.rotate_at, self.keep) {
            (Some(ByteSize(0)), _) => Err(BuildError::setting("rotate_at", "a file of no length has no room for a line")),
            (None, Some(_)) => Err(BuildError::setting("keep", "it says nothing without `rotate_at`: the file is not rotated")),
            (_, Some(keep)) if !(1..=KEEP_MAX).contains(&keep) => {
                Err(BuildError::setting("keep", format!("{keep} files are too few or too many: write 1 to {KEEP_MAX}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether that file is this sink's, now or once it is rotated.
    pub fn writes_to(&self, path: &Path) -> bool {
        self.path == path || (self.rotate_at.is_some() && rotate::is_numbered(&self.path, path))
    }

    fn rotation(&self) -> Option<Rotation> {
        self.rotate_at.map(|at| Rotation { at: at.0, keep: self.keep.unwrap_or(KEEP) })
    }
}

/// Opens or creates the file, with its directories, and cuts a torn last line.
pub fn build(name: SinkName, settings: &Settings, data_dir: &Path) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    let file = Appended::open(data_dir.join(&settings.path), settings.rotation()).map_err(BuildError::surroundings)?;
    Ok(FileSink { name, lines: Lines::new(file, settings.include_raw) })
}

/// Whether lines could be appended, without making, opening for good or locking anything. Err: why not.
pub fn could_write(settings: &Settings, data_dir: &Path) -> Result<(), String> {
    let path = data_dir.join(&settings.path);
    let failed = |path: &Path, err: &dyn std::fmt::Display| format!("`{}` cannot be written: {err}", path.display());
    if path.exists() {
        // A named pipe would be waited for.
        if !path.is_file() {
            return Err(failed(&path, &"it is not a regular file"));
        }
        return std::fs::OpenOptions::new().append(true).open(&path).map(drop).map_err(|err| failed(&path, &err));
    }
    let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("."));
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|err| failed(folder, &err))
}

/// For a file that another sink lets go of first: it is opened when the first line comes.
pub fn build_lazily(name: SinkName, settings: &Settings, data_dir: &Path) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    Ok(FileSink { name, lines: Lines::new(Appended::later(data_dir.join(&settings.path), settings.rotation()), settings.include_raw) })
}

struct FileSink {
    name: SinkName,
    lines: Lines<Appended>,
}

#[async_trait]
impl Sink for FileSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 256, for_people: false }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        self.lines.deliver(batch).await
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.lines.check().await
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use futures_util::future::join_all;

    use super::super::{Scope, sample};
    use super::*;

    fn settings(path: &str) -> Settings {
        Settings { path: path.into(), enrich: false, include_raw: false, rotate_at: None, keep: None, clearance: None }
    }

    fn sink(directory: &Path) -> impl Sink + use<> {
        build("events".parse().unwrap(), &settings("out/events.jsonl"), directory).unwrap()
    }

    fn path(directory: &Path) -> PathBuf {
        directory.join("out/events.jsonl")
    }

    fn ids(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
        text.lines().map(sample::id_in).collect()
    }

    #[tokio::test]
    async fn lines_are_appended_in_order_and_survive_reopening() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let sink = sink(directory.path());
            let batch: Vec<_> = (0..3).map(|n| sample::enriched(round * 3 + n)).collect();
            assert_eq!(sink.deliver(&batch).await, vec![Ok(Receipt::default()); 3]);
            assert_eq!(sink.check().await, Ok(()));
        }
        assert_eq!(ids(&path(directory.path())), (0..6).map(sample::id).collect::<Vec<_>>());
        let mode = std::fs::metadata(path(directory.path())).unwrap().mode();
        assert_eq!(mode & 0o007, 0, "others may read it");
    }

    #[tokio::test]
    async fn raw_bodies_are_written_only_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        for include_raw in [false, true] {
            let settings = Settings { include_raw, ..settings(if include_raw { "raw" } else { "plain" }) };
            let sink = build("events".parse().unwrap(), &settings, directory.path()).unwrap();
            sink.deliver(&[sample::enriched(1)]).await.remove(0).unwrap();
            let text = std::fs::read_to_string(directory.path().join(&settings.path)).unwrap();
            assert_eq!(text.contains(r#""raw":{"#), include_raw, "{text}");
        }
    }

    #[tokio::test]
    async fn many_lanes_at_once_keep_whole_lines_and_their_own_order() {
        let directory = tempfile::tempdir().unwrap();
        let sink = sink(directory.path());
        let lane = async |lane: u32| {
            for step in 0..20 {
                let batch = [sample::enriched(lane * 1_000 + step * 2), sample::enriched(lane * 1_000 + step * 2 + 1)];
                assert!(sink.deliver(&batch).await.iter().all(Result::is_ok));
            }
        };
        join_all((0..16).map(lane)).await;
        let found = ids(&path(directory.path()));
        assert_eq!(found.len(), 16 * 40);
        for lane in 0..16 {
            let expected: Vec<_> = (0..40).map(|n| sample::id(lane * 1_000 + n)).collect();
            let own: Vec<_> = found.iter().filter(|id| expected.contains(id)).cloned().collect();
            assert_eq!(own, expected, "lane {lane}");
        }
    }

    #[test]
    fn what_no_sink_wrote_is_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("notes"), "first\nsecond without an end").unwrap();
        let err = build("events".parse().unwrap(), &settings("notes"), directory.path()).err().unwrap().to_string();
        assert!(err.contains("its last line has no line feed and is not an event"), "{err}");
        assert_eq!(std::fs::read_to_string(directory.path().join("notes")).unwrap(), "first\nsecond without an end");
    }

    #[tokio::test]
    async fn a_file_that_was_moved_or_deleted_is_begun_again() {
        let directory = tempfile::tempdir().unwrap();
        let (sink, path) = (sink(directory.path()), path(directory.path()));
        let deliver = async |n: u32| assert!(sink.deliver(&[sample::enriched(n)]).await.iter().all(Result::is_ok));
        deliver(1).await;
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        deliver(2).await;
        assert_eq!((ids(&path.with_extension("1")), ids(&path)), (vec![sample::id(1)], vec![sample::id(2)]));
        std::fs::remove_dir_all(directory.path().join("out")).unwrap();
        deliver(3).await;
        assert_eq!(ids(&path), [sample::id(3)]);
        // Emptied in place, as `copytruncate` does.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        deliver(4).await;
        assert_eq!(ids(&path), [sample::id(4)]);
    }

    #[tokio::test]
    async fn one_file_has_one_writer() {
        let directory = tempfile::tempdir().unwrap();
        let first = sink(directory.path());
        let err = build("other".parse().unwrap(), &settings("out/events.jsonl"), directory.path()).err().unwrap().to_string();
        assert!(err.contains("another sink or process writes to it"), "{err}");
        drop(first);
        sink(directory.path());
    }

    #[tokio::test]
    async fn a_path_that_stops_working_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (sink, path) = (sink(directory.path()), path(directory.path()));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let outcomes = sink.deliver(&[sample::enriched(1)]).await;
        assert!(matches!(&outcomes[..], [Err(SinkError::Unavailable { scope: Scope::Sink, .. })]), "{outcomes:?}");
        assert!(sink.check().await.is_err());
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(sink.deliver(&[sample::enriched(1)]).await, [Ok(Receipt::default())]);
        assert_eq!(ids(&path), [sample::id(1)]);
    }

    #[test]
    fn bad_paths_are_refused_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "").unwrap();
        for (path, part) in
            [("..", "does not name a file"), ("", "does not name a file"), ("file/x", "cannot be opened"), ("/dev/null", "regular file")]
        {
            let err = build("events".parse().unwrap(), &settings(path), directory.path()).err().unwrap().to_string();
            assert!(err.contains(part), "{path}: {err}");
        }
    }
}
